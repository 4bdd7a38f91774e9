//! The devices there are, of the kernel's driver and of rloop.

use std::path::Path;

use crate::{
    device::{Lister, LoopDevice},
    driver::{self, DriverError},
    source::SourceError,
};

/// All that are attached, in natural order: first those of the kernel's driver.
pub(super) fn list(lister: &mut Lister) -> Result<Vec<LoopDevice>, SourceError> {
    let failed = |error: &dyn std::error::Error| {
        SourceError(format!(
            "cannot list the loop devices in /sys/block: {error}"
        ))
    };
    let mut devices = lister.list().map_err(|error| failed(&error))?;
    let rloops = match driver::list() {
        Err(DriverError::NotLoaded) => Vec::new(),
        rloops => rloops.map_err(|error| failed(&error))?,
    };
    let mounts = lister.mounts();
    let rloops = rloops.into_iter();
    devices.extend(rloops.map(|device| LoopDevice::of_rloop(device, mounts)));
    Ok(devices)
}

/// Why a device that was named cannot be watched.
pub(super) fn not_attached(name: &str) -> SourceError {
    let (kind, command) = if name.starts_with("rloop") {
        ("an rloop", "rloop list")
    } else {
        ("a loop", "losetup --list")
    };
    let path = Path::new("/dev").join(name);
    SourceError(format!(
        "{} is not attached, or not {kind} device; `{command}` shows those there are",
        path.display()
    ))
}
