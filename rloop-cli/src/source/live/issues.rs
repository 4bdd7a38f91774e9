//! When requests were issued to their driver, of those whose own fields do not tell.
//!
//! The kernel looks at the clock once for all that a process submits together, before the first of it is made, and not
//! at all where a device keeps no such statistics. Then a program at the issue looks. It would run for every request of
//! every disk, so it is attached only while there are such requests.

use aya::Ebpf;

use super::probes::Group;
use crate::source::SourceError;

/// Samples without such requests after which the program is detached.
const PATIENCE: u32 = 10;

/// The program, and whether it is needed.
pub(super) struct Issues {
    group: Group,
    /// Requests that did not tell, at the last sample.
    untold: u64,
    /// Samples since there were more of them.
    quiet: u32,
}

impl Issues {
    /// Not needed yet.
    pub(super) fn new(group: Group) -> Self {
        Self {
            group,
            untold: 0,
            quiet: PATIENCE,
        }
    }

    /// Attaches the program if requests did not tell since the last sample, of `untold` in all; detaches it if for a
    /// while there were none.
    pub(super) fn follow(&mut self, untold: u64, ebpf: &mut Ebpf) -> Result<(), SourceError> {
        self.quiet = if untold > self.untold {
            0
        } else {
            self.quiet.saturating_add(1)
        };
        self.untold = untold;
        self.group.follow(self.quiet < PATIENCE, ebpf)
    }
}
