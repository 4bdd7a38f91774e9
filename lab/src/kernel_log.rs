//! The kernel's log: what a test made the kernel complain about fails the test.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result, bail};

/// What only a broken kernel says.
const COMPLAINTS: &[&str] = &[
    "------------[ cut here ]------------",
    "BUG: ",
    "Bad page",
    "INFO: possible",
    "INFO: rcu",
    "INFO: task ",
    "INFO: trying to register non-static key",
    "KASAN",
    "KFENCE",
    "Kernel panic",
    "Oops",
    "UBSAN",
    "WARNING: ",
    "detected stalls",
    "general protection fault",
    "hard LOCKUP",
    "inconsistent lock state",
    "kernel BUG at",
    "leaked",
    "list_add corruption",
    "list_del corruption",
    "panicked at",
    "possible circular locking",
    "possible recursive locking",
    "refcount_t: ",
    "self-detected stall",
    "soft lockup",
    "suspicious RCU usage",
    "unreferenced object",
];

/// A module that is not the kernel's own (12), and not signed (13). Rust adds nothing.
const OUR_TAINT: u64 = 1 << 12 | 1 << 13;

/// The log from some moment on.
pub(crate) struct KernelLog {
    file: File,
    read: Vec<String>,
}

impl KernelLog {
    /// Begins at the end of what is there.
    pub(crate) fn from_now_on() -> Result<Self> {
        let mut log = Self::since_boot()?;
        log.file.seek(SeekFrom::End(0))?;
        Ok(log)
    }

    /// Begins with the oldest line that is there.
    pub(crate) fn since_boot() -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = options
            .open("/dev/kmsg")
            .context("could not open the kernel's log")?;
        let read = Vec::new();
        Ok(Self { file, read })
    }

    /// Writes a line into the log, as the kernel would.
    pub(crate) fn write(&self, line: &str) -> Result<()> {
        let mut log = OpenOptions::new().write(true).open("/dev/kmsg")?;
        log.write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }

    /// Fails if the kernel complained, other than about what is allowed.
    pub(crate) fn check(&mut self, allowed: &[String]) -> Result<()> {
        self.read_on()?;
        let complaints = complaints(&self.read, allowed);
        if let Some(first) = complaints.first() {
            bail!(
                "the kernel said \"{first}\", and {} more such lines",
                complaints.len() - 1
            );
        }
        if let Some(leak) = leaks().first() {
            bail!("memory was allocated and is lost: {leak}");
        }
        let tainted: u64 = fs::read_to_string("/proc/sys/kernel/tainted")?
            .trim()
            .parse()?;
        let foreign = tainted & !OUR_TAINT;
        if foreign != 0 && allowed.is_empty() {
            bail!("the kernel is tainted: {foreign:#x} beside the module's own {OUR_TAINT:#x}");
        }
        Ok(())
    }

    /// All of it, and what was allocated and is lost, where the kernel looks for that.
    pub(crate) fn text(&mut self) -> Result<String> {
        self.read_on()?;
        Ok(self.read.join("\n") + "\n" + &leaks().join("\n"))
    }

    fn read_on(&mut self) -> Result<()> {
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&record[..bytes]);
                    self.read.extend(message(&text).map(str::to_owned));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The oldest records were overwritten; it goes on with what is left.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    self.read.push("(records were lost here)".into());
                }
                Err(error) => return Err(error).context("could not read the kernel's log"),
            }
        }
    }
}

/// What was allocated and nothing points to, where the kernel looks for that.
fn leaks() -> Vec<String> {
    lost(&fs::read_to_string("/sys/kernel/debug/kmemleak").unwrap_or_default())
}

/// Those leaks that are not of the kernel's own start.
fn lost(kmemleak: &str) -> Vec<String> {
    const OBJECT: &str = "unreferenced object ";
    let objects = kmemleak.split(OBJECT).skip(1);
    objects
        .filter(|object| !object.contains("comm \"swapper/"))
        .map(|object| OBJECT.to_owned() + object.trim_end())
        .collect()
}

/// The text of a record: `6,1234,5678901,-;text`, then lines of properties.
fn message(record: &str) -> Option<&str> {
    let (_, rest) = record.split_once(';')?;
    rest.lines().next()
}

fn complaints<'a>(lines: &'a [String], allowed: &[String]) -> Vec<&'a str> {
    let is_allowed = |line: &str| allowed.iter().any(|text| line.contains(text));
    let is_complaint = |line: &str| COMPLAINTS.iter().any(|text| line.contains(text));
    let lines = lines.iter().map(String::as_str);
    lines
        .filter(|line| is_complaint(line) && !is_allowed(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, allowed: &[&str]) -> Vec<String> {
        let lines: Vec<String> = text
            .lines()
            .filter_map(message)
            .map(str::to_owned)
            .collect();
        let allowed: Vec<String> = allowed.iter().map(|&text| text.to_owned()).collect();
        complaints(&lines, &allowed)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_warning_is_a_complaint_unless_allowed() {
        let log = "4,812,7001,-;------------[ cut here ]------------\n\
                   4,813,7002,-;WARNING: block/bio.c:42 at bio_put+0x10/0x20, CPU#1: fio/77\n\
                   4,814,7003,-;Modules linked in: rloop(OE)";
        assert_eq!(found(log, &[]).len(), 2);
        assert_eq!(found(log, &["cut here", "bio_put"]), [""; 0]);
    }

    #[test]
    fn a_hung_task_lockdep_and_a_leak_are_complaints() {
        for line in [
            "3,1,1,-;INFO: task fio:99 blocked for more than 120 seconds.",
            "4,1,1,-;WARNING: possible circular locking dependency detected",
            "3,1,1,-;BUG: sleeping function called from invalid context at mm/slab.h:1",
            "1,1,1,-;Oops: general protection fault, probably for non-canonical address",
            "6,1,1,-;rloop: 3 bios leaked",
        ] {
            assert_eq!(found(line, &[]).len(), 1, "{line}");
        }
    }

    #[test]
    fn what_is_lost_is_told_but_for_what_the_kernel_began_with() {
        let object = |command: &str| {
            format!("unreferenced object 0xff11 (size 8):\n  comm \"{command}\", pid 1\n")
        };
        assert_eq!(lost(&object("swapper/0")), [""; 0]);
        let both = object("swapper/0") + &object("rloop");
        assert_eq!(lost(&both), [object("rloop").trim_end()]);
    }

    #[test]
    fn what_a_sound_kernel_says_is_none() {
        let log = "6,1,1,-;XFS (vdb): Mounting V5 Filesystem 1f\n SUBSYSTEM=block\n DEVICE=b254:16\n\
                   3,2,2,-;Buffer I/O error on dev dm-0, logical block 3, async page read\n\
                   4,3,3,-;rloop: loading out-of-tree module taints kernel.";
        assert_eq!(found(log, &[]), [""; 0]);
    }
}
