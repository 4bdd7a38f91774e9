//! The file as a device: by the kernel's loop driver, or by rloop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::claim::Claim;
use super::image::Image;
use super::{args, attach, detach, say, subject::failed};
use crate::device::backing::dio_align_bytes;
use crate::device::control::{self, AttachOptions};
use crate::device::list;
use crate::driver::{self, Control};
use crate::program::Stop;

/// How long the module may take to decide who maps.
const PATIENCE: Duration = Duration::from_secs(5);

/// By which driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The kernel's loop driver, asked for direct I/O.
    Loop,
    /// The module.
    Rloop,
}

impl Side {
    /// In the order of the first round; they take turns.
    pub(super) const BOTH: [Self; 2] = [Self::Loop, Self::Rloop];

    /// The driver's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Rloop => "rloop",
        }
    }
}

/// How I/Os went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Through the worker.
    Loop {
        /// The driver says that it does direct I/O.
        direct: bool,
        /// Pages of the file that came into the page cache; `None` if this kernel does not tell. Of writes, a
        /// filesystem may drop them again.
        cached_pages: Option<u64>,
    },
    /// As the module says.
    Rloop {
        /// Who maps.
        provider: String,
        /// Why nobody better.
        why: String,
        /// What the counters grew by.
        counters: BTreeMap<String, u64>,
    },
}

impl How {
    /// It was loop, and nothing was seen to go through the page cache.
    pub(super) fn is_direct(&self) -> bool {
        matches!(
            self,
            Self::Loop {
                direct: true,
                cached_pages: None | Some(0)
            }
        )
    }
}

/// What attaching needs.
pub(super) struct Drivers {
    /// The module.
    pub(super) control: Control,
    /// Whose the devices are.
    pub(super) claim: Claim,
    /// What rloop does with holes.
    pub(super) filling: args::Filling,
}

/// An attached device. It is detached when this goes.
pub(super) enum Target<'a> {
    /// Of the loop driver.
    Loop(control::Attached),
    /// Of the module.
    Rloop(Attached<'a>),
}

/// An attached rloop device.
pub(super) struct Attached<'a> {
    control: &'a Control,
    number: u32,
    is_detached: bool,
}

impl<'a> Target<'a> {
    /// Attaches the file.
    pub(super) fn attach(
        drivers: &'a Drivers,
        side: Side,
        image: &Image,
        read_only: bool,
    ) -> Result<Self, Stop> {
        match side {
            Side::Loop => attach_loop(image, read_only).map(Self::Loop),
            Side::Rloop => attach_rloop(drivers, image, read_only).map(Self::Rloop),
        }
    }

    /// The device.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Loop(attached) => attached.path().to_owned(),
            Self::Rloop(attached) => format!("/dev/rloop{}", attached.number).into(),
        }
    }

    /// How I/Os have gone since it was attached.
    pub(super) fn how(&self, image: &Image) -> Result<How, Stop> {
        match self {
            Self::Loop(attached) => {
                let name = attached.name();
                let found = list::find(name).map_err(|error| failed(name, error))?;
                let direct = found.is_some_and(|device| device.claims_direct);
                Ok(How::Loop {
                    direct,
                    cached_pages: image.cached_pages(),
                })
            }
            Self::Rloop(attached) => {
                let device = driver::find(attached.number)?;
                Ok(How::Rloop {
                    provider: device.provider,
                    why: device.why,
                    counters: device.counters.into_iter().collect(),
                })
            }
        }
    }

    /// Detaches it.
    pub(super) fn detach(self) -> Result<(), Stop> {
        match self {
            Self::Loop(attached) => {
                let name = attached.name().to_owned();
                attached.detach().map_err(|error| failed(name, error))
            }
            Self::Rloop(mut attached) => attached.release().map_err(Stop::Failed),
        }
    }
}

impl Attached<'_> {
    fn release(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.is_detached, true) {
            return Ok(());
        }
        detach::detach(self.control, self.number)
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        if let Err(why) = self.release() {
            say(&why);
        }
    }
}

fn attach_loop(image: &Image, read_only: bool) -> Result<control::Attached, Stop> {
    let block_bytes = dio_align_bytes(image.file()).unwrap_or(0);
    let options = AttachOptions {
        read_only,
        direct_io: true,
        autoclear: true,
        block_bytes: if block_bytes > 512 { block_bytes } else { 0 },
        ..AttachOptions::default()
    };
    let attached = control::attach(image.path(), &options);
    attached.map_err(|error| failed(image.path().display(), error))
}

fn attach_rloop<'a>(
    drivers: &'a Drivers,
    image: &Image,
    read_only: bool,
) -> Result<Attached<'a>, Stop> {
    let Drivers {
        control,
        claim,
        filling,
    } = drivers;
    let how = driver::Attach {
        read_only,
        ..attach::filled(*filling)
    };
    let (number, _) = attach::attach(control, image.path(), image.file(), how)?;
    let attached = Attached {
        control,
        number,
        is_detached: false,
    };
    let noted = claim.add(number);
    noted.map_err(|error| failed("a note of the device in /run", error))?;
    decide(number)?;
    Ok(attached)
}

/// Waits until the module knows who maps.
fn decide(number: u32) -> Result<(), Stop> {
    let start = Instant::now();
    while driver::find(number)?.why == "starting" && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What happened between two looks at a device.
pub(super) fn between(before: How, after: How) -> How {
    match (before, after) {
        (
            How::Rloop { counters: old, .. },
            How::Rloop {
                provider,
                why,
                mut counters,
            },
        ) => {
            for (name, value) in &mut counters {
                *value -= old.get(name).copied().unwrap_or(0).min(*value);
            }
            How::Rloop {
                provider,
                why,
                counters,
            }
        }
        (
            How::Loop {
                cached_pages: old, ..
            },
            How::Loop {
                direct,
                cached_pages: now,
            },
        ) => How::Loop {
            direct,
            cached_pages: old.zip(now).map(|(old, now)| now.saturating_sub(old)),
        },
        (_, after) => after,
    }
}
