//! From a `kiocb` back to the loop request it belongs to.
//!
//! The loop driver keeps the `kiocb` it hands to the filesystem behind the request. Nothing is believed
//! on the way back: the slot that is found must hold the request's address.

use rloop_common::slot::Slot;

use crate::{
    inner::Values as _,
    kernel::{
        CMD_IOCB, DISK_MAJOR, DISK_MINOR, LOOP_MAJOR, Q_DISK, RQ_INTERNAL_TAG, RQ_Q, RQ_SIZE,
        RQ_TAG, follow, loop_role, peek, peek_pair,
    },
    maps::{FLIGHT_BITS, QUEUE_BITS, QUEUES, SLOTS, add, place_of, private, put},
};

/// A request queue, and the device slot that it belonged to when it was last looked up.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Queue {
    /// Its address.
    address: u64,
    device: u64,
}

/// Multiplied by it, addresses that follow one another lie far apart (2^32 over the golden ratio).
const SPREAD: u32 = 0x9e37_79b9;
const DEVICE_SHIFT: u32 = 20;
const TAG_MASK: u32 = (1 << DEVICE_SHIFT) - 1;

/// How far behind its request a `kiocb` lies.
#[inline(always)]
pub fn distance() -> u64 {
    u64::from(CMD_IOCB.load()) + u64::from(RQ_SIZE.load())
}

/// So many places an address may have, one behind the other. Requests lie at regular distances, so that many of one
/// queue may come to the same place, whatever they are multiplied by.
const PLACES: u32 = 4;

/// One of an address's entries. By its lower half: the verifier lets that be a number like any other, but
/// does not let whole pointers be multiplied.
#[inline(always)]
fn entry_of(iocb: u32, place: u32) -> *mut u64 {
    const APART: u32 = 1 << (32 - FLIGHT_BITS);
    let name = spread(iocb).wrapping_add(place * APART);
    // SAFETY: the probes' own memory.
    place_of(unsafe { &raw mut (*private()).flight }, name)
}

/// The lower half of an address as another number, of which the upper bits differ most; no two are the same.
#[inline(always)]
pub fn spread(iocb: u32) -> u32 {
    iocb.wrapping_mul(SPREAD)
}

/// The slot that the upper half of an entry names.
#[inline(always)]
fn named(entry: u64) -> Option<*mut Slot> {
    let place = (entry >> 32) as u32;
    SLOTS.value(place >> DEVICE_SHIFT, place & TAG_MASK)
}

/// Enters a request that is submitted and will be split. False if others in flight have its places.
///
/// Only those that are split have an entry, so that the others find lines that nobody writes to.
#[inline(always)]
pub fn enter(request: u64, device: u32, tag: u32) -> bool {
    let iocb = (request + distance()) as u32;
    let slot = device << DEVICE_SHIFT | tag & TAG_MASK;
    for place in 0..PLACES {
        let entry = entry_of(iocb, place);
        // SAFETY: map values live as long as the program runs.
        unsafe {
            if is_free(*entry, iocb) {
                *entry = u64::from(slot) << 32 | u64::from(iocb);
                return true;
            }
        }
    }
    false
}

/// Whether an entry is the address's own, or of no request that is in flight.
#[inline(always)]
fn is_free(entry: u64, iocb: u32) -> bool {
    if entry == 0 || entry as u32 == iocb {
        return true;
    }
    // SAFETY: map values live as long as the program runs.
    named(entry).is_none_or(|slot| unsafe { ((*slot).request + distance()) as u32 != entry as u32 })
}

/// A request is under way of which somebody asks when it was where.
#[inline(always)]
pub fn join() {
    count(1);
}

/// Such a request is over.
#[inline(always)]
pub fn leave() {
    count(u64::MAX);
}

#[inline(always)]
fn count(change: u64) {
    // SAFETY: the probes' own memory.
    add(unsafe { &raw mut (*private()).splits }, change);
}

/// There may be requests to look for. Most of the time there are none, and to know that costs a
/// tenth of a search. One whose device goes before it completes keeps the search on, and nothing else.
#[inline(always)]
pub fn any() -> bool {
    // SAFETY: as above.
    unsafe { (*private()).splits != 0 }
}

/// The slot of the request that a `kiocb` belongs to, if that is a request that is split.
#[inline(always)]
pub fn split_slot(iocb: *const u8) -> Option<*mut Slot> {
    let name = iocb as u64 as u32;
    for place in 0..PLACES {
        // SAFETY: map values live as long as the program runs.
        let entry = unsafe { *entry_of(name, place) };
        if entry as u32 != name {
            continue;
        }
        let slot = named(entry)?;
        // SAFETY: as above. The entry may be of an earlier use of the tag.
        let is_its = unsafe { (*slot).request + distance() == iocb as u64 && (*slot).weight != 0 };
        return is_its.then_some(slot);
    }
    None
}

/// The device and the slot of any request that a `kiocb` belongs to, if it belongs to one.
#[inline(always)]
pub fn slot(iocb: *const u8) -> Option<(u32, *mut Slot)> {
    let request = iocb.wrapping_sub(distance() as usize);
    let (queue, tag) = queue_and_tag(request);
    let known = QUEUES.get_ptr_mut((queue as u32).wrapping_mul(SPREAD) >> (32 - QUEUE_BITS))?;
    // SAFETY: map values live as long as the program runs. Half an entry of somebody else's leads to a
    // slot that is not the request's.
    unsafe {
        if (*known).address == queue
            && let Some(found) = held((*known).device as u32, tag, request as u64)
        {
            return Some(found);
        }
        let disk = follow(queue as *const u8, &Q_DISK);
        let [major, minor] = peek_pair(disk, &DISK_MAJOR, &DISK_MINOR);
        if major != LOOP_MAJOR {
            return None;
        }
        let device = loop_role(minor).device?;
        let found = held(device, tag, request as u64)?;
        put(&raw mut (*known).address, queue);
        put(&raw mut (*known).device, u64::from(device));
        Some(found)
    }
}

/// A device and the slot of a tag, if that holds the request.
#[inline(always)]
fn held(device: u32, tag: u32, request: u64) -> Option<(u32, *mut Slot)> {
    let slot = SLOTS.value(device, tag)?;
    // SAFETY: a map value lives as long as the program runs.
    (unsafe { (*slot).request } == request).then_some((device, slot))
}

/// The address of a request's queue, and its tag. Every call to read something costs as much as twenty
/// words do, so it is one where the tags lie near the queue.
#[inline(always)]
fn queue_and_tag(request: *const u8) -> (u64, u32) {
    const WORDS: usize = 5;
    let tags = RQ_TAG.load().wrapping_sub(RQ_Q.load());
    let (queue, tag, scheduler_tag) = if tags as usize == (WORDS - 1) * size_of::<u64>()
        && RQ_INTERNAL_TAG.load() == RQ_TAG.load() + 4
    {
        let words: [u64; WORDS] = peek(request, &RQ_Q);
        let tags = words[WORDS - 1];
        (words[0], tags as u32, (tags >> 32) as u32)
    } else {
        let [tag, scheduler_tag] = peek_pair(request, &RQ_TAG, &RQ_INTERNAL_TAG);
        (peek(request, &RQ_Q), tag, scheduler_tag)
    };
    if scheduler_tag as i32 >= 0 {
        (queue, scheduler_tag)
    } else {
        (queue, tag)
    }
}
