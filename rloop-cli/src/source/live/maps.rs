//! The maps of the loaded probes, each under what it is for.

use std::collections::BTreeSet;

use aya::{
    Ebpf, Pod,
    maps::{Array, ArrayOfMaps, HashMap, MapData, MapError, RingBuf},
};
use rloop_common::{
    chain::{CommitTrace, Head, RangeTrace, RequestTrace, TraceKind},
    device::{BELOW, DeviceBlock},
    event::Event,
    extent::{ExtentCell, Leaf},
    rloop::Watched,
    slot::Slot,
    who::{FileKey, Who, Work},
};

use super::traces::Trace;
use crate::source::SourceError;

/// The probes' maps.
pub(super) struct Maps {
    blocks: ArrayOfMaps<MapData, Array<MapData, DeviceBlock>>,
    slots: ArrayOfMaps<MapData, Array<MapData, Slot>>,
    tables: ArrayOfMaps<MapData, Array<MapData, Leaf>>,
    cells: ArrayOfMaps<MapData, Array<MapData, ExtentCell>>,
    current: Array<MapData, u32>,
    minors: Array<MapData, u32>,
    rloops: Array<MapData, Watched>,
    files: HashMap<MapData, FileKey, u32>,
    filesystems: HashMap<MapData, u32, u32>,
    submitters: HashMap<MapData, Who, Work>,
    recallers: HashMap<MapData, Who, Work>,
    events: RingBuf<MapData>,
    events_lost: Array<MapData, u64>,
    traces: RingBuf<MapData>,
    traces_lost: Array<MapData, u64>,
    /// Minor numbers of the loop devices that are marked as lying below.
    below: BTreeSet<u32>,
}

impl Maps {
    /// Takes the maps out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, SourceError> {
        Ok(Self {
            blocks: take(ebpf, "BLOCKS")?,
            slots: take(ebpf, "SLOTS")?,
            tables: take(ebpf, "TABLES")?,
            cells: take(ebpf, "CELLS")?,
            current: take(ebpf, "CURRENT")?,
            minors: take(ebpf, "MINORS")?,
            rloops: take(ebpf, "RLOOPS")?,
            files: take(ebpf, "FILES")?,
            filesystems: take(ebpf, "FILESYSTEMS")?,
            submitters: take(ebpf, "SUBMITTERS")?,
            recallers: take(ebpf, "RECALLERS")?,
            events: take(ebpf, "EVENTS")?,
            events_lost: take(ebpf, "EVENTS_LOST")?,
            traces: take(ebpf, "TRACES")?,
            traces_lost: take(ebpf, "TRACES_LOST")?,
            below: BTreeSet::new(),
        })
    }

    /// Gives a device its counters and its slots.
    pub(super) fn set_device(
        &mut self,
        slot: u32,
        blocks: &Array<MapData, DeviceBlock>,
        slots: &Array<MapData, Slot>,
    ) -> Result<(), MapError> {
        self.blocks.set(slot, blocks, 0)?;
        self.slots.set(slot, slots, 0)
    }

    /// Puts a table and its cells into that one of the device's two places that goes with its number,
    /// then makes it current.
    pub(super) fn set_extents(
        &mut self,
        slot: u32,
        generation: u32,
        table: &Array<MapData, Leaf>,
        cells: &Array<MapData, ExtentCell>,
    ) -> Result<(), MapError> {
        let place = 2 * slot + (generation & 1);
        self.tables.set(place, table, 0)?;
        self.cells.set(place, cells, 0)?;
        self.current.set(slot, generation, 0)
    }

    /// Requests of the loop device `minor` count for `slot`; for nobody, if there is none.
    pub(super) fn set_minor(&mut self, minor: u32, slot: Option<u32>) -> Result<(), MapError> {
        let below = self.minors.get(&minor, 0)? & BELOW;
        self.minors
            .set(minor, below | slot.map_or(0, |slot| slot + 1), 0)
    }

    /// What the probes know of the rloop device `minor`.
    pub(super) fn set_rloop(&mut self, minor: u32, watched: Watched) -> Result<(), MapError> {
        self.rloops.set(minor, watched, 0)
    }

    /// The loop device `minor` lies below a watched one, or does not.
    fn set_below(&mut self, minor: u32, below: bool) -> Result<(), MapError> {
        let slot = self.minors.get(&minor, 0)? & !BELOW;
        self.minors
            .set(minor, slot | if below { BELOW } else { 0 }, 0)
    }

    /// I/O on the file counts for `slot`.
    pub(super) fn set_file(&mut self, file: FileKey, slot: u32) -> Result<(), MapError> {
        self.files.insert(file, slot, 0)
    }

    /// I/O on the file counts for nobody any more.
    pub(super) fn forget_file(&mut self, file: FileKey) {
        // It may have been another device's file as well, and be gone already.
        let _ = self.files.remove(&file);
    }

    /// Looks below on these loop devices (by minor number), and at the commits of these filesystems, and
    /// no others. On disks of other drivers the probes always look.
    pub(super) fn look_below(
        &mut self,
        loops: &BTreeSet<u32>,
        filesystems: &BTreeSet<u32>,
    ) -> Result<(), MapError> {
        for &gone in self.below.clone().difference(loops) {
            self.set_below(gone, false)?;
        }
        for &new in loops {
            self.set_below(new, true)?;
        }
        self.below.clone_from(loops);
        set_members(&mut self.filesystems, filesystems)
    }

    /// Who has submitted to whom.
    pub(super) fn submitters(&self) -> impl Iterator<Item = (Who, Work)> + '_ {
        // An entry that is pushed out while we look is left out.
        self.submitters.iter().flatten()
    }

    /// Who has taken the mappings of rloop devices back.
    pub(super) fn recallers(&self) -> impl Iterator<Item = (Who, Work)> + '_ {
        self.recallers.iter().flatten()
    }

    /// The next rare event.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        loop {
            let item = self.events.next()?;
            if let Some(event) = record(&item) {
                return Some(event);
            }
        }
    }

    /// The next of the single requests and commits.
    pub(super) fn next_trace(&mut self) -> Option<Trace> {
        const REQUEST: u32 = TraceKind::Request as u32;
        const COMMIT: u32 = TraceKind::Commit as u32;
        const RANGE: u32 = TraceKind::Range as u32;
        loop {
            let item = self.traces.next()?;
            let trace = match record::<Head>(&item)?.kind {
                REQUEST => record::<RequestTrace>(&item).map(Trace::Request),
                COMMIT => record::<CommitTrace>(&item).map(Trace::Commit),
                RANGE => record::<RangeTrace>(&item).map(Trace::Range),
                _ => None,
            };
            if trace.is_some() {
                return trace;
            }
        }
    }

    /// How many of them found their ring full.
    pub(super) fn traces_lost(&self) -> u64 {
        self.traces_lost.get(&0, 0).unwrap_or(0)
    }

    /// Events that found the ring full.
    pub(super) fn events_lost(&self) -> u64 {
        self.events_lost.get(&0, 0).unwrap_or(0)
    }
}

/// A record of a ring, if it is as long as one.
fn record<T: Pod>(item: &[u8]) -> Option<T> {
    // SAFETY: long enough, and any bit pattern is one.
    (item.len() >= size_of::<T>()).then(|| unsafe { item.as_ptr().cast::<T>().read_unaligned() })
}

fn take<T: TryFrom<aya::maps::Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<T, SourceError> {
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| SourceError(format!("the probes lack the map {name}")))?;
    T::try_from(map).map_err(|error| {
        SourceError(format!(
            "the probes' map {name} is of another kind: {error}"
        ))
    })
}

fn set_members(
    map: &mut HashMap<MapData, u32, u32>,
    members: &BTreeSet<u32>,
) -> Result<(), MapError> {
    let old: BTreeSet<u32> = map.keys().flatten().collect();
    for gone in old.difference(members) {
        map.remove(gone)?;
    }
    for new in members.difference(&old) {
        map.insert(new, 1, 0)?;
    }
    Ok(())
}
