//! Who submitted, and who took mappings back, with the names of their cgroups.

use std::collections::HashMap;

use rloop_common::who::{Recent, Who, Work};

use super::{maps::Maps, watched::Watched};
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

    /// Adds to each sample those who submitted to its device, or took its mapping back; `watched` are the samples'
    /// devices.
    pub(super) fn add(&mut self, maps: &Maps, watched: &[Watched], samples: &mut [DeviceSample]) {
        let place_of = |who: &Who| watched.iter().position(|device| device.slot == who.device);
        for (who, work) in submitted(maps, watched) {
            if let Some(place) = place_of(&who) {
                let submitter = self.named(who, work);
                samples[place].submitters.push(submitter);
            }
        }
        for (who, work) in maps.recallers() {
            let place = place_of(&who);
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

/// How often to read what changes on the way.
const TRIES: usize = 3;

/// Who submitted, all in all: what the probes have in their table, and what is not there yet.
fn submitted(maps: &Maps, watched: &[Watched]) -> HashMap<Who, Work> {
    let mut sums = HashMap::new();
    let mut before = recent(watched);
    for _ in 0..TRIES {
        sums = maps.submitters().collect();
        let after = recent(watched);
        let is_still = after.iter().all(|(_, recent)| recent.changes % 2 == 0)
            && after.iter().map(changes).eq(before.iter().map(changes));
        before = after;
        // Else work that went into the table meanwhile is missing or there twice, until the next sample.
        if is_still {
            break;
        }
    }
    for (who, Recent { work, .. }) in before {
        if work.requests > 0 {
            let sum: &mut Work = sums.entry(who).or_insert(Work {
                requests: 0,
                bytes: 0,
                ..work
            });
            sum.requests += work.requests;
            sum.bytes += work.bytes;
        }
    }
    sums
}

fn recent(watched: &[Watched]) -> Vec<(Who, Recent)> {
    watched.iter().flat_map(Watched::recent).collect()
}

fn changes((_, recent): &(Who, Recent)) -> u32 {
    recent.changes
}
