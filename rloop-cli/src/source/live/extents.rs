//! A device's extent table in the probes, and the counters of its extents.
//!
//! A new table goes to the place that is not in use, with cells of its own; then one store makes
//! it current. What the old cells counted is kept under the extents' starts, so no count is lost.

use std::{
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
    /// All that was ever counted, in order of the extents' starts.
    totals: Vec<ExtentCounters>,
    next_look: Instant,
}

/// One table's cells and what was last read from them.
struct Cells {
    /// Kept because the probes read it.
    _table: Mapped<Leaf>,
    cells: Mapped<ExtentCell>,
    /// Start of the first extent of each cell.
    starts: Vec<u64>,
    seen: Vec<Seen>,
}

/// What is known of a cell from when it was last read.
#[derive(Clone, Default)]
struct Seen {
    /// Requests counted.
    requests: u64,
    /// Latencies counted.
    timed: u64,
    /// Some of the latencies may only just have been missed.
    behind: bool,
    /// Where its totals were.
    place: usize,
    /// All of it, once there was something.
    last: Option<Box<ExtentCell>>,
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
            totals: Vec::new(),
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
        self.totals.clone()
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
            seen: vec![Seen::default(); starts.len()],
            starts,
        })
    }

    fn collect(&mut self, totals: &mut Vec<ExtentCounters>) {
        let mut fresh = Vec::new();
        for (index, (seen, &start)) in self.seen.iter_mut().zip(&self.starts).enumerate() {
            let cell = self.cells.at(index);
            // SAFETY: `at` gives a valid place; the probes add to it atomically.
            let requests = unsafe {
                (&raw const (*cell).reads).read_volatile()
                    + (&raw const (*cell).writes).read_volatile()
            };
            if requests == seen.requests && !seen.behind {
                continue;
            }
            let total = match place_of(totals, seen.place, start) {
                Some(place) => {
                    seen.place = place;
                    &mut totals[place]
                }
                None => fresh.push_mut(ExtentCounters {
                    start_bytes: start,
                    ..ExtentCounters::default()
                }),
            };
            let last = seen.last.get_or_insert_with(|| Box::new(ZERO));
            // SAFETY: as above.
            seen.timed += unsafe { add(total, last, cell) };
            // Latency follows the count, by up to the time a request takes: so look once more.
            seen.behind = requests != seen.requests && seen.timed != requests;
            seen.requests = requests;
        }
        if !fresh.is_empty() {
            // Both parts are in order, and the sort sees that.
            totals.append(&mut fresh);
            totals.sort_by_key(|total| total.start_bytes);
        }
    }
}

/// Where the totals of the extent that starts at `start` are, if there are any: at `expected`, if nothing
/// came before them since they were there.
fn place_of(totals: &[ExtentCounters], expected: usize, start: u64) -> Option<usize> {
    let there = totals.get(expected).map(|total| total.start_bytes);
    if there == Some(start) {
        return Some(expected);
    }
    totals
        .binary_search_by_key(&start, |total| total.start_bytes)
        .ok()
}

const ZERO: ExtentCell = ExtentCell {
    reads: 0,
    writes: 0,
    read_bytes: 0,
    write_bytes: 0,
    max_ns: 0,
    latency: [0; COARSE_BUCKETS],
};

/// Adds what a cell grew by since it was read `last`, and notes there what it is now. Gives how many
/// latencies are among it. In one pass, without a copy: thousands of cells change in a second.
///
/// # Safety
/// `cell` is valid for reads. The probes may be adding to it.
unsafe fn add(total: &mut ExtentCounters, last: &mut ExtentCell, cell: *const ExtentCell) -> u64 {
    // SAFETY: by the caller's promise.
    unsafe {
        let grown = |last: &mut u64, now: *const u64| {
            let now = now.read_volatile();
            now - std::mem::replace(last, now)
        };
        total.reads += grown(&mut last.reads, &raw const (*cell).reads);
        total.writes += grown(&mut last.writes, &raw const (*cell).writes);
        total.read_bytes += grown(&mut last.read_bytes, &raw const (*cell).read_bytes);
        total.write_bytes += grown(&mut last.write_bytes, &raw const (*cell).write_bytes);
        total.max_ns = total
            .max_ns
            .max((&raw const (*cell).max_ns).read_volatile());
    }
    let mut latencies = 0;
    let (pairs, _) = last.latency.as_chunks_mut::<2>();
    for (pair, last) in pairs.iter_mut().enumerate() {
        // SAFETY: by the caller's promise; the buckets begin at a multiple of eight bytes, and there is an
        // even number of them.
        let now: [u32; 2] = unsafe {
            let pairs = (&raw const (*cell).latency).cast::<u64>();
            std::mem::transmute(pairs.add(pair).read_volatile())
        };
        if now == *last {
            continue;
        }
        for (half, (now, last)) in now.into_iter().zip(last).enumerate() {
            // They have 32 bits and wrap.
            let grown = u64::from(now.wrapping_sub(std::mem::replace(last, now)));
            latencies += grown;
            count(total, (2 * pair + half) as u16, grown);
        }
    }
    latencies
}

/// Adds to one bucket of an extent's latency.
fn count(total: &mut ExtentCounters, bucket: u16, grown: u64) {
    if grown == 0 {
        return;
    }
    let Buckets(sums) = Arc::make_mut(&mut total.latency);
    match sums.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
        Ok(place) => sums[place].1 += grown,
        Err(place) => sums.insert(place, (bucket, grown)),
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
        let (mut total, mut last) = (ExtentCounters::default(), ZERO);
        let most = u64::from(u32::MAX);
        // SAFETY: these cells nobody else knows.
        let mut add = |total: &mut _, cell: ExtentCell| unsafe { add(total, &mut last, &cell) };
        let first = add(&mut total, cell(&[(7, u32::MAX), (90, 3)]));
        assert_eq!(first, most + 3);
        let before = Arc::clone(&total.latency);
        assert_eq!(add(&mut total, cell(&[(7, 1), (8, 5), (90, 3)])), 7);
        assert_eq!(before.0, [(7, most), (90, 3)]);
        assert_eq!(total.latency.0, [(7, most + 2), (8, 5), (90, 3)]);
    }
}
