//! What the whole machine did: the time of its processors, how often they went from one task to another, and what
//! was written to the disk of the file's filesystem.

use std::fs;
use std::io;

use crate::device::DeviceNumber;

/// Since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// How long its processors were busy, nanoseconds.
    pub(super) busy_ns: u64,
    /// Context switches.
    pub(super) switches: u64,
    /// Bytes written to the disk; `None` if the filesystem is not on one, as btrfs says of itself.
    pub(super) disk_bytes: Option<u64>,
}

impl Machine {
    /// Up to now, with a filesystem on this disk.
    pub(super) fn now(disk: DeviceNumber) -> io::Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let per_second = rustix::param::clock_ticks_per_second();
        let machine = Self::parse(&text, per_second)
            .ok_or_else(|| io::Error::other("/proc/stat is not understood"))?;
        Ok(Self {
            disk_bytes: written_bytes(disk),
            ..machine
        })
    }

    fn parse(text: &str, ticks_per_second: u64) -> Option<Self> {
        let line = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let numbers = line.split_whitespace();
            numbers
                .map(|word| word.parse().ok())
                .collect::<Option<Vec<u64>>>()
        };
        let [user, nice, system, _idle, _wait, irq, soft, ..] = line("cpu ")?[..] else {
            return None;
        };
        let ticks = user + nice + system + irq + soft;
        Some(Self {
            busy_ns: ticks * (1_000_000_000 / ticks_per_second),
            switches: *line("ctxt ")?.first()?,
            disk_bytes: None,
        })
    }

    /// What has come since.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            busy_ns: self.busy_ns.saturating_sub(before.busy_ns),
            switches: self.switches.saturating_sub(before.switches),
            disk_bytes: self
                .disk_bytes
                .zip(before.disk_bytes)
                .map(|(now, before)| now.saturating_sub(before)),
        }
    }
}

/// To a disk or a partition, since the machine started.
fn written_bytes(disk: DeviceNumber) -> Option<u64> {
    let text = fs::read_to_string(format!("/sys/dev/block/{disk}/stat")).ok()?;
    let sectors: u64 = text.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_and_idling_is_not_being_busy() {
        let text = "cpu  10 1 20 1000 500 3 4 7 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\nctxt 12345\n";
        let machine = Machine::parse(text, 100).expect("parsed");
        assert_eq!(machine.busy_ns, 380_000_000);
        assert_eq!(machine.switches, 12_345);
        assert_eq!(Machine::parse("cpu  1 2\nctxt 1\n", 100), None);
        let none = DeviceNumber::default();
        let before = Machine::now(none).expect("read");
        std::thread::yield_now();
        let since = Machine::now(none).expect("read").since(before);
        assert!(before.switches > 0 && since.switches < before.switches);
        assert_eq!(since.disk_bytes, None);
    }
}
