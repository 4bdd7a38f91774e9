//! `rloop attach`.

mod refusal;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use super::args::{self, Commit, Fill};
use crate::driver::{Attach, Control, node};
use crate::program::Stop;
use refusal::Asked;

/// Attaches the file, and prints the device.
pub(super) fn run(args: &args::Attach) -> Result<(), Stop> {
    let control = Control::open()?;
    let file = open(args)?;
    let how = Attach {
        offset_bytes: args.offset,
        sizelimit_bytes: args.sizelimit.unwrap_or(0),
        block_bytes: args.block_size.unwrap_or(0),
        read_only: args.read_only,
        partitions: args.partitions,
        fill_layout: args.fill == Fill::Layout,
        commit_each: args.commit == Commit::Each,
    };
    let number = control.attach(&file, &how).map_err(|error| {
        let file = Asked::of(&args.file, &file, how);
        Stop::Failed(format!("{}: {}", args.file.display(), file.explain(error)))
    })?;
    let path = node::wait(number).map_err(|error| {
        // A device that nobody can open would only be in the way.
        let _ = control.detach(number);
        Stop::Failed(format!(
            "/dev/rloop{number}: {error}; is /dev the machine's own (devtmpfs)?"
        ))
    })?;
    writeln!(io::stdout(), "{}", path.display())?;
    Ok(())
}

/// Only for reading: a descriptor for writing would keep the module from mapping the file.
fn open(args: &args::Attach) -> Result<File, Stop> {
    let shown = args.file.display();
    // Not to hang, should it be a pipe.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options
        .open(&args.file)
        .map_err(|error| Stop::Failed(format!("{shown}: {error}")))
}
