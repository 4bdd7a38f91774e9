//! Which rloop devices are this command's own. A loop device detaches itself when its process ends, an rloop
//! device stays; so it is noted, for the next one to detach it should this one be killed. Killed in the
//! instant before it is noted, it leaves a device that the next one names, and leaves alone.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::device::list::instance;
use crate::driver::Control;
use crate::scratch::{Family, Scratch};

/// Emptied when the machine starts, as are its devices.
const FOLDER: &str = "/run";

const NOTES: Family = Family {
    prefix: "rloop-compare",
    suffix: ".devices",
};

/// The note of one process: a line for each device that it attached.
pub(super) struct Claim(Scratch);

impl Claim {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        Scratch::create(Path::new(FOLDER), NOTES).map(Self)
    }

    /// Notes a device that was just attached.
    pub(super) fn add(&self, number: u32) -> io::Result<()> {
        let line = format!("{} {number} {}\n", boot(), instance(&folder(number)));
        let mut options = fs::OpenOptions::new();
        let mut file = options.append(true).open(self.0.path())?;
        file.write_all(line.as_bytes())
    }
}

/// Detaches what killed ones left; the devices that are gone. One that somebody uses stays.
pub(super) fn detach_leftovers(control: &Control) -> Vec<String> {
    let mut gone = Vec::new();
    for note in NOTES.abandoned(Path::new(FOLDER)) {
        let text = fs::read_to_string(note.path()).unwrap_or_default();
        let left = text.lines().filter_map(attached);
        gone.extend(left.filter_map(|number| {
            let detached = super::detach::detach(control, number);
            detached.is_ok().then(|| format!("/dev/rloop{number}"))
        }));
    }
    gone
}

/// The device of a line, if it is still the one that was noted.
fn attached(line: &str) -> Option<u32> {
    let mut words = line.split(' ');
    let (noted, number) = (words.next()?, words.next()?.parse().ok()?);
    let sequence: u64 = words.next()?.parse().ok()?;
    let is_same = noted == boot() && sequence == instance(&folder(number));
    (is_same && folder(number).exists()).then_some(number)
}

/// Which start of the machine this is: numbers of devices begin anew with each.
fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.unwrap_or_default().trim().to_owned()
}

fn folder(number: u32) -> PathBuf {
    Path::new("/sys/block").join(format!("rloop{number}"))
}
