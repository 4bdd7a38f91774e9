//! The rloop devices that are attached now, from sysfs.

use std::fs;
use std::path::{Path, PathBuf};

use super::abi;
use super::control::Control;
use super::error::{DriverError, check_loaded};
use crate::device::DeviceNumber;
use crate::device::list::{FileId, attribute, instance, split_path};

/// An attached rloop device.
#[derive(Clone, Debug, Default)]
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
        devices.extend(number.and_then(|number| ask(number, control.as_ref())));
    }
    devices.sort_by_key(|device: &RloopDevice| device.number);
    Ok(devices)
}

/// One device, given its number.
pub fn find(number: u32) -> Result<RloopDevice, DriverError> {
    check_loaded()?;
    let name = format!("rloop{number}");
    ask(number, Control::open().ok().as_ref()).ok_or(DriverError::NoDevice { name })
}

/// The number in a device's name, without `/dev/`.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("rloop")?;
    // Only as the kernel writes it: neither a sign nor zeros before it.
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// `None` when the device is not attached, or no longer.
fn ask(number: u32, control: Option<&Control>) -> Option<RloopDevice> {
    let folder = Path::new("/sys/block").join(format!("rloop{number}"));
    let before = instance(&folder);
    let device = read(&folder, number, identity(number, control))?;
    // Attached to another file meanwhile: half of it would belong to the old one.
    (before == device.instance && instance(&folder) == before).then_some(device)
}

/// Reads a device's folder in sysfs.
fn read(folder: &Path, number: u32, file: Option<FileId>) -> Option<RloopDevice> {
    let text = |name: &str| {
        let text = fs::read_to_string(folder.join("rloop").join(name)).ok()?;
        Some(text.trim_end().to_owned())
    };
    let value = |name: &str| attribute(folder, name);
    let mut path = fs::read(folder.join("rloop/backing_file")).ok()?;
    path.pop_if(|last| *last == b'\n');
    let (path, deleted) = split_path(&path, file.as_ref());
    Some(RloopDevice {
        name: format!("rloop{number}"),
        number,
        dev: DeviceNumber::parse(&fs::read_to_string(folder.join("dev")).ok()?)?,
        instance: instance(folder),
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
    })
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// A device's folder as the module makes it.
    fn folder(backing_file: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for inner in ["rloop", "queue"] {
            fs::create_dir(folder.path().join(inner)).expect("made");
        }
        for (name, text) in [
            ("diskseq", "17\n"),
            ("dev", "259:4\n"),
            ("size", "2048\n"),
            ("ro", "1\n"),
            ("ext_range", "256\n"),
            ("queue/logical_block_size", "4096\n"),
            ("rloop/backing_file", backing_file),
            ("rloop/provider", "layout\n"),
            ("rloop/why", "best\n"),
            ("rloop/fill", "vfs\n"),
            ("rloop/commit", "flush\n"),
            ("rloop/offset", "4096\n"),
            ("rloop/sizelimit", "0\n"),
            ("rloop/extents", "3\n"),
            ("rloop/error", "5\n"),
            ("rloop/stat", "fast_reads 12\nfast_read_bytes 49152\n"),
        ] {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    #[test]
    fn a_device_is_read_from_sysfs() {
        let folder = folder("/srv/a\nb.img\n");
        let device = read(folder.path(), 3, None).expect("read");
        assert_eq!((device.name.as_str(), device.number), ("rloop3", 3));
        assert_eq!(
            device.dev,
            DeviceNumber {
                major: 259,
                minor: 4
            }
        );
        assert_eq!((device.instance, device.size_bytes), (17, 1 << 20));
        assert!(device.read_only && device.partitions && !device.deleted);
        assert_eq!(device.path, Path::new("/srv/a\nb.img"));
        assert_eq!((device.offset_bytes, device.error), (4096, 5));
        assert_eq!(device.counters[1], ("fast_read_bytes".to_owned(), 49152));
        fs::remove_file(folder.path().join("rloop/provider")).expect("removed");
        assert!(read(folder.path(), 3, None).is_none());
    }

    #[test]
    fn a_deleted_file_is_told_from_one_of_that_name() {
        let device = read(folder("/srv/a.img (deleted)\n").path(), 0, None).expect("read");
        assert!(device.deleted);
        assert_eq!(device.path, Path::new("/srv/a.img"));

        let real = tempfile::Builder::new()
            .suffix(" (deleted)")
            .tempfile()
            .expect("a file");
        let stat = real.as_file().metadata().expect("its status");
        let dev = DeviceNumber::from_stat(stat.dev());
        let file = FileId {
            st_dev: dev,
            fs_dev: Some(dev),
            ino: stat.ino(),
        };
        let name = format!("{}\n", real.path().display());
        let device = read(folder(&name).path(), 0, Some(file)).expect("read");
        assert!(!device.deleted);
        assert_eq!(device.path, real.path());
    }

    #[test]
    fn only_the_kernel_s_own_names_are_devices() {
        assert_eq!(number_of("rloop12"), Some(12));
        for name in [
            "rloop",
            "rloop01",
            "rloop+1",
            "rloop1p1",
            "loop1",
            "rloop-control",
        ] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
