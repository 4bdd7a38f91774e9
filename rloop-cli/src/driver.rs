//! The kernel module rloop: its control device, and what it tells of its devices in sysfs.
//!
//! Changing something, and reading extent maps, goes through [`Control`] and needs CAP_SYS_ADMIN. Looking
//! at devices ([`list`]) needs no rights.

#[path = "../../kernel-module/abi.rs"]
pub mod abi;
mod control;
mod device;
mod error;
pub mod extents;
pub mod node;
mod trace;
pub mod users;

pub use control::{Attach, Control, Known};
pub use device::{RloopDevice, find, list};
pub use error::DriverError;
pub use trace::check_version;
