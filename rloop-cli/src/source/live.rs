//! The running kernel, through the probes.

mod cost;
mod counters;
mod debug;
mod derived;
mod devices;
mod extents;
mod families;
mod fields;
mod issues;
mod mapped;
mod maps;
mod probes;
mod rloop;
mod submitters;
pub(crate) mod survey;
mod traces;
mod watched;

use std::{
    collections::BTreeSet,
    os::fd::{AsFd as _, AsRawFd as _},
    time::{SystemTime, UNIX_EPOCH},
};

use aya::Ebpf;
use rloop_common::event::EventKind;
use rustix::time::{ClockId, clock_gettime};

pub use self::debug::DebugLog;
use self::{
    cost::Cost,
    debug::Messages,
    devices::{list, not_attached},
    issues::Issues,
    maps::Maps,
    rloop::RloopProbes,
    submitters::Submitters,
    watched::{Watched, file_key},
};
use crate::{
    capability,
    device::{Lister, LoopDevice, mounts::Mounts},
    sample::{DeviceSample, Kind, Lost, Sample, Unavailable},
    source::{Source, SourceError},
};

/// The most devices watched at once, as many as the probes' maps have places for.
const DEVICES_MAX: u32 = 256;

/// What is unavailable where there are more.
const MORE_DEVICES: &str = "more devices";

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct LiveOptions {
    /// Names with or without `/dev/`; all attached loop and rloop devices if empty.
    pub devices: Vec<String>,
    /// Size of the ring buffer that carries rare events, a power of two of pages; what the probes
    /// were built with if `None`.
    pub ring_bytes: Option<u32>,
}

/// Watches the loop and rloop devices of the running kernel until dropped.
pub struct Live {
    /// Dropping it detaches the probes.
    ebpf: Ebpf,
    /// Those of loop devices.
    loops: probes::Group,
    /// Those that see when requests were issued.
    issues: Issues,
    /// Those of rloop devices.
    rloop: RloopProbes,
    maps: Maps,
    cost: Cost,
    /// What the probes say of themselves, if it is wanted.
    messages: Option<Messages>,
    cpus: usize,
    names: Vec<String>,
    submitters: Submitters,
    lister: Lister,
    watched: Vec<Watched>,
    unavailable: Vec<Unavailable>,
    /// Losses of devices that are gone.
    lost_before: Lost,
}

impl Live {
    /// Loads the probes and watches the devices there are.
    pub fn new(options: LiveOptions) -> Result<Self, SourceError> {
        Self::start(options, None)
    }

    /// As [`new`](Self::new); the probes tell `log` what they could not count, and why.
    pub fn with_debug(options: LiveOptions, log: DebugLog) -> Result<Self, SourceError> {
        Self::start(options, Some(log))
    }

    fn start(options: LiveOptions, log: Option<DebugLog>) -> Result<Self, SourceError> {
        let names = options
            .devices
            .iter()
            .map(|name| name.trim_start_matches("/dev/").to_owned())
            .collect();
        let probes::Probes {
            mut ebpf,
            loops,
            issues,
            mut unavailable,
        } = probes::load(options.ring_bytes, log.is_some())?;
        unavailable.extend(capability::limits());
        let messages = log.map(|log| Messages::take(&mut ebpf, log)).transpose()?;
        let maps = Maps::take(&mut ebpf)?;
        let programs = ebpf
            .programs()
            .filter_map(|(_, program)| Some(program.fd().ok()?.as_fd().as_raw_fd()))
            .collect();
        let cpus = aya::util::nr_cpus().map_err(|(what, error)| {
            SourceError(format!("cannot count the processors: {what}: {error}"))
        })?;
        let mounts = Mounts::read()
            .map_err(|error| SourceError(format!("cannot read the mounts: {error}")))?;
        let mut live = Self {
            ebpf,
            loops,
            issues: Issues::new(issues),
            rloop: RloopProbes::default(),
            maps,
            cost: Cost::watch(programs),
            messages,
            cpus,
            names,
            submitters: Submitters::new(&mounts),
            lister: Lister::default(),
            watched: Vec::new(),
            unavailable,
            lost_before: Lost::default(),
        };
        let devices = list(&mut live.lister)?;
        live.follow(&devices)?;
        for name in &live.names {
            if !live
                .watched
                .iter()
                .any(|watched| watched.device.name == *name)
            {
                return Err(not_attached(name));
            }
        }
        Ok(live)
    }

    /// Starts watching devices that came, stops watching those that were attached anew, or went before the last sample.
    /// Those that went since are in one more.
    fn follow(&mut self, devices: &[LoopDevice]) -> Result<(), SourceError> {
        let wanted =
            |device: &&LoopDevice| self.names.is_empty() || self.names.contains(&device.name);
        let present: Vec<&LoopDevice> = devices.iter().filter(wanted).collect();
        let same = |watched: &Watched, device: &LoopDevice| {
            watched.device.name == device.name
                && watched.device.instance == device.instance
                && watched.file() == file_key(device)
        };
        // Before their devices are watched, so that what is seen to end was seen to begin.
        let are_loops = present.iter().any(|device| device.rloop.is_none());
        self.loops.follow(are_loops, &mut self.ebpf)?;
        let are_rloops = present.iter().any(|device| device.rloop.is_some());
        self.rloop.follow(are_rloops, &mut self.ebpf);
        self.unavailable.retain(|entry| entry.what != MORE_DEVICES);
        let mut changed = false;
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.watched)
            .into_iter()
            .partition(|watched| present.iter().any(|device| same(watched, device)));
        self.watched = kept;
        for mut gone in gone {
            changed = true;
            // The next device of that name may have been counted with it.
            let is_there = |device: &&LoopDevice| device.name == gone.device.name;
            if gone.is_detached || present.iter().any(is_there) {
                gone.stop(&mut self.maps);
                // Another device may be on the same file.
                if let Some(other) = self.watched.iter().find(|one| one.file() == gone.file()) {
                    other.count_file(&mut self.maps)?;
                }
                add_lost(&mut self.lost_before, gone.lost());
            } else {
                gone.is_detached = true;
                self.watched.push(gone);
            }
        }
        for device in present {
            if let Some(watched) = self
                .watched
                .iter_mut()
                .find(|watched| same(watched, device))
            {
                watched.device = device.clone();
                continue;
            }
            let used: BTreeSet<u32> = self.watched.iter().map(|watched| watched.slot).collect();
            let Some(slot) = (0..DEVICES_MAX).find(|slot| !used.contains(slot)) else {
                let why =
                    format!("{DEVICES_MAX} devices are watched at most; name those of interest");
                self.unavailable.push(Unavailable {
                    what: MORE_DEVICES.to_owned(),
                    why,
                });
                break;
            };
            if let Some(messages) = &self.messages {
                messages.name(slot, &device.name);
            }
            self.watched.push(Watched::start(
                device.clone(),
                slot,
                self.cpus,
                self.lister.mounts(),
                &mut self.maps,
            )?);
            changed = true;
        }
        if changed {
            self.watched
                .sort_by_key(|watched| (watched.device.kind(), watched.device.number));
            self.look_below()?;
        }
        Ok(())
    }

    fn look_below(&mut self) -> Result<(), SourceError> {
        let loops = self
            .watched
            .iter()
            .filter_map(Watched::loop_below)
            .collect();
        let filesystems = self
            .watched
            .iter()
            .filter_map(|watched| Some(watched.file()?.device as u32))
            .collect();
        self.maps.look_below(&loops, &filesystems).map_err(|error| {
            SourceError(format!(
                "cannot tell the probes which disks lie below: {error}"
            ))
        })
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.maps.next_event() {
            let watched = self.watched.iter_mut();
            for watched in watched.filter(|watched| watched.slot == event.device) {
                // What rloop's module tells of is more than what the filesystem does.
                let told = match watched.device.kind() {
                    Kind::Loop => EventKind::Commit,
                    Kind::Rloop => EventKind::RloopCommit,
                };
                if event.kind == told as u32 {
                    watched.committed(&event);
                }
            }
        }
        while let Some(trace) = self.maps.next_trace() {
            let mut watched = self.watched.iter_mut();
            if let Some(watched) = watched.find(|watched| watched.slot == trace.device()) {
                watched.traced(trace);
            }
        }
    }
}

impl Source for Live {
    fn next(&mut self) -> Result<Option<Sample>, SourceError> {
        let devices = list(&mut self.lister)?;
        self.follow(&devices)?;
        self.drain_events();
        if let Some(messages) = &mut self.messages {
            messages.write();
        }
        let mut samples: Vec<DeviceSample> = self
            .watched
            .iter_mut()
            .map(|watched| watched.sample(self.lister.mounts(), &devices, &mut self.maps))
            .collect();
        let untold = self.watched.iter().map(Watched::untold).sum();
        self.issues.follow(untold, &mut self.ebpf)?;
        if let Some(why) = self.rloop.unavailable() {
            let rloops = samples
                .iter_mut()
                .filter(|sample| sample.kind == Kind::Rloop);
            rloops.for_each(|sample| sample.unavailable.push(why.clone()));
        }
        self.submitters.add(&self.maps, &self.watched, &mut samples);
        samples.iter_mut().for_each(traces::name);
        let mut lost = self.lost_before;
        self.watched
            .iter()
            .for_each(|watched| add_lost(&mut lost, watched.lost()));
        lost.ring_events = self.maps.events_lost();
        lost.traces = self.maps.traces_lost();
        lost.recursion = self.cost.recursion_misses();
        Ok(Some(Sample {
            wall_ns: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_nanos() as u64),
            monotonic_ns: clock_ns(ClockId::Monotonic),
            lost,
            devices: samples,
            probe: self.cost.total(),
            own_cpu_ns: clock_ns(ClockId::ProcessCPUTime),
            unavailable: self.unavailable.clone(),
        }))
    }
}

/// Adds what a device lost.
fn add_lost(sum: &mut Lost, lost: Lost) {
    sum.completions += lost.completions;
    sum.unattributed += lost.unattributed;
}

fn clock_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
