//! `/dev/rloop-control`, used as no program should: with any command and any bytes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context as _, Result};

#[expect(
    dead_code,
    unreachable_pub,
    reason = "what the module and programs share; tests do not need all of it"
)]
#[path = "../../kernel-module/abi.rs"]
pub(crate) mod abi;

const PATH: &str = "/dev/rloop-control";
/// `_IOC_READ | _IOC_WRITE`, and where the parts of a command are.
const READ_WRITE: u64 = 3 << 30;
const SIZE_SHIFT: u32 = 16;
const TYPE_SHIFT: u32 = 8;

/// The control device, open.
pub(crate) struct Control(File);

impl Control {
    /// Opens it.
    pub(crate) fn open() -> Result<Self> {
        let file = File::options().read(true).write(true).open(PATH);
        file.map(Self)
            .with_context(|| format!("could not open {PATH}"))
    }

    /// Any command, with any argument.
    pub(crate) fn raw(&self, command: u64, argument: u64) -> io::Result<()> {
        // SAFETY: The module may write only where the argument points to: those who call this pass what is
        // theirs, or what is nobody's.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), command as libc::Ioctl, argument) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// A command with its structure.
    pub(crate) fn ask<T>(&self, number: u32, about: &mut T) -> io::Result<()> {
        self.raw(
            command(number, size_of::<T>()),
            std::ptr::from_mut(about) as u64,
        )
    }

    /// Attaches a file. The device's number.
    pub(crate) fn attach(&self, file: &File) -> io::Result<u32> {
        let mut attach = attach_of(file);
        self.ask(abi::ATTACH, &mut attach)?;
        Ok(attach.index)
    }

    /// Detaches a device.
    pub(crate) fn detach(&self, index: u32) -> io::Result<()> {
        let version = abi::VERSION;
        self.ask(abi::DETACH, &mut abi::Device { version, index })
    }

    /// A device's state.
    pub(crate) fn status(&self, index: u32) -> io::Result<abi::Status> {
        let version = abi::VERSION;
        let mut status = abi::Status {
            version,
            index,
            ..Default::default()
        };
        self.ask(abi::STATUS, &mut status)?;
        Ok(status)
    }
}

/// The command of a number, for a structure of so many bytes.
pub(crate) fn command(number: u32, bytes: usize) -> u64 {
    READ_WRITE
        | (bytes as u64) << SIZE_SHIFT
        | u64::from(abi::IOCTL_TYPE) << TYPE_SHIFT
        | u64::from(number)
}

/// What attaches a file, with nothing special.
pub(crate) fn attach_of(file: &File) -> abi::Attach {
    let version = abi::VERSION;
    abi::Attach {
        version,
        fd: file.as_raw_fd(),
        ..Default::default()
    }
}

/// The numbers of the devices that there are.
pub(crate) fn devices() -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in Path::new("/sys/block").read_dir()? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("rloop"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    Ok(numbers)
}
