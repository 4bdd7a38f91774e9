//! The rloop devices that are attached now, from sysfs.

use std::fs;
use std::path::{Path, PathBuf};

use super::abi;
use super::control::Control;
use super::error::{DriverError, check_loaded};
use crate::device::DeviceNumber;
use crate::device::list::{FileId, attribute, instance, split_path};

/// An attached rloop device.
#[derive(Clone, Debug)]
pub struct RloopDevice {
    /// Name without `/dev/`.
    pub name: String,
    /// The number after `rloop`.
    pub number: u32,
    /// Its device number.
    pub dev: DeviceNumber,
    /// Changes whenever it is attached (`diskseq`).
    pub instance: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its logical block size in bytes.
    pub block_bytes: u32,
    /// It refuses writes.
    pub read_only: bool,
    /// Partitions are looked for.
    pub partitions: bool,
    /// Where it starts in the file, bytes.
    pub offset_bytes: u64,
    /// How long it may be, bytes; 0 for up to the file's end.
    pub sizelimit_bytes: u64,
    /// Path of the backing file, without the kernel's mark for deleted ones.
    pub path: PathBuf,
    /// The path was deleted.
    pub deleted: bool,
    /// Which file it is; needs CAP_SYS_ADMIN.
    pub file: Option<FileId>,
    /// Who maps: one of [`abi::PROVIDERS`].
    pub provider: String,
    /// Why it is not a better one: one of [`abi::REASONS`].
    pub why: String,
    /// How holes are filled: `vfs` or `layout`.
    pub fill: String,
    /// When fills are made durable: `flush` or `each`.
    pub commit: String,
    /// The first error that lost something, as a positive errno; 0 if there was none.
    pub error: u32,
    /// Extents in the map.
    pub extents: u64,
    /// Counters since it was attached, with their names.
    pub counters: Vec<(String, u64)>,
}

/// The attached devices in natural order. One that vanishes meanwhile is left out.
pub fn list() -> Result<Vec<RloopDevice>, DriverError> {
    check_loaded()?;
    let control = Control::open().ok();
    let mut devices = Vec::new();
    for entry in fs::read_dir("/sys/block").map_err(DriverError::Refused)? {
        let name = entry.map_err(DriverError::Refused)?.file_name();
        let number = name.to_str().and_then(number_of);
        devices.extend(number.and_then(|number| read(number, control.as_ref())));
    }
    devices.sort_by_key(|device: &RloopDevice| device.number);
    Ok(devices)
}

/// One device, given its number.
pub fn find(number: u32) -> Result<RloopDevice, DriverError> {
    check_loaded()?;
    let name = format!("rloop{number}");
    read(number, Control::open().ok().as_ref()).ok_or(DriverError::NoDevice { name })
}

/// The number in a device's name, without `/dev/`.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("rloop")?;
    // Only as the kernel writes it: neither a sign nor zeros before it.
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// `None` when the device is not attached, or no longer.
fn read(number: u32, control: Option<&Control>) -> Option<RloopDevice> {
    let name = format!("rloop{number}");
    let folder = Path::new("/sys/block").join(&name);
    let instance_before = instance(&folder);
    let text = |name: &str| {
        let text = fs::read_to_string(folder.join("rloop").join(name)).ok()?;
        Some(text.trim_end().to_owned())
    };
    let value = |name: &str| attribute(&folder, name);
    let mut path = fs::read(folder.join("rloop/backing_file")).ok()?;
    path.pop_if(|last| *last == b'\n');
    let file = identity(number, control);
    let (path, deleted) = split_path(path, file.as_ref());
    let device = RloopDevice {
        number,
        dev: DeviceNumber::parse(&fs::read_to_string(folder.join("dev")).ok()?)?,
        instance: instance_before,
        size_bytes: value("size")? * 512,
        block_bytes: value("queue/logical_block_size")? as u32,
        read_only: value("ro")? != 0,
        partitions: value("ext_range")? > 1,
        offset_bytes: value("rloop/offset")?,
        sizelimit_bytes: value("rloop/sizelimit")?,
        path,
        deleted,
        file,
        provider: text("provider")?,
        why: text("why")?,
        fill: text("fill")?,
        commit: text("commit")?,
        error: value("rloop/error")? as u32,
        extents: value("rloop/extents")?,
        counters: counters(&text("stat")?),
        name,
    };
    // Attached to another file meanwhile: half of the above would belong to the old one.
    (instance(&folder) == instance_before).then_some(device)
}

fn identity(number: u32, control: Option<&Control>) -> Option<FileId> {
    let abi::Status {
        backing_dev,
        backing_ino,
        ..
    } = control?.status(number).ok()?;
    let dev = DeviceNumber::from_kernel(u32::try_from(backing_dev).ok()?);
    Some(FileId {
        st_dev: dev,
        fs_dev: Some(dev),
        ino: backing_ino,
    })
}

/// Lines of a name and a number.
fn counters(text: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}
