//! One watched device: what the probes were told of it, and what they counted.

use std::time::Instant;

use aya::maps::MapError;
use rloop_common::{Op, bucket::Fine, slot::Slot, who::FileKey};

use super::{counters::Counters, derived, extents::Extents, mapped::Mapped, maps::Maps, rloop};
use crate::{
    device::{
        LoopDevice,
        backing::OpenBacking,
        below, cache,
        extents::{self as fiemap, Mapping},
        gaps,
        mounts::Mounts,
    },
    driver,
    sample::{CommitsSample, DeviceSample, Lost, Unavailable},
    source::SourceError,
};

/// Tags a device may have; more than the driver's queue depth, and than a scheduler gives out.
const TAGS_MIN: usize = 1024;

/// A watched device.
pub(super) struct Watched {
    /// Its place in the probes' maps.
    pub slot: u32,
    /// What the kernel says of it.
    pub device: LoopDevice,
    counters: Counters,
    _slots: Mapped<Slot>,
    extents: Extents,
    /// What it was like at the last look at the mapping.
    looked_at: Looked,
    commits: CommitsSample,
    commit_buckets: Vec<u64>,
    lost: Lost,
    /// Why the extents are not known.
    trouble: Vec<Unavailable>,
    /// What the filesystem does not tell.
    gaps: Vec<Unavailable>,
}

impl Watched {
    /// Tells the probes to count the device's requests in `slot`.
    pub(super) fn start(
        device: LoopDevice,
        slot: u32,
        cpus: usize,
        mounts: &Mounts,
        maps: &mut Maps,
    ) -> Result<Self, SourceError> {
        let name = device.name.clone();
        let failed =
            |error: MapError| SourceError(format!("cannot make the counters of {name}: {error}"));
        let blocks = Mapped::new(cpus).map_err(failed)?;
        // rloop's requests have no tags.
        let tags = match device.rloop {
            None => TAGS_MIN.max(4 * device.nr_requests as usize),
            Some(_) => 1,
        };
        let slots = Mapped::new(tags).map_err(failed)?;
        maps.set_device(slot, blocks.map(), slots.map())
            .map_err(failed)?;
        let mut watched = Self {
            slot,
            counters: Counters::new(blocks),
            _slots: slots,
            extents: Extents::new(slot),
            looked_at: Looked::default(),
            commits: CommitsSample::default(),
            commit_buckets: Vec::new(),
            lost: Lost::default(),
            trouble: Vec::new(),
            gaps: Vec::new(),
            device,
        };
        let open = watched.device.open_backing(mounts);
        watched.look(open.as_ref().ok(), maps);
        watched.gaps = open.as_ref().map(gaps::gaps).unwrap_or_default();
        if let Some(file) = watched.file() {
            maps.set_file(file, slot).map_err(failed)?;
        }
        watched.count(Some(slot), maps).map_err(failed)?;
        Ok(watched)
    }

    /// Tells the probes where to count its requests.
    fn count(&self, slot: Option<u32>, maps: &mut Maps) -> Result<(), MapError> {
        let device = &self.device;
        match device.rloop {
            None => maps.set_minor(device.dev.minor, slot),
            Some(_) => maps.set_rloop(device.dev.minor, slot, device.offset_bytes),
        }
    }

    /// Tells the probes to forget it.
    pub(super) fn stop(&self, maps: &mut Maps) {
        // Fails only for minors beyond the map, which were never set.
        let _ = self.count(None, maps);
        if let Some(file) = self.file() {
            maps.forget_file(file);
        }
    }

    /// The backing file as the probes see it.
    pub(super) fn file(&self) -> Option<FileKey> {
        file_key(&self.device)
    }

    /// Minor number of the loop device below, if the disk below is one.
    pub(super) fn loop_below(&self) -> Option<u32> {
        // The module knows itself how long its requests take below.
        if self.device.rloop.is_some() {
            return None;
        }
        let disk = below::whole_disk(self.device.disk?).ok()?;
        (disk.major == self.device.dev.major).then_some(disk.minor)
    }

    /// Notes how long a commit took that the device waited for. How many there were the probes
    /// count themselves.
    pub(super) fn committed(&mut self, duration_ns: u64) {
        self.commits.total_ns += duration_ns;
        self.commits.max_ns = self.commits.max_ns.max(duration_ns);
        self.commit_buckets
            .resize(rloop_common::bucket::FINE_BUCKETS, 0);
        self.commit_buckets[Fine::index(duration_ns)] += 1;
    }

    /// What was lost of the device's events, at the last sample.
    pub(super) fn lost(&self) -> Lost {
        self.lost
    }

    /// Everything known of the device now.
    pub(super) fn sample(
        &mut self,
        mounts: &Mounts,
        devices: &[LoopDevice],
        maps: &mut Maps,
    ) -> DeviceSample {
        let open = self.device.open_backing(mounts);
        let (backing, unavailable) = self.device.backing(&open);
        let facts = self.device.facts(&open, devices);
        let mut sample = DeviceSample {
            name: self.device.name.clone(),
            kind: self.device.kind(),
            instance: self.device.instance,
            backing,
            facts,
            unavailable,
            ..DeviceSample::default()
        };
        let idle = self.device.in_flight() == Some(0);
        self.lost.unattributed = self.counters.read(&mut sample, idle);
        self.lost.completions = sample.ops.iter().map(|op| op.lost).sum();
        match &self.device.rloop {
            None => derived::buffered(&mut sample),
            Some(device) => rloop::complete(&mut sample, device, self.counters.rloop()),
        }
        derived::punches(&mut sample);
        let changes = sample.holes.fills + sample.holes.conversions + sample.holes.punches;
        let traced = matches!(sample.backing.fs.as_str(), "ext4" | "ext3" | "ext2" | "xfs");
        let changes = if traced {
            changes
        } else {
            sample.ops[Op::Write.index()].submitted
        };
        let now = Looked {
            changes: changes + rloop::changes(self.counters.rloop()),
            is_mapped: self.mapped_by().is_some(),
            size_bytes: sample.backing.size_bytes,
            allocated_bytes: sample.backing.allocated_bytes,
            window: self.device.window(),
        };
        if now != self.looked_at && self.extents.may_look() {
            self.looked_at = now;
            self.look(open.as_ref().ok(), maps);
        }
        self.extents.collect();
        sample.extents = self.extents.mapping().clone();
        sample.data = self.extents.data();
        sample.extent_counters = self.extents.counters();
        sample.extents_per_cell = self.extents.extents_per_cell();
        sample.commits = CommitsSample {
            count: sample.commits.count,
            durations: super::counters::sparse(&self.commit_buckets),
            ..self.commits.clone()
        };
        self.count_pages(open.as_ref().ok(), &mut sample);
        let missing = self.trouble.iter().chain(&self.gaps);
        sample.unavailable.extend(missing.cloned());
        sample
    }

    /// Reads the file's mapping and gives it to the probes.
    fn look(&mut self, open: Option<&OpenBacking>, maps: &mut Maps) {
        self.trouble.clear();
        let started = Instant::now();
        let mapping = self.mapping(open);
        self.extents.looked(started.elapsed());
        let mut mapping = match mapping {
            Some(Ok(mapping)) => mapping,
            Some(Err(why)) => return self.trouble.push(why),
            None => return,
        };
        let partition = self
            .device
            .disk
            .and_then(|disk| below::partition_start_bytes(disk).ok())
            .unwrap_or(0);
        for extent in &mut mapping.extents {
            extent.disk_offset_bytes = extent.disk_offset_bytes.map(|offset| offset + partition);
        }
        if let Some(cut) = mapping.cut_at_bytes {
            let why = format!(
                "the file has more than {} extents: beyond byte {cut} the last one stands for all",
                rloop_common::extent::MAX_EXTENTS
            );
            self.trouble.push(Unavailable {
                what: "extents".to_owned(),
                why,
            });
        }
        if let Err(error) = self.extents.replace(mapping.extents, maps) {
            let why = format!("cannot give the probes a new extent table: {error}");
            self.trouble.push(Unavailable {
                what: "extents".to_owned(),
                why,
            });
        }
    }

    /// The number of the device, if its module maps it.
    fn mapped_by(&self) -> Option<u32> {
        let device = self.device.rloop.as_ref()?;
        (device.provider != "vfs").then_some(device.number)
    }

    /// The file's mapping: that of the module where it maps, else the filesystem's, if the file is at hand.
    fn mapping(&self, open: Option<&OpenBacking>) -> Option<Result<Mapping, Unavailable>> {
        let window = self.device.window();
        if let Some(number) = self.mapped_by() {
            let mapping = driver::extents::map(number, window);
            return Some(mapping.map_err(|error| Unavailable {
                what: "extents".to_owned(),
                why: error.to_string(),
            }));
        }
        let open = open?;
        let fs = open.mount.as_ref().map_or("", |mount| &mount.fs);
        let mapping = fiemap::map(&open.file, window.0, window.1);
        Some(mapping.map_err(|error| fiemap::explain(&error, fs)))
    }

    fn count_pages(&self, open: Option<&OpenBacking>, sample: &mut DeviceSample) {
        let (offset, len) = self.device.window();
        let mut count =
            |file: &std::fs::File, start, len| match cache::cached_pages(file, start, len) {
                Ok(pages) => Some(pages.resident),
                Err(error) => {
                    let why = cache::explain(&error);
                    if !sample.unavailable.contains(&why) {
                        sample.unavailable.push(why);
                    }
                    None
                }
            };
        let backing = open.and_then(|open| count(&open.file, offset, len));
        let device = self
            .device
            .open()
            .ok()
            .and_then(|device| count(&device, 0, 0));
        (sample.backing_cached_pages, sample.device_cached_pages) = (backing, device);
    }
}

/// What a change of the mapping leaves traces in.
#[derive(Default, PartialEq)]
struct Looked {
    /// Changes that the probes saw.
    changes: u64,
    /// The module maps it.
    is_mapped: bool,
    /// The file's size.
    size_bytes: u64,
    /// What is allocated of it: others may punch it, and not every filesystem tells.
    allocated_bytes: u64,
    /// The part that the device shows.
    window: (u64, u64),
}

/// The device's backing file as the probes see it.
pub(super) fn file_key(device: &LoopDevice) -> Option<FileKey> {
    let file = device.file.as_ref().ok()?;
    let number = file.fs_dev.unwrap_or(file.st_dev);
    Some(FileKey {
        inode: file.ino,
        device: u64::from(number.to_kernel()),
    })
}
