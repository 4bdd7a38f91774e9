//! The loop devices that are attached now, from sysfs and, when one is new, an ioctl.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::mounts::{Mount, Mounts};
use super::{DeviceNumber, abi};
use crate::driver::RloopDevice;
use crate::sample::Kind;

/// Identity of a backing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number as `stat` gives it. On btrfs it is the subvolume's.
    pub st_dev: DeviceNumber,
    /// Device number of the filesystem (`s_dev`), which is what the probes see; `None` if the
    /// filesystem is mounted nowhere in this namespace.
    pub fs_dev: Option<DeviceNumber>,
    /// Inode number.
    pub ino: u64,
}

/// An attached loop device.
#[derive(Clone, Debug)]
pub struct LoopDevice {
    /// Name without `/dev/`.
    pub name: String,
    /// The number after `loop`.
    pub number: u32,
    /// Its device number.
    pub dev: DeviceNumber,
    /// Changes whenever it is attached (`diskseq`).
    pub instance: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its logical block size in bytes.
    pub logical_block_bytes: u32,
    /// Tags of one hardware queue: requests that can be in flight at once.
    pub nr_requests: u32,
    /// It refuses writes.
    pub read_only: bool,
    /// The driver says that it does direct I/O.
    pub claims_direct: bool,
    /// It detaches itself when its last opener closes it.
    pub autoclear: bool,
    /// Where it starts in the file, bytes.
    pub offset_bytes: u64,
    /// How much of the file it shows, bytes; 0 for all.
    pub sizelimit_bytes: u64,
    /// What the kernel calls the backing file now.
    pub(super) told: Vec<u8>,
    /// Path of the backing file, without the kernel's mark for deleted ones.
    pub path: PathBuf,
    /// The path was deleted.
    pub deleted: bool,
    /// Which file it is, or why that cannot be told.
    pub file: Result<FileId, String>,
    /// The block device that the backing file's filesystem lies on.
    pub disk: Option<DeviceNumber>,
    /// It is one of the kernel module rloop, which tells this of it.
    pub rloop: Option<RloopDevice>,
}

/// The attached loop devices in natural order. One that vanishes meanwhile is left out.
pub fn list() -> io::Result<Vec<LoopDevice>> {
    Lister::default().list()
}

/// Lists again and again: which file is behind a device is asked only when it may have changed.
#[derive(Debug, Default)]
pub struct Lister {
    mounts: Mounts,
    known: BTreeMap<u32, LoopDevice>,
}

impl Lister {
    /// As [`list`].
    pub fn list(&mut self) -> io::Result<Vec<LoopDevice>> {
        let mounts = Mounts::read()?;
        // A mount may be the one that a file is on: all is asked again.
        let mut known = if mounts == self.mounts {
            std::mem::take(&mut self.known)
        } else {
            BTreeMap::new()
        };
        for entry in fs::read_dir("/sys/block")? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            let number = name
                .strip_prefix("loop")
                .and_then(|number| number.parse().ok());
            let Some(number) = number else { continue };
            let before = known.remove(&number);
            let now = before.and_then(LoopDevice::again);
            if let Some(now) = now.or_else(|| LoopDevice::read(&name, number, &mounts)) {
                self.known.insert(number, now);
            }
        }
        self.mounts = mounts;
        Ok(self.known.values().cloned().collect())
    }

    /// The mounts at the last list.
    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }
}

/// One device, given its name without `/dev/`; `None` if it is not attached.
pub fn find(name: &str) -> io::Result<Option<LoopDevice>> {
    let number = name
        .strip_prefix("loop")
        .and_then(|number| number.parse().ok());
    let mounts = Mounts::read()?;
    Ok(number.and_then(|number| LoopDevice::read(name, number, &mounts)))
}

impl LoopDevice {
    /// Opens the device for reading. Keep it open for moments only.
    pub fn open(&self) -> io::Result<File> {
        open_node(&self.name, self.dev)
    }

    /// Requests in flight as the kernel counts them; `None` if it does not (`queue/iostats` is 0).
    pub fn in_flight(&self) -> Option<u64> {
        const IN_FLIGHT: usize = 8;
        let folder = folder(&self.name);
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let field = stat.split_whitespace().nth(IN_FLIGHT)?;
        field.parse().ok().filter(|_| self.keeps_statistics())
    }

    /// Whether the kernel counts and times its requests; else they do not tell when they began.
    pub fn keeps_statistics(&self) -> bool {
        attribute(&folder(&self.name), "queue/iostats") == Some(1)
    }

    /// Whose device it is.
    pub fn kind(&self) -> Kind {
        match self.rloop {
            None => Kind::Loop,
            Some(_) => Kind::Rloop,
        }
    }

    /// The part of the backing file that the device shows: (start, length), in bytes.
    pub fn window(&self) -> (u64, u64) {
        (self.offset_bytes, self.size_bytes)
    }
}

impl LoopDevice {
    /// `None` when the device is not attached, or no longer.
    fn read(name: &str, number: u32, mounts: &Mounts) -> Option<Self> {
        let folder = folder(name);
        let instance = instance(&folder);
        let told = told(&folder)?;
        let dev = DeviceNumber::parse(&fs::read_to_string(folder.join("dev")).ok()?)?;
        let status = open_node(name, dev).and_then(|device| abi::loop_status(&device));
        let mut file = status
            .map(FileId::from_status)
            .map_err(|e| format!("/dev/{name}: {e}"));
        let (path, deleted) = split_path(&told, file.as_ref().ok());
        let mount = file
            .as_ref()
            .ok()
            .and_then(|id| mount_of(&path, deleted, id, mounts));
        if let Ok(id) = &mut file {
            id.fs_dev = mount.map(|mount| mount.dev);
        }
        let device = Self {
            name: name.to_owned(),
            number,
            dev,
            instance,
            told,
            path,
            deleted,
            file,
            disk: mount.and_then(|mount| mount.block_device()),
            size_bytes: 0,
            logical_block_bytes: 0,
            nr_requests: 0,
            read_only: false,
            claims_direct: false,
            autoclear: false,
            offset_bytes: 0,
            sizelimit_bytes: 0,
            rloop: None,
        };
        device.settings()
    }

    /// The same device a while later; `None` if it may be attached to another file, or the file has
    /// another name, or who it is could not be told.
    fn again(self) -> Option<Self> {
        let same = self.file.is_ok() && told(&folder(&self.name))? == self.told;
        same.then_some(self)?.settings()
    }

    /// What can be set while it is attached.
    fn settings(mut self) -> Option<Self> {
        let folder = folder(&self.name);
        let number = |name| attribute(&folder, name);
        self.size_bytes = number("size")? * 512;
        self.logical_block_bytes = number("queue/logical_block_size")? as u32;
        self.nr_requests = number("queue/nr_requests")? as u32;
        self.read_only = number("ro")? != 0;
        self.claims_direct = number("loop/dio")? != 0;
        self.autoclear = number("loop/autoclear")? != 0;
        self.offset_bytes = number("loop/offset")?;
        self.sizelimit_bytes = number("loop/sizelimit")?;
        // Attached to another file meanwhile: half of it all would belong to the old one.
        (instance(&folder) == self.instance).then_some(self)
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new("/sys/block").join(name)
}

/// What the kernel calls the backing file now.
fn told(folder: &Path) -> Option<Vec<u8>> {
    let mut path = fs::read(folder.join("loop/backing_file")).ok()?;
    path.pop_if(|last| *last == b'\n');
    Some(path)
}

/// A number that a file of a folder in sysfs holds.
pub(crate) fn attribute(folder: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(folder.join(name))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Kernels before 5.15 have no `diskseq`: there the device counts as one for ever.
pub(crate) fn instance(folder: &Path) -> u64 {
    attribute(folder, "diskseq").unwrap_or(0)
}

impl FileId {
    pub(super) fn from_status(status: abi::LoopInfo64) -> Self {
        let st_dev = DeviceNumber::from_stat(status.device);
        Self {
            st_dev,
            fs_dev: None,
            ino: status.inode,
        }
    }

    /// Is the file that this `stat` is of.
    pub fn is(&self, stat: &fs::Metadata) -> bool {
        DeviceNumber::from_stat(stat.dev()) == self.st_dev && stat.ino() == self.ino
    }
}

/// The mount that the path leads through; failing that, one of the same filesystem.
pub(super) fn mount_of<'a>(
    path: &Path,
    deleted: bool,
    id: &FileId,
    mounts: &'a Mounts,
) -> Option<&'a Mount> {
    let here = !deleted && fs::metadata(path).is_ok_and(|stat| id.is(&stat));
    let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID);
    let stat = stat
        .ok()
        .filter(|stat| here && stat.stx_mask & StatxFlags::MNT_ID.bits() != 0);
    let through = stat.and_then(|stat| mounts.by_id(stat.stx_mnt_id));
    through.or_else(|| mounts.by_st_dev(id.st_dev))
}

/// Opens the device node for reading, if it really is this device's.
pub(super) fn open_node(name: &str, dev: DeviceNumber) -> io::Result<File> {
    let file = File::open(Path::new("/dev").join(name))?;
    let stat = file.metadata()?;
    if !stat.file_type().is_block_device() || DeviceNumber::from_stat(stat.rdev()) != dev {
        return Err(io::Error::other(format!(
            "the node is not block device {dev}"
        )));
    }
    Ok(file)
}

/// Takes the mark of a deleted file off, unless the file is really called so.
pub(crate) fn split_path(path: &[u8], file: Option<&FileId>) -> (PathBuf, bool) {
    let to_path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
    match path.strip_suffix(b" (deleted)") {
        Some(bare) if !is_file(&to_path(path), file) => (to_path(bare), true),
        _ => (to_path(path), false),
    }
}

fn is_file(path: &Path, file: Option<&FileId>) -> bool {
    let (Ok(stat), Some(id)) = (fs::metadata(path), file) else {
        return false;
    };
    id.is(&stat)
}
