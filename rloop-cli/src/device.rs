//! What the kernel says of loop devices and of the files behind them, asked without BPF.
//!
//! Everything here opens a device for moments only: whoever holds a device open keeps one that
//! was told to detach itself (`autoclear`) alive.

mod abi;
pub mod backing;
pub mod below;
pub mod cache;
pub mod cgroup;
pub mod control;
pub mod extents;
pub mod gaps;
pub mod lease;
pub mod list;
pub mod mounts;
mod rloop;

pub use list::{Lister, LoopDevice, list};

/// A device number, split: the kernel, `stat` and the probes each pack it differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The device of that driver.
    pub minor: u32,
}

impl DeviceNumber {
    /// From `st_dev`, `st_rdev`, or the ioctl's `lo_device`.
    pub fn from_stat(packed: u64) -> Self {
        Self {
            major: rustix::fs::major(packed),
            minor: rustix::fs::minor(packed),
        }
    }

    /// From the text in `dev` files of sysfs and in mountinfo, `major:minor`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }

    /// From how the kernel packs it; see [`to_kernel`](Self::to_kernel).
    pub fn from_kernel(packed: u32) -> Self {
        Self {
            major: packed >> 20,
            minor: packed & 0xf_ffff,
        }
    }

    /// As `st_dev` and `st_rdev` pack it.
    pub fn to_stat(self) -> u64 {
        rustix::fs::makedev(self.major, self.minor)
    }

    /// As the kernel packs it (`dev_t`: 12 bits of major, 20 bits of minor), which is what the
    /// probes see.
    pub fn to_kernel(self) -> u32 {
        self.major << 20 | self.minor & 0xf_ffff
    }
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_number_survives_every_packing() {
        let number = DeviceNumber {
            major: 259,
            minor: 70_001,
        };
        assert_eq!(DeviceNumber::from_stat(number.to_stat()), number);
        assert_eq!(DeviceNumber::parse("259:70001\n"), Some(number));
        assert_eq!(number.to_string(), "259:70001");
        assert_eq!(number.to_kernel(), (259 << 20) + 70_001);
        assert_eq!(DeviceNumber::from_kernel(number.to_kernel()), number);
        assert_eq!(DeviceNumber::parse("7"), None);
    }
}
