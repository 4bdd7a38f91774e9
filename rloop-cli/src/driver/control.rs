//! `/dev/rloop-control`: one safe function for each request.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use super::abi;
use super::error::DriverError;
use crate::capability::Capabilities;

/// Where the module is asked.
pub(super) const CONTROL: &str = "/dev/rloop-control";

const GROUP: u8 = abi::IOCTL_TYPE as u8;
const ATTACH: Opcode = opcode::read_write::<abi::Attach>(GROUP, abi::ATTACH as u8);
const DETACH: Opcode = opcode::read_write::<abi::Device>(GROUP, abi::DETACH as u8);
const STATUS: Opcode = opcode::read_write::<abi::Status>(GROUP, abi::STATUS as u8);
const MAP: Opcode = opcode::read_write::<abi::Map>(GROUP, abi::MAP as u8);
const RESIZE: Opcode = opcode::read_write::<abi::Device>(GROUP, abi::RESIZE as u8);

/// How to attach a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// Where in the file the device begins, bytes.
    pub offset_bytes: u64,
    /// How long the device may be, bytes; 0 for up to the file's end.
    pub sizelimit_bytes: u64,
    /// The logical block size, bytes; 0 for the best one.
    pub block_bytes: u32,
    /// Refuse writes.
    pub read_only: bool,
    /// Look for a partition table.
    pub partitions: bool,
    /// Fill holes on disk, where the filesystem can commit that.
    pub fill_layout: bool,
    /// Make each fill durable before it completes.
    pub commit_each: bool,
}

/// What is known of a range of a device's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Extents in order; what lies between them is not in the map.
    pub extents: Vec<abi::Extent>,
    /// Where in the file to go on; `None` if that was all.
    pub next_bytes: Option<u64>,
}

/// The module, ready to be asked.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// Opens the control device.
    pub fn open() -> Result<Self, DriverError> {
        let file = OpenOptions::new().read(true).write(true).open(CONTROL);
        file.map(Self).map_err(DriverError::of_control)
    }

    /// Attaches a file that is open for reading: the device's number. The module opens the file again for
    /// itself, so it need not stay open.
    pub fn attach(&self, file: &File, how: &Attach) -> Result<u32, DriverError> {
        let flag = |wanted: bool, flag: u32| if wanted { flag } else { 0 };
        let mut request = abi::Attach {
            version: abi::VERSION,
            flags: flag(how.read_only, abi::FLAG_READ_ONLY)
                | flag(how.partitions, abi::FLAG_PARTITIONS),
            fd: file.as_raw_fd(),
            block_size: how.block_bytes,
            offset: how.offset_bytes,
            size_limit: how.sizelimit_bytes,
            fill: how.fill_layout.into(),
            commit: how.commit_each.into(),
            ..abi::Attach::default()
        };
        // SAFETY: the module reads and writes one `Attach`.
        let answer = unsafe { ioctl(&self.0, Updater::<ATTACH, _>::new(&mut request)) };
        answer.map_err(|errno| said(errno, request.version))?;
        Ok(request.index)
    }

    /// Detaches a device that nobody has open.
    pub fn detach(&self, index: u32) -> Result<(), DriverError> {
        let mut request = device(index);
        // SAFETY: the module reads and writes one `Device`.
        let answer = unsafe { ioctl(&self.0, Updater::<DETACH, _>::new(&mut request)) };
        answer.map_err(|errno| said(errno, request.version).of_device(index))
    }

    /// A device's state.
    pub fn status(&self, index: u32) -> Result<abi::Status, DriverError> {
        let mut status = abi::Status {
            version: abi::VERSION,
            index,
            ..abi::Status::default()
        };
        // SAFETY: the module reads and writes one `Status`.
        let answer = unsafe { ioctl(&self.0, Updater::<STATUS, _>::new(&mut status)) };
        answer.map_err(|errno| said(errno, status.version).of_device(index))?;
        Ok(status)
    }

    /// A part of a device's extent map, from a byte of the file on.
    pub fn map(&self, index: u32, start_bytes: u64) -> Result<Known, DriverError> {
        let mut extents = vec![abi::Extent::default(); abi::MAP_MOST as usize];
        let mut request = abi::Map {
            version: abi::VERSION,
            index,
            start: start_bytes,
            extents: extents.as_mut_ptr().expose_provenance() as u64,
            count: abi::MAP_MOST,
            reserved: 0,
        };
        // SAFETY: the module reads and writes one `Map`, and writes at most `count` extents, for which
        // there is room.
        let answer = unsafe { ioctl(&self.0, Updater::<MAP, _>::new(&mut request)) };
        answer.map_err(|errno| said(errno, request.version).of_device(index))?;
        extents.truncate(request.count as usize);
        Ok(Known {
            extents,
            next_bytes: (request.start != u64::MAX).then_some(request.start),
        })
    }

    /// Makes a device as long as its file.
    pub fn resize(&self, index: u32) -> Result<(), DriverError> {
        let mut request = device(index);
        // SAFETY: the module reads and writes one `Device`.
        let answer = unsafe { ioctl(&self.0, Updater::<RESIZE, _>::new(&mut request)) };
        answer.map_err(|errno| said(errno, request.version).of_device(index))
    }
}

fn device(index: u32) -> abi::Device {
    abi::Device {
        version: abi::VERSION,
        index,
    }
}

/// What an answer means, `version` being what the module left there.
fn said(errno: Errno, version: u32) -> DriverError {
    match errno {
        Errno::PROTO => DriverError::Version { theirs: version },
        // Of a file that nobody may write, it does not mean the caller's rights.
        Errno::PERM if !may_control() => DriverError::NotPermitted,
        errno => DriverError::Refused(io::Error::from(errno)),
    }
}

fn may_control() -> bool {
    let has = Capabilities::of_this_process().unwrap_or_default();
    has.missing_to_attach().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_numbers_that_the_module_knows() {
        // Read and write, the structure's size, the module's letter, the request.
        assert_eq!(ATTACH, 0xc030_b700);
        assert_eq!(DETACH, 0xc008_b701);
        assert_eq!(STATUS, 0xc150_b702);
        assert_eq!(MAP, 0xc020_b703);
        assert_eq!(RESIZE, 0xc008_b704);
    }

    #[test]
    fn answers_are_told_apart() {
        let version = said(Errno::PROTO, 7).to_string();
        assert!(
            version.contains("version 1 ") && version.contains("version 7"),
            "{version}"
        );
        let of = |errno| said(errno, 1).of_device(3);
        assert!(matches!(of(Errno::NXIO), DriverError::NoDevice { name } if name == "rloop3"));
        assert!(matches!(of(Errno::BUSY), DriverError::Busy { name } if name == "rloop3"));
        let other = of(Errno::NOMEM).to_string();
        assert!(other.contains("/dev/rloop3"), "{other}");
        assert_eq!(said(Errno::INVAL, 1).errno(), Some(libc::EINVAL));
    }
}
