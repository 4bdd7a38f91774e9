//! One watched device: what the probes were told of it, and what they counted.

mod look;

use aya::maps::MapError;
use rloop_common::{
    Op,
    bucket::Fine,
    event::Event,
    slot::Slot,
    who::{FileKey, Recent, Who},
};
use rustix::time::ClockId;

use super::{
    clock_ns,
    counters::Counters,
    derived,
    extents::Extents,
    mapped::Mapped,
    maps::Maps,
    rloop,
    traces::{Collected, Trace},
};
use crate::{
    device::{LoopDevice, backing::OpenBacking, below, cache, gaps, mounts::Mounts},
    sample::{CommitsSample, DeviceSample, Lost, Unavailable},
    source::SourceError,
};

use look::Looked;

/// Tags a device may have; more than the driver's queue depth, and than a scheduler gives out.
const TAGS_MIN: usize = 1024;

/// A watched device.
pub(super) struct Watched {
    /// Its place in the probes' maps.
    pub slot: u32,
    /// What the kernel says of it.
    pub device: LoopDevice,
    /// It is no more; what is said of it here was said before.
    pub is_detached: bool,
    counters: Counters,
    buffered: derived::Buffered,
    _slots: Mapped<Slot>,
    extents: Extents,
    /// What it was like at the last look at the mapping.
    looked_at: Looked,
    commits: CommitsSample,
    commit_buckets: Vec<u64>,
    collected: Collected,
    lost: Lost,
    /// Requests while no extents were known: listed as unavailable, and so not lost.
    extentless: u64,
    /// All that began before it was watched has ended.
    is_settled: bool,
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
            buffered: derived::Buffered::default(),
            _slots: slots,
            extents: Extents::new(slot),
            looked_at: Looked::default(),
            commits: CommitsSample::default(),
            commit_buckets: Vec::new(),
            collected: Collected::default(),
            lost: Lost::default(),
            extentless: 0,
            is_settled: false,
            trouble: Vec::new(),
            gaps: Vec::new(),
            is_detached: false,
            device,
        };
        let open = watched.device.open_backing(mounts);
        watched.look(open.as_ref().ok(), maps);
        let file = open.as_ref().ok();
        let mount = match file {
            Some(open) => open.mount.as_ref(),
            None => watched.device.mount(mounts),
        };
        watched.gaps = gaps::gaps(mount, file.map(|open| &open.file), watched.device.kind());
        watched.count_file(maps)?;
        watched.count(Some(slot), maps).map_err(failed)?;
        Ok(watched)
    }

    /// Tells the probes that I/O on the file counts for this device.
    pub(super) fn count_file(&self, maps: &mut Maps) -> Result<(), SourceError> {
        let Some(file) = self.file() else {
            return Ok(());
        };
        maps.set_file(file, self.slot).map_err(|error| {
            let name = &self.device.name;
            SourceError(format!(
                "cannot tell the probes of the file of {name}: {error}"
            ))
        })
    }

    /// Tells the probes where to count its requests.
    fn count(&self, slot: Option<u32>, maps: &mut Maps) -> Result<(), MapError> {
        let device = &self.device;
        match device.rloop {
            None => maps.set_minor(device.dev.minor, slot),
            Some(_) => self.count_rloop(slot, clock_ns(ClockId::Monotonic), maps),
        }
    }

    /// The same of a device of rloop, of which what began before `since_ns` is not counted.
    fn count_rloop(
        &self,
        slot: Option<u32>,
        since_ns: u64,
        maps: &mut Maps,
    ) -> Result<(), MapError> {
        let watched = rloop_common::rloop::Watched {
            offset_bytes: self.device.offset_bytes,
            since_ns,
            slot: slot.map_or(0, |slot| slot + 1),
            unused: 0,
        };
        maps.set_rloop(self.device.dev.minor, watched)
    }

    /// Once nothing is under way that began before the device was watched, the probes need not look for it.
    fn settle(&mut self, idle: bool, maps: &mut Maps) {
        if self.device.rloop.is_some() && idle && !self.is_settled {
            self.is_settled = self.count_rloop(Some(self.slot), 0, maps).is_ok();
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
    pub(super) fn committed(&mut self, event: &Event) {
        let duration_ns = event.duration_ns;
        if self.device.rloop.is_none() {
            self.collected.waited_for(event);
        }
        self.commits.total_ns += duration_ns;
        self.commits.max_ns = self.commits.max_ns.max(duration_ns);
        self.commit_buckets
            .resize(rloop_common::bucket::FINE_BUCKETS, 0);
        self.commit_buckets[Fine::index(duration_ns)] += 1;
    }

    /// Notes a single request or commit.
    pub(super) fn traced(&mut self, trace: Trace) {
        // The module tells offsets of the file.
        let base_bytes = match self.device.rloop {
            None => 0,
            Some(_) => self.device.offset_bytes,
        };
        self.collected.add(trace, base_bytes);
    }

    /// Who submitted to it of late, as far as that is not in the table of those who submit yet.
    pub(super) fn recent(&self) -> Vec<(Who, Recent)> {
        let who = |recent: Recent| Who {
            device: self.slot,
            process: recent.process,
            cgroup: recent.cgroup,
        };
        let recent = self.counters.recent();
        recent.map(|recent| (who(recent), recent)).collect()
    }

    /// Requests of whose issue the kernel did not tell when it was, at the last sample.
    pub(super) fn untold(&self) -> u64 {
        self.counters.untold()
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
        let (backing, unavailable) = self.device.backing(&open, mounts);
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
        let idle = self.is_detached || self.device.in_flight() == Some(0);
        self.settle(idle, maps);
        let unattributed = self.counters.read(&mut sample, idle);
        if self.extents.mapping().is_empty() {
            self.extentless = unattributed;
        }
        self.lost.unattributed = unattributed - self.extentless;
        self.lost.completions = sample.ops.iter().map(|op| op.lost).sum();
        match &self.device.rloop {
            None => self.buffered.complete(&mut sample),
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
        if now != self.looked_at && self.extents.may_look() && !self.is_detached {
            self.looked_at = now;
            self.look(open.as_ref().ok(), maps);
        }
        self.extents.collect();
        sample.extents = self.extents.mapping().clone();
        sample.data = self.extents.data();
        sample.extent_counters = self.extents.counters();
        sample.extents_per_cell = self.extents.extents_per_cell();
        sample.traces = self.collected.take();
        sample.commits = CommitsSample {
            count: sample.commits.count,
            durations: super::counters::sparse(&self.commit_buckets),
            ..self.commits.clone()
        };
        let missing = self.trouble.iter().chain(&self.gaps);
        sample.unavailable.extend(missing.cloned());
        // rloop's module has a clock of its own.
        if self.device.rloop.is_none() && !self.is_detached && !self.device.keeps_statistics() {
            sample.unavailable.push(Unavailable {
                what: "latencies".to_owned(),
                why: format!(
                    "its requests are not timed; echo 1 > /sys/block/{}/queue/iostats",
                    self.device.name
                ),
            });
        }
        if self.is_detached {
            sample.unavailable.push(Unavailable {
                what: "the device".to_owned(),
                why: "it was detached; this is the end of what it did".to_owned(),
            });
        } else {
            self.count_pages(open.as_ref().ok(), &mut sample);
        }
        sample
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

/// The device's backing file as the probes see it.
pub(super) fn file_key(device: &LoopDevice) -> Option<FileKey> {
    let file = device.file.as_ref().ok()?;
    let number = file.fs_dev.unwrap_or(file.st_dev);
    Some(FileKey {
        inode: file.ino,
        device: u64::from(number.to_kernel()),
    })
}
