//! The maps the probes share with the program, and the few ways the probes touch them.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, LruHashMap, RingBuf},
    helpers::bpf_get_smp_processor_id,
    macros::btf_map,
};
use rloop_common::{
    chain::RequestTrace,
    device::DeviceBlock,
    event::{Event, EventKind},
    extent::{ExtentCell, Leaf},
    rloop::Watched,
    slot::Slot,
    who::{FileKey, Who, Work},
};

use crate::inner::{Inner, Values as _};

type Inners<T, const BYTES: usize, const MOST: usize> = ArrayOfMaps<Inner<T, BYTES>, MOST>;

/// The most devices watched at once.
const DEVICES_MAX: usize = 256;

/// By device slot: its counters, one block per CPU.
#[btf_map]
pub static BLOCKS: Inners<DeviceBlock, { size_of::<DeviceBlock>() }, DEVICES_MAX> =
    ArrayOfMaps::new();
/// By device slot: its requests in flight, by tag.
#[btf_map]
pub static SLOTS: Inners<Slot, { size_of::<Slot>() }, DEVICES_MAX> = ArrayOfMaps::new();
/// Two places for each device slot, of which [`CURRENT`] names the one in use: its extent table.
#[btf_map]
pub static TABLES: Inners<Leaf, { size_of::<Leaf>() }, { 2 * DEVICES_MAX }> = ArrayOfMaps::new();
/// In the same place: the counters of its extents.
#[btf_map]
pub static CELLS: Inners<ExtentCell, { size_of::<ExtentCell>() }, { 2 * DEVICES_MAX }> =
    ArrayOfMaps::new();
/// By device slot: the number of its extent table, which grows by one with each. Its lowest bit is the
/// place in use. A table and its cells change together.
#[btf_map]
pub static CURRENT: Array<u32, DEVICES_MAX> = Array::new();
/// By device slot: when the driver's worker was last done with a request of its own.
#[btf_map]
pub static WORKERS: Array<u64, DEVICES_MAX> = Array::new();

/// What is the probes' alone. To reach it costs a quarter of what a look-up in an array does.
pub struct Private {
    /// Requests in flight that are split, by the address of their `kiocb` spread over [`FLIGHT_BITS`] bits: the lower
    /// half of that address, and above it the request's device and tag.
    pub flight: [u64; 1 << FLIGHT_BITS],
    /// Direct I/O of the loop driver's that is done, and whose request is not: in the same place the lower half of the
    /// address, spread, and above it how many bytes it were.
    pub done: [u64; 1 << FLIGHT_BITS],
    /// What the loop driver has called when its direct I/O is done; 0 until some was seen.
    pub driver: u64,
    /// How many requests in flight are split, or otherwise of interest to more than the counters.
    pub splits: u64,
}

/// 16 KiB, to stay in a processor's cache.
pub const FLIGHT_BITS: u32 = 11;

static mut PRIVATE: Private = Private {
    flight: [0; 1 << FLIGHT_BITS],
    done: [0; 1 << FLIGHT_BITS],
    driver: 0,
    splits: 0,
};

/// What is the probes' alone.
#[inline(always)]
pub fn private() -> *mut Private {
    &raw mut PRIVATE
}

/// The place of `name` among those of [`FLIGHT_BITS`] bits, by its upper bits.
#[inline(always)]
pub fn place_of(places: *mut [u64; 1 << FLIGHT_BITS], name: u32) -> *mut u64 {
    // SAFETY: a number of so many bits is below the array's length.
    unsafe {
        places
            .cast::<u64>()
            .add((name >> (32 - FLIGHT_BITS)) as usize)
    }
}

/// The devices of request queues seen before, by the queue's address spread over [`QUEUE_BITS`] bits.
#[btf_map]
pub static QUEUES: Array<crate::flight::Queue, { 1 << QUEUE_BITS }> = Array::new();
/// As many places as devices are watched at most.
pub const QUEUE_BITS: u32 = DEVICES_MAX.ilog2();

/// By minor number of a loop device: its device slot plus one in the lower 16 bits, 0 if it is not
/// watched; and [`BELOW`](rloop_common::device::BELOW).
#[btf_map]
pub static MINORS: Array<u32, 65536> = Array::new();
/// By minor number of a device whose number is one of those that are given out as needed, as rloop's are:
/// what is watched of it.
#[btf_map]
pub static RLOOPS: Array<Watched, 65536> = Array::new();
/// Backing files: who they are, and the device slot they belong to.
#[btf_map]
pub static FILES: HashMap<FileKey, u32, 1024> = HashMap::new();
/// Filesystems that hold a watched file, by device number.
#[btf_map]
pub static FILESYSTEMS: HashMap<u32, u32, 256> = HashMap::new();
/// Journal commits under way: the journal's address and when it started.
#[btf_map]
pub static COMMITS: LruHashMap<u64, u64, 256> = LruHashMap::new();
/// Journal commits that ended, by filesystem and transaction.
#[btf_map]
pub static COMMITTED: LruHashMap<u64, crate::commit::Commit, 1024> = LruHashMap::new();
/// By device slot: its flush that the filesystem works on.
#[btf_map]
pub static FLUSHES: Array<crate::commit::Flush, DEVICES_MAX> = Array::new();
/// By thread: the device slot whose flush it served last.
#[btf_map]
pub static SERVED: LruHashMap<u64, u32, 1024> = LruHashMap::new();
/// By thread: the xfs inode it punches, while it has not told which blocks.
#[btf_map]
pub static PUNCHES: LruHashMap<u64, u64, 1024> = LruHashMap::new();
/// Who submitted to the watched devices.
#[btf_map]
pub static SUBMITTERS: LruHashMap<Who, Work, 4096> = LruHashMap::new();
/// Who took mappings back from rloop devices: as many times as it has requests.
#[btf_map]
pub static RECALLERS: LruHashMap<Who, Work, 1024> = LruHashMap::new();
/// Buffered reads under way, by thread: where the last counted one starts and ends.
#[btf_map]
pub static READERS: LruHashMap<u64, crate::bypass::Read, 4096> = LruHashMap::new();

/// Rare events, one by one.
#[btf_map]
pub static EVENTS: RingBuf<Event, 262144> = RingBuf::new();
/// How many of them found the ring full.
#[btf_map]
pub static EVENTS_LOST: Array<u64, 1> = Array::new();

/// Single requests and commits, of many or all of them.
#[btf_map]
pub static TRACES: RingBuf<RequestTrace, 1048576> = RingBuf::new();
/// Who submitted to rloop devices, by the request's place spread over [`ARRIVAL_BITS`] bits.
#[btf_map]
pub static ARRIVALS: Array<crate::chain::Arrival, { 1 << ARRIVAL_BITS }> = Array::new();
/// 32 KiB.
pub const ARRIVAL_BITS: u32 = 10;
/// How many records found that ring full.
#[btf_map]
pub static TRACES_LOST: Array<u64, 1> = Array::new();

/// The counters of the device in `slot` on this CPU.
#[inline(always)]
pub fn block(slot: u32) -> Option<*mut DeviceBlock> {
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    BLOCKS.value(slot, cpu)
}

/// Adds to a counter that other programs may be adding to.
#[inline(always)]
pub fn add(counter: *mut u64, value: u64) {
    // SAFETY: the callers pass a field of a map value, which outlives the program run.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, value) };
}

/// Adds to a bucket that other programs may be adding to.
#[inline(always)]
pub fn bump(bucket: *mut u32, value: u32) {
    // SAFETY: as in `add`.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(bucket, value) };
}

/// Stores `value` where there is nothing (0); false if there is something.
#[inline(always)]
pub fn occupy(place: *mut u64, value: u64) -> bool {
    const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
    // SAFETY: as in `add`.
    unsafe { atomic_cxchg::<u64, { ORDER }, { ORDER }>(place, 0, value).1 }
}

/// Writes one field. The compiler would make one call of `memset` of several zeros, and that is a loop
/// over bytes here.
///
/// # Safety
/// `place` is a field of a map value.
#[inline(always)]
pub unsafe fn put<T>(place: *mut T, value: T) {
    // SAFETY: by the caller's promise.
    unsafe { place.write_volatile(value) };
}

/// Sends a rare event, or counts that there was no room for it.
#[inline(always)]
pub fn send(kind: EventKind, device: u32, time_ns: u64, duration_ns: u64, detail: u64) {
    let event = Event {
        kind: kind as u32,
        device,
        time_ns,
        duration_ns,
        detail,
    };
    if EVENTS.output(event, 0).is_err()
        && let Some(lost) = EVENTS_LOST.get_ptr_mut(0)
    {
        add(lost, 1);
    }
}
