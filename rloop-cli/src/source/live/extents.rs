//! A device's extent table in the probes, and the counters of its extents.
//!
//! A new table goes to the place that is not in use, with cells of its own; then one store makes
//! it current. What the old cells counted is kept under the extents' starts, so no count is lost.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rloop_common::{
    bucket::COARSE_BUCKETS,
    extent::{END, ExtentCell, LEAF, Leaf, MAX_CELLS, TableHead},
};

use super::{mapped::Mapped, maps::Maps};
use crate::sample::{Buckets, DataExtents, Extent, ExtentCounters};

/// FIEMAP holds the inode's lock: after a call, that many times its duration pass before the next.
const REST: u32 = 20;
/// And at least this long.
const REST_MIN: Duration = Duration::from_millis(500);

/// The extents of one device.
pub(super) struct Extents {
    slot: u32,
    /// Number of the current table; the probes know none before the first.
    generation: u32,
    mapping: Arc<Vec<Extent>>,
    data: DataExtents,
    shift: u32,
    current: Option<Cells>,
    /// The cells that were current before: programs that began earlier may still add to them.
    retired: Option<Cells>,
    /// All that was ever counted, by the extents' starts.
    totals: BTreeMap<u64, ExtentCounters>,
    next_look: Instant,
}

/// One table's cells and what was last read from them.
struct Cells {
    /// Kept because the probes read it.
    _table: Mapped<Leaf>,
    cells: Mapped<ExtentCell>,
    /// Start of the first extent of each cell.
    starts: Vec<u64>,
    /// Requests counted when a cell was last read, and whether it has changed since the read before.
    seen: Vec<(u64, bool)>,
    last: Vec<Option<Box<ExtentCell>>>,
}

impl Extents {
    /// No extents yet: every request is unattributed.
    pub(super) fn new(slot: u32) -> Self {
        Self {
            slot,
            generation: 0,
            mapping: Arc::default(),
            data: DataExtents::default(),
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

    /// Those of them that are data.
    pub(super) fn data(&self) -> DataExtents {
        self.data
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
            self.set_mapping(mapping);
            return Ok(());
        }
        let shift = shift_for(mapping.len());
        let cells = Cells::new(&mapping, shift)?;
        let generation = self.generation.wrapping_add(1);
        maps.set_extents(self.slot, generation, cells._table.map(), cells.cells.map())?;
        self.collect();
        self.generation = generation;
        self.shift = shift;
        self.set_mapping(mapping);
        self.retired = self.current.replace(cells);
        Ok(())
    }

    fn set_mapping(&mut self, mapping: Vec<Extent>) {
        self.data = DataExtents::of(&mapping);
        self.mapping = Arc::new(mapping);
    }

    /// Adds what the probes have counted since the last call.
    pub(super) fn collect(&mut self) {
        for cells in self.retired.iter_mut().chain(self.current.iter_mut()) {
            cells.collect(&mut self.totals);
        }
    }

    /// The counters of all extents that were ever touched, by start.
    pub(super) fn counters(&self) -> Vec<ExtentCounters> {
        self.totals.values().cloned().collect()
    }
}

/// The mapping as the probes search it.
fn table(mapping: &[Extent], shift: u32) -> Result<Mapped<Leaf>, aya::maps::MapError> {
    let leaves = mapping.chunks(LEAF);
    let table = Mapped::<Leaf>::new(1 + leaves.len().max(1))?;
    let mut root = [END; LEAF];
    for (branch, extents) in leaves.enumerate() {
        let mut leaf = [END; LEAF];
        for (start, extent) in leaf.iter_mut().zip(extents) {
            *start = extent.start_bytes;
        }
        root[branch] = leaf[0];
        table.set(branch + 1, leaf);
    }
    let head = TableHead {
        count: mapping.len() as u32,
        shift: shift as u16,
        first: 0,
    };
    root[0] = head.to_bits();
    table.set(0, root);
    Ok(table)
}

/// The smallest shift by which that many extents fit into the cells.
fn shift_for(extents: usize) -> u32 {
    (0..usize::BITS)
        .find(|shift| extents >> shift <= MAX_CELLS)
        .unwrap_or(0)
}

impl Cells {
    fn new(mapping: &[Extent], shift: u32) -> Result<Self, aya::maps::MapError> {
        let table = table(mapping, shift)?;
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
            last: vec![None; starts.len()],
            starts,
        })
    }

    fn collect(&mut self, totals: &mut BTreeMap<u64, ExtentCounters>) {
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
            let new = self.cells.get(index);
            let old = self.last[index].get_or_insert_with(|| Box::new(ZERO));
            let total = totals.entry(start).or_insert_with(|| ExtentCounters {
                start_bytes: start,
                ..ExtentCounters::default()
            });
            add(total, old, &new);
            **old = new;
        }
    }
}

const ZERO: ExtentCell = ExtentCell {
    reads: 0,
    writes: 0,
    read_bytes: 0,
    write_bytes: 0,
    max_ns: 0,
    latency: [0; COARSE_BUCKETS],
};

/// Adds what a cell grew by.
fn add(total: &mut ExtentCounters, old: &ExtentCell, new: &ExtentCell) {
    total.reads += new.reads - old.reads;
    total.writes += new.writes - old.writes;
    total.read_bytes += new.read_bytes - old.read_bytes;
    total.write_bytes += new.write_bytes - old.write_bytes;
    total.max_ns = total.max_ns.max(new.max_ns);
    if old.latency == new.latency {
        return;
    }
    let Buckets(sums) = Arc::make_mut(&mut total.latency);
    let pairs = old.latency.iter().zip(&new.latency).enumerate();
    for (bucket, (&old, &new)) in pairs.filter(|(_, (old, new))| old != new) {
        // They have 32 bits and wrap.
        let grown = u64::from(new.wrapping_sub(old));
        let bucket = bucket as u16;
        match sums.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
            Ok(place) => sums[place].1 += grown,
            Err(place) => sums.insert(place, (bucket, grown)),
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
    #[test]
    fn buckets_that_wrap_and_new_ones_are_added_in_order() {
        let cell = |latency: &[(usize, u32)]| {
            let mut cell = ZERO;
            for &(bucket, count) in latency {
                cell.latency[bucket] = count;
            }
            cell
        };
        let mut total = ExtentCounters::default();
        add(&mut total, &ZERO, &cell(&[(7, u32::MAX), (90, 3)]));
        let before = Arc::clone(&total.latency);
        add(
            &mut total,
            &cell(&[(7, u32::MAX), (90, 3)]),
            &cell(&[(7, 1), (8, 5), (90, 3)]),
        );
        let most = u64::from(u32::MAX);
        assert_eq!(before.0, [(7, most), (90, 3)]);
        assert_eq!(total.latency.0, [(7, most + 2), (8, 5), (90, 3)]);
    }
}
