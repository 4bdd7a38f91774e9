//! A device's node in `/dev`.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::device::number_of;
use crate::device::DeviceNumber;
use crate::device::control::ensure_node;

/// How long devtmpfs or udev may take to make a node.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a user may call an rloop device: `rloop0`, `/dev/rloop0`, or a link to that. Its number.
pub fn number(word: &str) -> Option<u32> {
    let named = |path: &Path| number_of(path.strip_prefix("/dev").ok()?.to_str()?);
    if !word.contains('/') {
        return number_of(word);
    }
    let path = Path::new(word);
    named(path).or_else(|| named(&fs::canonicalize(path).ok()?))
}

/// Waits for the node of a device, and makes it where nobody else does. Its path.
pub fn wait(number: u32) -> io::Result<PathBuf> {
    let name = format!("rloop{number}");
    let path = Path::new("/dev").join(&name);
    let text = fs::read_to_string(Path::new("/sys/block").join(&name).join("dev"))?;
    let dev = DeviceNumber::parse(&text).ok_or_else(|| io::Error::other("no device number"))?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if is_node(&path, dev) {
            return Ok(path);
        }
        thread::sleep(Duration::from_millis(5));
    }
    ensure_node(&path, &name)?;
    if is_node(&path, dev) {
        return Ok(path);
    }
    Err(io::Error::other(format!("it is not block device {dev}")))
}

fn is_node(path: &Path, dev: DeviceNumber) -> bool {
    fs::metadata(path).is_ok_and(|stat| {
        stat.file_type().is_block_device() && DeviceNumber::from_stat(stat.rdev()) == dev
    })
}
