//! Reading where the file's blocks lie, for the probes.

use std::time::Instant;

use super::super::maps::Maps;
use super::Watched;
use crate::{
    device::{
        backing::OpenBacking,
        below,
        extents::{self as fiemap, Mapping},
    },
    driver,
    sample::Unavailable,
};

/// What a change of the mapping leaves traces in.
#[derive(Default, PartialEq)]
pub(super) struct Looked {
    /// Changes that the probes saw.
    pub(super) changes: u64,
    /// The module maps it.
    pub(super) is_mapped: bool,
    /// The file's size.
    pub(super) size_bytes: u64,
    /// What is allocated of it: others may punch it, and not every filesystem tells.
    pub(super) allocated_bytes: u64,
    /// The part that the device shows.
    pub(super) window: (u64, u64),
}

impl Watched {
    /// Reads the file's mapping and gives it to the probes.
    pub(super) fn look(&mut self, open: Option<&OpenBacking>, maps: &mut Maps) {
        self.trouble.clear();
        let started = Instant::now();
        let mapping = self.mapping(open);
        self.extents.looked(started.elapsed());
        let mut mapping = match mapping {
            Some(Ok(mapping)) => mapping,
            Some(Err(why)) => return self.trouble.push(why),
            None => return,
        };
        let partition = self
            .device
            .disk
            .and_then(|disk| below::partition_start_bytes(disk).ok())
            .unwrap_or(0);
        for extent in &mut mapping.extents {
            extent.disk_offset_bytes = extent.disk_offset_bytes.map(|offset| offset + partition);
        }
        if let Some(cut) = mapping.cut_at_bytes {
            let why = format!(
                "the file has more than {} extents: beyond byte {cut} the last one stands for all",
                rloop_common::extent::MAX_EXTENTS
            );
            self.trouble.push(Unavailable {
                what: "extents".to_owned(),
                why,
            });
        }
        if let Err(error) = self.extents.replace(mapping.extents, maps) {
            let why = format!("cannot give the probes a new extent table: {error}");
            self.trouble.push(Unavailable {
                what: "extents".to_owned(),
                why,
            });
        }
    }

    /// The number of the device, if its module maps it.
    pub(super) fn mapped_by(&self) -> Option<u32> {
        let device = self.device.rloop.as_ref()?;
        (device.provider != "vfs").then_some(device.number)
    }

    /// The file's mapping: that of the module where it maps, else the filesystem's, if the file is at hand.
    fn mapping(&self, open: Option<&OpenBacking>) -> Option<Result<Mapping, Unavailable>> {
        let window = self.device.window();
        if let Some(number) = self.mapped_by() {
            let mapping = driver::extents::map(number, window);
            return Some(mapping.map_err(|error| Unavailable {
                what: "extents".to_owned(),
                why: error.to_string(),
            }));
        }
        let open = open?;
        let fs = open.mount.as_ref().map_or("", |mount| &mount.fs);
        let mapping = fiemap::map(&open.file, window.0, window.1);
        Some(mapping.map_err(|error| fiemap::explain(&error, fs)))
    }
}
