//! Attaching files to loop devices, and detaching them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};

use super::list::{FileId, open_node};
use super::{DeviceNumber, LoopDevice, abi};

/// How often another process may take the free device away before giving up.
const ATTEMPTS: u32 = 64;

/// How long a detached device may stay in use by others (udev looks at new disks).
const DETACH_PATIENCE: Duration = Duration::from_secs(3);

/// How to attach a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachOptions {
    /// Where the device starts in the file, bytes.
    pub offset_bytes: u64,
    /// How much of the file it shows, bytes; 0 for all.
    pub sizelimit_bytes: u64,
    /// Refuse writes.
    pub read_only: bool,
    /// Ask for direct I/O. The driver goes without if the file cannot.
    pub direct_io: bool,
    /// Logical block size in bytes; 0 leaves the choice to the driver.
    pub block_bytes: u32,
    /// Detach when the last opener closes it, even if this process was killed.
    pub autoclear: bool,
    /// Look for a partition table.
    pub partitions: bool,
}

/// An attached device; dropping it detaches the device.
#[derive(Debug)]
pub struct Attached {
    name: String,
    path: PathBuf,
    device: Option<File>,
    made_node: bool,
}

/// Attaches `file` to a device that is free.
pub fn attach(file: &Path, options: &AttachOptions) -> io::Result<Attached> {
    let backing = OpenOptions::new()
        .read(true)
        .write(!options.read_only)
        .open(file)?;
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/loop-control");
    let control = control.map_err(|error| on("/dev/loop-control", &error))?;
    for _ in 0..ATTEMPTS {
        let name = format!("loop{}", abi::free_number(&control)?);
        match configure(&name, &backing, options) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            result => return result.map_err(|error| on(&format!("/dev/{name}"), &error)),
        }
    }
    Err(io::Error::other(
        "every free loop device was taken by somebody else at once; try again",
    ))
}

/// Detaches a device, and waits until it is. If it is attached to another file by now, it is left
/// alone.
pub fn detach(device: &LoopDevice) -> io::Result<()> {
    // Once it is open nobody can attach it to another file, so the answer stays true.
    let file = open_node(&device.name, device.dev)?;
    let now = match abi::loop_status(&file) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(()),
        status => FileId::from_status(status?),
    };
    let same = device
        .file
        .as_ref()
        .is_ok_and(|id| (id.st_dev, id.ino) == (now.st_dev, now.ino));
    if !same {
        let why = format!("/dev/{} is attached to another file by now", device.name);
        return Err(io::Error::other(why));
    }
    clear(file, &device.name)
}

/// Switches direct I/O of an attached device.
pub fn set_direct_io(device: &File, on: bool) -> io::Result<()> {
    abi::set_direct_io(device, on)
}

/// Discards `len_bytes` of a block device from `start_bytes` on.
pub fn discard(device: &File, start_bytes: u64, len_bytes: u64) -> io::Result<()> {
    abi::discard(device, start_bytes, len_bytes)
}

impl Attached {
    /// Name without `/dev/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path of the device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Detaches now, and says whether that worked: it does not while others use the device.
    pub fn detach(mut self) -> io::Result<()> {
        self.release()
    }

    fn release(&mut self) -> io::Result<()> {
        let result = self
            .device
            .take()
            .map_or(Ok(()), |device| clear(device, &self.name));
        if std::mem::take(&mut self.made_node) {
            fs::remove_file(&self.path)?;
        }
        result
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Nobody is left to be told; `detach` is there for those who want to know.
        let _ = self.release();
    }
}

fn configure(name: &str, backing: &File, options: &AttachOptions) -> io::Result<Attached> {
    let path = Path::new("/dev").join(name);
    let made_node = ensure_node(&path, name)?;
    // From here on the guard takes the node away again, also on errors.
    let mut attached = Attached {
        name: name.to_owned(),
        path,
        device: None,
        made_node,
    };
    let writable = !options.read_only;
    let device = OpenOptions::new()
        .read(true)
        .write(writable)
        .open(&attached.path)?;
    let flag = |wanted: bool, flag: u32| if wanted { flag } else { 0 };
    let info = abi::LoopInfo64 {
        offset: options.offset_bytes,
        sizelimit: options.sizelimit_bytes,
        flags: flag(options.read_only, abi::LO_FLAGS_READ_ONLY)
            | flag(options.direct_io, abi::LO_FLAGS_DIRECT_IO)
            | flag(options.autoclear, abi::LO_FLAGS_AUTOCLEAR)
            | flag(options.partitions, abi::LO_FLAGS_PARTSCAN),
        ..abi::LoopInfo64::ZERO
    };
    abi::configure(&device, backing.as_fd(), options.block_bytes, info)?;
    attached.device = Some(device);
    Ok(attached)
}

/// Makes the device node where nobody else does (no udev, no devtmpfs); true if it did.
pub(crate) fn ensure_node(path: &Path, name: &str) -> io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    let text = fs::read_to_string(Path::new("/sys/block").join(name).join("dev"))?;
    let dev = DeviceNumber::parse(&text).ok_or_else(|| io::Error::other("no device number"))?;
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::mknodat(CWD, path, FileType::BlockDevice, mode, dev.to_stat()) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn clear(device: File, name: &str) -> io::Result<()> {
    match abi::clear(&device) {
        // Somebody else was faster, which is as good.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(()),
        result => result?,
    }
    // While it is open elsewhere the driver only notes the wish, and newer ones always do.
    drop(device);
    let start = Instant::now();
    let mark = Path::new("/sys/block").join(name).join("loop/backing_file");
    while mark.exists() {
        if start.elapsed() > DETACH_PATIENCE {
            let why = format!("/dev/{name} is still in use; it detaches when its last user ends");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn on(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
