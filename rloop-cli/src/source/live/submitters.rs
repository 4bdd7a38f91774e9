//! Who submitted, and who took mappings back, with the names of their cgroups.

use rloop_common::who::{Who, Work};

use super::maps::Maps;
use crate::{
    device::{cgroup::Cgroups, mounts::Mounts},
    sample::{Cgroup, DeviceSample, Submitter},
};

/// Names them.
pub(super) struct Submitters {
    cgroups: Cgroups,
}

impl Submitters {
    /// Cgroups are named by the cgroup filesystem among these mounts.
    pub(super) fn new(mounts: &Mounts) -> Self {
        Self {
            cgroups: Cgroups::new(mounts),
        }
    }

    /// Adds to each sample those who submitted to its device, or took its mapping back; `slots` are the samples' slots.
    pub(super) fn add(&mut self, maps: &Maps, slots: &[u32], samples: &mut [DeviceSample]) {
        for (who, work) in maps.submitters() {
            if let Some(place) = slots.iter().position(|&slot| slot == who.device) {
                let submitter = self.named(who, work);
                samples[place].submitters.push(submitter);
            }
        }
        for (who, work) in maps.recallers() {
            let place = slots.iter().position(|&slot| slot == who.device);
            if let Some(rloop) = place.and_then(|place| samples[place].rloop.as_mut()) {
                let recaller = self.named(who, work);
                rloop.recallers.push(recaller);
            }
        }
        for sample in samples {
            sample
                .submitters
                .sort_by_key(|submitter| (std::cmp::Reverse(submitter.bytes), submitter.pid));
            if let Some(rloop) = &mut sample.rloop {
                rloop
                    .recallers
                    .sort_by_key(|who| (std::cmp::Reverse(who.requests), who.pid));
            }
        }
    }

    fn named(&mut self, who: Who, work: Work) -> Submitter {
        let name = work.command.split(|&byte| byte == 0).next().unwrap_or(&[]);
        Submitter {
            pid: who.process,
            command: String::from_utf8_lossy(name).into_owned(),
            cgroup: Cgroup {
                id: who.cgroup,
                path: self.cgroups.path(who.cgroup).map(str::to_owned),
            },
            requests: work.requests,
            bytes: work.bytes,
        }
    }
}
