//! `rloop detach`.

use std::thread;
use std::time::{Duration, Instant};

use super::{args, number, say};
use crate::driver::users::{self, User};
use crate::driver::{self, Control, DriverError};
use crate::program::Stop;

/// How long a device may be in use by those who only look at it, as udev does at a disk that is new or
/// was just closed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Detaches the devices; one that cannot be does not keep the others.
pub(super) fn run(args: &args::Detach) -> Result<(), Stop> {
    let control = Control::open()?;
    let numbers = if args.all {
        driver::list()?.iter().map(|device| device.number).collect()
    } else {
        let numbers = args.devices.iter().map(|device| number(device));
        numbers.collect::<Result<Vec<_>, _>>()?
    };
    let failures = numbers
        .into_iter()
        .filter_map(|number| detach(&control, number).err());
    let failures: Vec<String> = failures.collect();
    match failures.split_last() {
        None => Ok(()),
        Some((last, others)) => {
            others.iter().for_each(|why| say(why));
            Err(Stop::Failed(last.clone()))
        }
    }
}

/// Detaches a device, once those who only look at it are done.
pub(super) fn detach(control: &Control, number: u32) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match control.detach(number) {
            Ok(()) => return Ok(()),
            Err(error @ DriverError::Busy { .. }) => {
                let users = users::of(&format!("rloop{number}"));
                if users.iter().any(User::stays) || start.elapsed() > PATIENCE {
                    return Err(format!("{error}: {}", named(&users)));
                }
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn named(users: &[User]) -> String {
    if users.is_empty() {
        return "by whom cannot be seen from here; it may be mounted in another mount namespace, \
                or open in another container"
            .into();
    }
    let users: Vec<String> = users.iter().map(User::to_string).collect();
    users.join(", ")
}
