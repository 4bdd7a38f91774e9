//! `rloop detach`.

use super::{args, number, say};
use crate::driver::{self, Control};
use crate::program::Stop;

/// Detaches the devices; one that cannot be does not keep the others.
pub(super) fn run(args: &args::Detach) -> Result<(), Stop> {
    let control = Control::open()?;
    let numbers = if args.all {
        driver::list()?.iter().map(|device| device.number).collect()
    } else {
        let numbers = args.devices.iter().map(|device| number(device));
        numbers.collect::<Result<Vec<_>, _>>()?
    };
    let mut failed = Ok(());
    for number in numbers {
        if let Err(error) = control.detach(number) {
            if let Err(Stop::Failed(why)) = std::mem::replace(&mut failed, Err(error.into())) {
                say(&why);
            }
        }
    }
    failed
}
