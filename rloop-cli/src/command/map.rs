//! `rloop map`.

mod source;

use std::io::{self, Write as _};

use serde::Serialize;

use super::{args, table::Table};
use crate::program::Stop;

/// The extents of a device or of a file.
#[derive(Debug, Default, Serialize)]
struct Map {
    /// The device, without `/dev/`.
    device: Option<String>,
    /// The file.
    file: String,
    /// Who said so.
    source: Source,
    /// The part of the file that is shown.
    start_bytes: u64,
    /// How long that part is.
    len_bytes: u64,
    /// In order, without gaps.
    extents: Vec<Extent>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// What the module uses now.
    Module,
    /// The filesystem.
    #[default]
    Fiemap,
}

/// A part of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Extent {
    state: &'static str,
    /// Where in the file.
    start_bytes: u64,
    len_bytes: u64,
    /// Where on the filesystem's disk; `None` where it is nowhere, or not told.
    disk_offset_bytes: Option<u64>,
}

/// Shows the extents.
pub(super) fn run(args: &args::Map) -> Result<(), Stop> {
    let map = source::read(&args.of)?;
    let mut out = io::stdout().lock();
    if args.json {
        let text = serde_json::to_string(&map).map_err(io::Error::other)?;
        writeln!(out, "{text}")?;
    } else {
        write!(out, "{}", table(&map.extents))?;
    }
    Ok(())
}

fn table(extents: &[Extent]) -> Table {
    let mut table = Table::new(&["STATE", ">FILE-OFFSET", ">LENGTH", ">DISK-OFFSET"]);
    for extent in extents {
        let disk = extent.disk_offset_bytes;
        table.row(vec![
            extent.state.to_owned(),
            extent.start_bytes.to_string(),
            extent.len_bytes.to_string(),
            disk.map_or_else(|| "-".into(), |disk| disk.to_string()),
        ]);
    }
    table
}
