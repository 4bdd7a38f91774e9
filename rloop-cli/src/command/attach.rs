//! `rloop attach`.

mod refusal;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::args::{self, Commit, Fill};
use super::subject::{self, failed};
use crate::driver::{Attach, Control, node};
use crate::program::Stop;
use refusal::Asked;

/// Attaches the file, and prints the device.
pub(super) fn run(args: &args::Attach) -> Result<(), Stop> {
    let control = Control::open()?;
    let file = subject::open(&args.file).map_err(|error| failed(args.file.display(), error))?;
    let how = Attach {
        offset_bytes: args.offset,
        sizelimit_bytes: args.sizelimit.unwrap_or(0),
        block_bytes: args.block_size.unwrap_or(0),
        read_only: args.read_only,
        partitions: args.partitions,
        ..filled(args.filling)
    };
    let (_, path) = attach(&control, &args.file, &file, how)?;
    writeln!(io::stdout(), "{}", path.display())?;
    Ok(())
}

/// A device that does this with holes.
pub(super) fn filled(how: args::Filling) -> Attach {
    Attach {
        fill_layout: how.fill == Fill::Layout,
        commit_each: how.commit == Commit::Each,
        ..Attach::default()
    }
}

/// The number and the path of a new device. The file is open for reading only: a descriptor for writing would
/// keep the module from mapping it.
pub(super) fn attach(
    control: &Control,
    path: &Path,
    file: &File,
    how: Attach,
) -> Result<(u32, PathBuf), Stop> {
    let number = control
        .attach(file, &how)
        .map_err(|error| failed(path.display(), Asked::of(path, file, how).explain(error)))?;
    let node = node::wait(number).map_err(|error| {
        // A device that nobody can open would only be in the way.
        let _ = control.detach(number);
        Stop::Failed(format!(
            "/dev/rloop{number}: {error}; is /dev the machine's own (devtmpfs)?"
        ))
    })?;
    Ok((number, node))
}
