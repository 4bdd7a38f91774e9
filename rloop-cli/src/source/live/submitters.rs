//! Who submitted, with the names of their cgroups.

use super::maps::Maps;
use crate::{
    device::{cgroup::Cgroups, mounts::Mounts},
    sample::{Cgroup, DeviceSample, Submitter},
};

/// Names those who submit.
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

    /// Adds to each sample those who submitted to its device; `slots` are the samples' slots.
    pub(super) fn add(&mut self, maps: &Maps, slots: &[u32], samples: &mut [DeviceSample]) {
        for (who, work) in maps.submitters() {
            let Some(place) = slots.iter().position(|&slot| slot == who.device) else {
                continue;
            };
            let name = work.command.split(|&byte| byte == 0).next().unwrap_or(&[]);
            samples[place].submitters.push(Submitter {
                pid: who.process,
                command: String::from_utf8_lossy(name).into_owned(),
                cgroup: Cgroup {
                    id: who.cgroup,
                    path: self.cgroups.path(who.cgroup).map(str::to_owned),
                },
                requests: work.requests,
                bytes: work.bytes,
            });
        }
        for sample in samples {
            sample
                .submitters
                .sort_by_key(|submitter| (std::cmp::Reverse(submitter.bytes), submitter.pid));
        }
    }
}
