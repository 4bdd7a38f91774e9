//! Which extents a request touches.

use aya_ebpf::helpers::generated::bpf_loop;
use core::ffi::c_void;
use rloop_common::{
    bucket::Coarse,
    device::DeviceBlock,
    extent::{ExtentCell, MAX_EXTENTS, MAX_EXTENTS_PER_REQUEST, TableHead},
};

use crate::debug;
use crate::maps::{CELLS, CURRENT, TABLES, add, bump};

/// Steps of the binary search.
const STEPS: u32 = MAX_EXTENTS.ilog2() + 1;

/// A walk over the extents of one request.
#[repr(C)]
struct Walk {
    /// Where the device's table and cells are.
    place: u32,
    /// The extent to look at next.
    extent: u32,
    count: u32,
    shift: u32,
    start: u64,
    end: u64,
    /// Latency to add, or 0 to count the request.
    latency_ns: u64,
    write: u32,
    /// The walk saw the request's end.
    done: u32,
}

/// Where extent `index` starts, in bytes.
#[inline(always)]
fn start_of(place: u32, index: u32) -> Option<u64> {
    TABLES.get_value(place, &(index + 1)).copied()
}

/// A search for the last extent that starts at or before `offset`.
#[repr(C)]
struct Search {
    offset: u64,
    place: u32,
    low: u32,
    high: u32,
    _unused: u32,
}

/// One step of the search; 1 ends it.
extern "C" fn halve(_step: u32, search: *mut c_void) -> i64 {
    let search = search.cast::<Search>();
    // SAFETY: the kernel passes the pointer given to `bpf_loop`, which outlives the loop.
    unsafe {
        if (*search).high - (*search).low <= 1 {
            return 1;
        }
        let middle = (*search).low + ((*search).high - (*search).low) / 2;
        match start_of((*search).place, middle) {
            Some(start) if start <= (*search).offset => (*search).low = middle,
            _ => (*search).high = middle,
        }
    }
    0
}

/// Adds to one extent's counters; 1 ends the walk.
extern "C" fn visit(_step: u32, walk: *mut c_void) -> i64 {
    let walk = walk.cast::<Walk>();
    // SAFETY: the kernel passes the pointer given to `bpf_loop`, which outlives the loop.
    unsafe {
        let index = (*walk).extent;
        let next = if index + 1 < (*walk).count {
            start_of((*walk).place, index + 1).unwrap_or(u64::MAX)
        } else {
            u64::MAX
        };
        let end = if next < (*walk).end {
            next
        } else {
            (*walk).end
        };
        if let Some(cell) = CELLS.get_value_ptr_mut((*walk).place, &(index >> ((*walk).shift & 31)))
        {
            touch(cell, &*walk, end - (*walk).start);
        }
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
unsafe fn touch(cell: *mut ExtentCell, walk: &Walk, bytes: u64) {
    // SAFETY: by the caller's promise.
    unsafe {
        if walk.latency_ns != 0 {
            if walk.latency_ns > (*cell).max_ns {
                (*cell).max_ns = walk.latency_ns;
            }
            bump(
                (&raw mut (*cell).latency)
                    .cast::<u32>()
                    .add(Coarse::index(walk.latency_ns)),
            );
        } else if walk.write != 0 {
            add(&raw mut (*cell).writes, 1);
            add(&raw mut (*cell).write_bytes, bytes);
        } else {
            add(&raw mut (*cell).reads, 1);
            add(&raw mut (*cell).read_bytes, bytes);
        }
    }
}

/// Walks the extents of a request; whether all of it was attributed.
#[inline(always)]
fn walk(device: u32, offset: u64, len: u32, latency_ns: u64, write: bool) -> bool {
    let Some(current) = CURRENT.get(device) else {
        return false;
    };
    let place = 2 * device + (*current & 1);
    let Some(head) = TABLES.get_value(place, &0) else {
        return false;
    };
    // SAFETY: entry 0 is a `TableHead`, of the same size and alignment.
    let head = unsafe { *(core::ptr::from_ref(head).cast::<TableHead>()) };
    if head.count == 0 {
        return false;
    }
    let mut search = Search {
        offset,
        place,
        low: 0,
        high: head.count,
        _unused: 0,
    };
    // SAFETY: `halve` takes a `Search`, which lives until the loop ends.
    unsafe { bpf_loop(STEPS, halve as *mut c_void, (&raw mut search).cast(), 0) };
    let mut walk = Walk {
        place,
        extent: search.low,
        count: head.count,
        shift: head.shift,
        start: offset,
        end: offset + u64::from(len),
        latency_ns,
        write: u32::from(write),
        done: 0,
    };
    // SAFETY: `visit` takes a `Walk`, which lives until the loop ends.
    unsafe {
        bpf_loop(
            MAX_EXTENTS_PER_REQUEST,
            visit as *mut c_void,
            (&raw mut walk).cast(),
            0,
        )
    };
    walk.done != 0
}

/// Counts a submitted read or write on the extents it touches.
///
/// # Safety
/// `block` is a map value.
#[inline(always)]
pub unsafe fn submitted(device: u32, block: *mut DeviceBlock, offset: u64, len: u32, write: bool) {
    if !walk(device, offset, len, 0, write) {
        // SAFETY: by the caller's promise.
        add(unsafe { &raw mut (*block).unattributed }, 1);
        debug::extent_missed(device, offset, len);
    }
}

/// Adds a completed read's or write's latency to the extents it touched.
#[inline(always)]
pub fn completed(device: u32, offset: u64, len: u32, latency_ns: u64) {
    walk(
        device,
        offset,
        len,
        if latency_ns == 0 { 1 } else { latency_ns },
        false,
    );
}
