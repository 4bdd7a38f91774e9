//! A device's extent table in the probes, and the counters of its extents.
//!
//! A new table goes to the place that is not in use, with cells of its own; then one store makes
//! it current. What the old cells counted is kept under the extents' starts, so no count is lost.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rloop_common::extent::{ExtentCell, MAX_CELLS, TableHead};

use super::{counters, mapped::Mapped, maps::Maps};
use crate::sample::{Extent, ExtentCounters};

/// FIEMAP holds the inode's lock: after a call, that many times its duration pass before the next.
const REST: u32 = 20;
/// And at least this long.
const REST_MIN: Duration = Duration::from_millis(500);

/// The extents of one device.
pub(super) struct Extents {
    slot: u32,
    place: u32,
    mapping: Arc<Vec<Extent>>,
    shift: u32,
    current: Option<Cells>,
    /// The cells that were current before: programs that began earlier may still add to them.
    retired: Option<Cells>,
    totals: BTreeMap<u64, Total>,
    next_look: Instant,
}

/// One table's cells and what was last read from them.
struct Cells {
    /// Kept because the probes read it.
    _table: Mapped<u64>,
    cells: Mapped<ExtentCell>,
    /// Start of the first extent of each cell.
    starts: Vec<u64>,
    /// Requests counted when a cell was last read, and whether it has changed since the read before.
    seen: Vec<(u64, bool)>,
    last: BTreeMap<u32, Box<ExtentCell>>,
}

/// All that was ever counted for the extent that starts at the key.
#[derive(Default)]
struct Total {
    reads: u64,
    writes: u64,
    read_bytes: u64,
    write_bytes: u64,
    max_ns: u64,
    latency: Vec<u64>,
}

impl Extents {
    /// No extents yet: every request is unattributed.
    pub(super) fn new(slot: u32) -> Self {
        Self {
            slot,
            place: 0,
            mapping: Arc::default(),
            shift: 0,
            current: None,
            retired: None,
            totals: BTreeMap::new(),
            next_look: Instant::now(),
        }
    }

    /// Enough time has passed since the last look at the file's mapping.
    pub(super) fn may_look(&self) -> bool {
        Instant::now() >= self.next_look
    }

    /// Notes that a look took `duration`.
    pub(super) fn looked(&mut self, duration: Duration) {
        self.next_look = Instant::now() + (duration * REST).max(REST_MIN);
    }

    /// The extents the probes attribute to now.
    pub(super) fn mapping(&self) -> &Arc<Vec<Extent>> {
        &self.mapping
    }

    /// How many neighbours share a cell.
    pub(super) fn extents_per_cell(&self) -> u32 {
        1 << self.shift
    }

    /// Gives the probes a new table if `mapping` differs from the one they have.
    pub(super) fn replace(
        &mut self,
        mapping: Vec<Extent>,
        maps: &mut Maps,
    ) -> Result<(), aya::maps::MapError> {
        if self.current.is_some() && mapping == **self.mapping() {
            return Ok(());
        }
        // Disk addresses and states are of no interest to the probes: same starts, same table.
        let same_starts = mapping.len() == self.mapping.len()
            && mapping
                .iter()
                .zip(self.mapping.iter())
                .all(|(new, old)| new.start_bytes == old.start_bytes);
        if self.current.is_some() && same_starts {
            self.mapping = Arc::new(mapping);
            return Ok(());
        }
        let shift = shift_for(mapping.len());
        let cells = Cells::new(&mapping, shift)?;
        let place = 1 - self.place;
        maps.set_extents(self.slot, place, cells._table.map(), cells.cells.map())?;
        self.collect();
        self.place = place;
        self.shift = shift;
        self.mapping = Arc::new(mapping);
        self.retired = self.current.replace(cells);
        Ok(())
    }

    /// Adds what the probes have counted since the last call.
    pub(super) fn collect(&mut self) {
        for cells in self.retired.iter_mut().chain(self.current.iter_mut()) {
            cells.collect(&mut self.totals);
        }
    }

    /// The counters of all extents that were ever touched, by start.
    pub(super) fn counters(&self) -> Vec<ExtentCounters> {
        self.totals
            .iter()
            .map(|(&start_bytes, total)| total.counters(start_bytes))
            .collect()
    }
}

/// The smallest shift by which that many extents fit into the cells.
fn shift_for(extents: usize) -> u32 {
    (0..usize::BITS)
        .find(|shift| extents >> shift <= MAX_CELLS)
        .unwrap_or(0)
}

impl Cells {
    fn new(mapping: &[Extent], shift: u32) -> Result<Self, aya::maps::MapError> {
        let table = Mapped::<u64>::new(mapping.len() + 1)?;
        let head = TableHead {
            count: mapping.len() as u32,
            shift,
        };
        table.set(0, u64::from(head.count) | u64::from(head.shift) << 32);
        for (index, extent) in mapping.iter().enumerate() {
            table.set(index + 1, extent.start_bytes);
        }
        let starts: Vec<u64> = mapping
            .iter()
            .step_by(1 << shift)
            .map(|extent| extent.start_bytes)
            .collect();
        let cells = Mapped::new(starts.len().max(1))?;
        Ok(Self {
            _table: table,
            cells,
            seen: vec![(0, false); starts.len()],
            starts,
            last: BTreeMap::new(),
        })
    }

    fn collect(&mut self, totals: &mut BTreeMap<u64, Total>) {
        for (index, &start) in self.starts.iter().enumerate() {
            let cell = self.cells.at(index);
            // SAFETY: `at` gives a valid place; the probes add to it atomically.
            let requests = unsafe {
                (&raw const (*cell).reads).read_volatile()
                    + (&raw const (*cell).writes).read_volatile()
            };
            let (seen, changed) = &mut self.seen[index];
            // Latency follows the count, by up to the time a request takes: so look once more.
            if requests == *seen && !*changed {
                continue;
            }
            *changed = requests != *seen;
            *seen = requests;
            let new = Box::new(self.cells.get(index));
            let old = self.last.insert(index as u32, new.clone());
            totals.entry(start).or_default().add(old.as_deref(), &new);
        }
    }
}

impl Total {
    fn add(&mut self, old: Option<&ExtentCell>, new: &ExtentCell) {
        let zero = [0; rloop_common::bucket::COARSE_BUCKETS];
        let grown = |field: fn(&ExtentCell) -> u64| field(new) - old.map_or(0, field);
        self.reads += grown(|cell| cell.reads);
        self.writes += grown(|cell| cell.writes);
        self.read_bytes += grown(|cell| cell.read_bytes);
        self.write_bytes += grown(|cell| cell.write_bytes);
        self.max_ns = self.max_ns.max(new.max_ns);
        counters::advance(
            &mut self.latency,
            old.map_or(&zero, |cell| &cell.latency),
            &new.latency,
        );
    }

    fn counters(&self, start_bytes: u64) -> ExtentCounters {
        ExtentCounters {
            start_bytes,
            reads: self.reads,
            writes: self.writes,
            read_bytes: self.read_bytes,
            write_bytes: self.write_bytes,
            max_ns: self.max_ns,
            latency: counters::sparse(&self.latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_extents_share_cells() {
        assert_eq!(shift_for(1), 0);
        assert_eq!(shift_for(MAX_CELLS), 0);
        assert_eq!(shift_for(MAX_CELLS + 1), 1);
        assert_eq!(shift_for(1_000_000), 4);
    }
}
