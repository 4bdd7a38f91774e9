//! Which extents a request touches.

use aya_ebpf::helpers::generated::bpf_loop;
use core::{ffi::c_void, hint::black_box};
use rloop_common::{
    Op,
    bucket::{COARSE_BUCKETS, Coarse},
    device::DeviceBlock,
    extent::{END, ExtentCell, Found, LEAF, Leaf, MAX_EXTENTS_PER_REQUEST, TableHead},
};

use crate::{
    debug,
    inner::Values as _,
    maps::{CELLS, CURRENT, TABLES, add, block, bump},
};

const LEAF_BITS: u32 = LEAF.ilog2();

/// A walk over the extents of one request.
#[repr(C)]
struct Walk {
    /// Where the device's table and cells are.
    place: u32,
    /// The extent to look at next.
    extent: u32,
    shift: u32,
    write: u32,
    start: u64,
    end: u64,
    /// Latency to add, or 0 to count the request.
    latency_ns: u64,
    /// Extents that were touched.
    touched: u32,
    /// The walk saw the request's end.
    done: u32,
    /// The latency's bucket.
    bucket: u64,
}

/// The place of the last start at or before `offset`, or place 0.
#[inline(always)]
fn search(leaf: &Leaf, first: u16, offset: u64) -> usize {
    const MASK: usize = LEAF - 1;
    let mut low = usize::from(first) & MASK;
    let mut step = LEAF / 2;
    while step > 0 {
        let middle = (low + step) & MASK;
        if leaf[middle] <= offset {
            low = middle;
        }
        step /= 2;
    }
    low
}

/// One of a table's leaves; the first is its root.
#[inline(always)]
fn leaf(place: u32, index: u32) -> Option<&'static Leaf> {
    let leaf = TABLES.value(place, index)?;
    // SAFETY: a map value, which the program has written before it made the table current.
    Some(unsafe { &*leaf })
}

/// Where extent `index` starts, in bytes; [`END`] if there is none.
#[inline(always)]
fn start_of(place: u32, index: u32) -> u64 {
    leaf(place, (index >> LEAF_BITS) + 1).map_or(END, |leaf| leaf[index as usize & (LEAF - 1)])
}

/// Adds to one extent's counters; 1 ends the walk.
extern "C" fn visit(_step: u32, walk: *mut c_void) -> i64 {
    let walk = walk.cast::<Walk>();
    // SAFETY: the kernel passes the pointer given to `bpf_loop`, which outlives the loop.
    unsafe {
        let index = (*walk).extent;
        let next = start_of((*walk).place, index + 1);
        let end = if next < (*walk).end {
            next
        } else {
            (*walk).end
        };
        if let Some(cell) = CELLS.value((*walk).place, index >> ((*walk).shift & 31)) {
            if (*walk).latency_ns != 0 {
                timed(cell, (*walk).latency_ns, (*walk).bucket as usize);
            } else {
                counted(cell, end - (*walk).start, (*walk).write != 0);
            }
        }
        (*walk).touched += 1;
        if end >= (*walk).end {
            (*walk).done = 1;
            return 1;
        }
        (*walk).start = end;
        (*walk).extent = index + 1;
    }
    0
}

/// # Safety
/// `cell` is a map value.
#[inline(always)]
unsafe fn counted(cell: *mut ExtentCell, bytes: u64, write: bool) {
    // SAFETY: by the caller's promise.
    unsafe {
        if write {
            add(&raw mut (*cell).writes, 1);
            add(&raw mut (*cell).write_bytes, bytes);
        } else {
            add(&raw mut (*cell).reads, 1);
            add(&raw mut (*cell).read_bytes, bytes);
        }
    }
}

/// # Safety
/// `cell` is a map value.
#[inline(always)]
unsafe fn timed(cell: *mut ExtentCell, latency_ns: u64, bucket: usize) {
    // SAFETY: by the caller's promise.
    unsafe {
        if latency_ns > (*cell).max_ns {
            (*cell).max_ns = latency_ns;
        }
        if bucket < COARSE_BUCKETS {
            bump((&raw mut (*cell).latency).cast::<u32>().add(bucket), 1);
        }
    }
}

fn run(walk: &mut Walk) -> bool {
    // SAFETY: `visit` takes a `Walk`, which lives until the loop ends.
    unsafe {
        bpf_loop(
            MAX_EXTENTS_PER_REQUEST,
            visit as *mut c_void,
            core::ptr::from_mut(walk).cast(),
            0,
        )
    };
    walk.done != 0
}

/// Where the device's table and cells of a number are.
#[inline(always)]
fn place(device: u32, generation: u32) -> u32 {
    2 * device + (generation & 1)
}

/// Looks `offset` up, beginning with what was found before: a search costs more than all else that is
/// done for a request when it completes, and few extents or sequential work need it rarely.
///
/// # Safety
/// `last` is a part of a map value.
#[inline(always)]
unsafe fn find_near(device: u32, last: *mut Found, offset: u64) -> Option<Found> {
    let generation = *CURRENT.get(device)?;
    // SAFETY: by the caller's promise. Only one program writes it, which does not run twice at once on a
    // processor.
    unsafe {
        if (*last).generation == generation && offset >= (*last).start && offset < (*last).next {
            return Some(*last);
        }
        let found = find(device, generation, offset)?;
        *last = found;
        Some(found)
    }
}

#[inline(always)]
fn find(device: u32, generation: u32, offset: u64) -> Option<Found> {
    let place = place(device, generation);
    let root = leaf(place, 0)?;
    let head = TableHead::from_bits(root[0]);
    if head.count == 0 {
        return None;
    }
    let branch = if head.count <= LEAF as u32 {
        0
    } else {
        search(root, head.first, offset) as u32
    };
    let leaf = leaf(place, branch + 1)?;
    let twig = search(leaf, head.first, offset);
    let extent = branch << LEAF_BITS | twig as u32;
    Some(Found {
        generation,
        extent,
        shift: u64::from(head.shift) & 31,
        start: leaf[twig],
        next: if twig < LEAF - 1 {
            // The mask is for the verifier, which forgets what was compared; the compiler would drop it.
            leaf[black_box(twig + 1) & (LEAF - 1)]
        } else {
            start_of(place, extent + 1)
        },
    })
}

/// A read or write that is done.
pub struct Done {
    /// From where on the device on, in bytes.
    pub start: u64,
    /// Up to where.
    pub end: u64,
    /// It is a write.
    pub write: bool,
    /// How long it took, 0 if that is not known.
    pub latency_ns: u64,
    /// That in a [`Fine`](rloop_common::bucket::Fine) bucket.
    pub fine: usize,
}

/// Counts it, and its latency, on the extents that it touches. `last` is what was found before, if only the calling
/// program writes that.
///
/// # Safety
/// `block` is a map value, and `last` a part of one.
#[inline(always)]
pub unsafe fn done(device: u32, block: *mut DeviceBlock, last: Option<*mut Found>, done: &Done) {
    // SAFETY: by the caller's promise.
    unsafe {
        if add_all(device, last, done).is_none() {
            add(&raw mut (*block).unattributed, 1);
            debug::extent_missed(device, done.start, (done.end - done.start) as u32);
        }
    }
}

/// Counts a read or write whose completion was lost. A function of its own: rare, and verified by itself.
#[inline(never)]
pub fn lost(device: u32, start: u64, len: u32, op: u32) {
    let Some(block) = block(device) else { return };
    let request = Done {
        start,
        end: start + u64::from(len),
        write: op == Op::Write as u32,
        latency_ns: 0,
        fine: 0,
    };
    // SAFETY: the block is a map value.
    unsafe { done(device, block, None, &request) };
}

/// # Safety
/// `last` is a part of a map value.
#[inline(always)]
unsafe fn add_all(device: u32, last: Option<*mut Found>, done: &Done) -> Option<()> {
    let &Done {
        start,
        end,
        write,
        latency_ns,
        fine,
    } = done;
    let bucket = Coarse::of_fine(fine);
    // SAFETY: by the caller's promise, and the same of cells.
    unsafe {
        let found = match last {
            Some(last) => find_near(device, last, start)?,
            None => find(device, *CURRENT.get(device)?, start)?,
        };
        let place = place(device, found.generation);
        let shift = found.shift as u32 & 31;
        if end <= found.next {
            let cell = CELLS.value(place, found.extent >> shift)?;
            counted(cell, end - start, write);
            if latency_ns != 0 {
                timed(cell, latency_ns, bucket);
            }
            return Some(());
        }
        let walk = |latency_ns| {
            run(&mut Walk {
                place,
                extent: found.extent,
                shift,
                write: u32::from(write),
                start,
                end,
                latency_ns,
                touched: 0,
                done: 0,
                bucket: bucket as u64,
            })
        };
        let all = walk(0);
        if latency_ns != 0 {
            walk(latency_ns);
        }
        all.then_some(())
    }
}
