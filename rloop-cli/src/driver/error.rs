//! Why the module cannot be asked, or says no, and what to do about it.

use std::fs;
use std::io;
use std::path::Path;

use super::abi;
use super::control::CONTROL;

/// Where the kernel says that the module is loaded.
const MODULE: &str = "/sys/module/rloop";

/// The control device's number.
const CONTROL_NUMBER: &str = "/sys/class/misc/rloop-control/dev";

/// Why the module cannot be asked, or says no.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is no module.
    #[error(
        "the kernel module rloop is not loaded: load it with `sudo modprobe rloop`, or with \
         `sudo insmod rloop.ko` where it is not installed (kernel-module/README.md says how to \
         build it); `rloop doctor` says whether this kernel takes it"
    )]
    NotLoaded,
    /// There is one, but no way to it.
    #[error(
        "the kernel module rloop is loaded but {CONTROL} is not there: make it with \
         `sudo mknod -m 600 {CONTROL} c {}`, or run this where /dev is the machine's own",
        .number.replace(':', " ")
    )]
    NoControl {
        /// The device number, `major:minor`.
        number: String,
    },
    /// The control device could not be opened.
    #[error("{CONTROL}: {0}")]
    Control(io::Error),
    /// The caller has not the right.
    #[error("not permitted: this needs CAP_SYS_ADMIN, so run it with sudo")]
    NotPermitted,
    /// Program and module are of different releases.
    #[error(
        "this program speaks version {} of the module's interface and the loaded module version \
         {theirs}: install both from one release, then `sudo modprobe -r rloop && sudo modprobe \
         rloop`",
        abi::VERSION
    )]
    Version {
        /// The module's version.
        theirs: u32,
    },
    /// There is no such device.
    #[error("/dev/{name} is not attached: `rloop list` shows the devices that are")]
    NoDevice {
        /// Its name, without `/dev/`.
        name: String,
    },
    /// Somebody has the device open.
    #[error("/dev/{name} is in use")]
    Busy {
        /// Its name, without `/dev/`.
        name: String,
    },
    /// Anything else.
    #[error("{0}")]
    Refused(io::Error),
}

impl DriverError {
    /// Why the control device could not be opened.
    pub(super) fn of_control(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => match fs::read_to_string(CONTROL_NUMBER) {
                Ok(number) => Self::NoControl {
                    number: number.trim().to_owned(),
                },
                Err(_) => Self::NotLoaded,
            },
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            // The node has outlived the module.
            _ if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => {
                Self::NotLoaded
            }
            _ => Self::Control(error),
        }
    }

    /// Adds which device the request was about.
    pub(super) fn of_device(self, index: u32) -> Self {
        let name = format!("rloop{index}");
        match self {
            Self::Refused(error) => match error.raw_os_error() {
                Some(libc::ENXIO) => Self::NoDevice { name },
                Some(libc::EBUSY) => Self::Busy { name },
                _ => Self::Refused(io::Error::new(
                    error.kind(),
                    format!("/dev/{name}: {error}"),
                )),
            },
            other => other,
        }
    }

    /// The errno that the module gave for something of the request itself.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused(error) => error.raw_os_error(),
            _ => None,
        }
    }
}

/// Fails if the module is not loaded.
pub(super) fn check_loaded() -> Result<(), DriverError> {
    if Path::new(MODULE).exists() {
        Ok(())
    } else {
        Err(DriverError::NotLoaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_one_from_the_control_device_is_told_apart() {
        let of = |errno| DriverError::of_control(io::Error::from_raw_os_error(errno));
        assert!(matches!(of(libc::EACCES), DriverError::NotPermitted));
        assert!(matches!(of(libc::ENXIO), DriverError::NotLoaded));
        let other = of(libc::EMFILE).to_string();
        assert!(other.starts_with(CONTROL), "{other}");
        let number = "10:120".to_owned();
        let text = DriverError::NoControl { number }.to_string();
        assert!(
            text.contains("mknod -m 600 /dev/rloop-control c 10 120"),
            "{text}"
        );
    }
}
