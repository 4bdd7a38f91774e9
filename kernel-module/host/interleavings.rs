// SPDX-License-Identifier: GPL-2.0

//! Every order of what two threads do to one map, as far as loom tells them apart.

use std::sync::atomic::{AtomicUsize as Untracked, Ordering::Relaxed};

use loom::sync::atomic::{fence, AtomicBool, AtomicUsize, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::checked::extent::claims::Claims;
use crate::checked::extent::map::{ExtentMap, Found, Full, Memory, Spare, Writer};
use crate::checked::extent::{Extent, Range, State};
use crate::heap;

struct Leaking;

/// What is retired stays until the model ends, so anybody may read at any time.
struct Reading;

static RETIRED: Untracked = Untracked::new(0);

// SAFETY: Nothing that was published is freed at all.
unsafe impl Memory for Leaking {
    type Reading = Reading;

    fn allocate(bytes: usize) -> *mut u8 {
        heap::allocate(bytes)
    }

    unsafe fn free(pointer: *mut u8) {
        if pointer.is_null() {
            return;
        }
        // SAFETY: As the caller says.
        unsafe { heap::free(pointer) }
    }

    unsafe fn retire(_: *mut u8) {
        RETIRED.fetch_add(1, Relaxed);
    }
}

/// What the module keeps under the device's lock.
struct Locked {
    writer: Writer,
    claims: Claims,
}

struct Device {
    map: ExtentMap<Leaking>,
    locked: Mutex<Locked>,
    /// Readers that are in the map, or in I/O on blocks they found there.
    inside: AtomicUsize,
}

impl Device {
    fn new(extents: &[Extent]) -> Arc<Self> {
        let (map, writer) = ExtentMap::new().expect("there is memory");
        let locked = Mutex::new(Locked {
            writer,
            claims: Claims::new(),
        });
        let device = Arc::new(Self {
            map,
            locked,
            inside: AtomicUsize::new(0),
        });
        for extent in extents {
            device.change(|map, locked, spare| {
                map.insert(extent, &mut locked.writer, spare, &Reading)
            });
        }
        device
    }

    fn change(
        &self,
        mut change: impl FnMut(
            &ExtentMap<Leaking>,
            &mut Locked,
            &mut Spare<Leaking>,
        ) -> Result<(), Full>,
    ) {
        loop {
            let mut spare = Spare::new();
            spare
                .fill(self.map.slots(&Reading))
                .expect("there is memory");
            let mut locked = self.locked.lock().expect("no thread has panicked");
            if change(&self.map, &mut locked, &mut spare) == Ok(()) {
                return;
            }
        }
    }
}

fn extent(start: u64, len: u64, state: State) -> Extent {
    let disk = if state.has_blocks() { 100 + start } else { 0 };
    Extent {
        start,
        len,
        disk,
        state,
    }
}

/// A punch takes its range out, waits for who is inside, and gives the blocks back. Nobody who is
/// inside may then be on one of them.
#[test]
fn no_io_is_on_blocks_that_a_punch_gave_back() {
    loom::model(|| {
        let device = Device::new(&[extent(0, 4, State::Written)]);
        let given_back = Arc::new(AtomicBool::new(false));
        let (other, freed) = (device.clone(), given_back.clone());
        let reader = thread::spawn(move || {
            other.inside.fetch_add(1, SeqCst);
            // As a grace period of SRCU does: who was not waited for sees what was done before.
            fence(SeqCst);
            if let Found::Extent(_) = other.map.lookup(1, &Reading) {
                assert!(!freed.load(SeqCst), "I/O on a block that was given back");
            }
            other.inside.fetch_sub(1, SeqCst);
        });
        device.change(|map, locked, spare| map.remove(Range::new(1, 2), &mut locked.writer, spare));
        fence(SeqCst);
        while device.inside.load(SeqCst) != 0 {
            thread::yield_now();
        }
        given_back.store(true, SeqCst);
        reader.join().expect("the reader holds");
        assert!(matches!(device.map.lookup(0, &Reading), Found::Extent(_)));
        assert!(matches!(device.map.lookup(2, &Reading), Found::Extent(_)));
    });
}

/// While one leaf becomes two, every block that was there before is found.
#[test]
fn a_split_hides_nothing() {
    loom::model(|| {
        let device = Device::new(&[extent(0, 1, State::Written), extent(4, 1, State::Written)]);
        let other = device.clone();
        let reader = thread::spawn(move || {
            for block in [0, 4] {
                let found = other.map.lookup(block, &Reading);
                assert_eq!(found, Found::Extent(extent(block, 1, State::Written)));
            }
        });
        let between = extent(2, 1, State::Hole);
        device
            .change(|map, locked, spare| map.insert(&between, &mut locked.writer, spare, &Reading));
        reader.join().expect("the reader holds");
    });
}

/// A fill that is published never looks absent or unwritten to who comes after it.
#[test]
fn a_state_changes_at_once() {
    loom::model(|| {
        let device = Device::new(&[extent(0, 4, State::Filling)]);
        let completed = Arc::new(AtomicBool::new(false));
        let (other, done) = (device.clone(), completed.clone());
        let reader = thread::spawn(move || {
            let after = done.load(SeqCst);
            let Found::Extent(found) = other.map.lookup(1, &Reading) else {
                panic!("absent on the way");
            };
            assert!(!after || found.state == State::Filled);
        });
        let part = extent(0, 2, State::Filling);
        device.change(|map, locked, spare| {
            map.set_state(&part, State::Filled, &mut locked.writer, spare)
        });
        completed.store(true, SeqCst);
        reader.join().expect("the reader holds");
    });
}

/// One thread maps "hole" while another fills it through the filesystem. Once the fill has completed,
/// the map must not say hole.
#[test]
fn a_hole_that_was_filled_is_not_mapped() {
    loom::model(|| {
        let device = Device::new(&[]);
        let filled = Arc::new(AtomicBool::new(false));
        let (other, filesystem) = (device.clone(), filled.clone());
        let filler = thread::spawn(move || {
            let mut claim = None;
            other.change(|map, locked, spare| {
                if claim.is_none() {
                    claim = Some(locked.claims.claim(Range::new(0, 1)));
                }
                map.remove(Range::new(0, 1), &mut locked.writer, spare)
            });
            filesystem.store(true, SeqCst);
            let mut locked = other.locked.lock().expect("no thread has panicked");
            locked.claims.release(claim.expect("it was claimed"));
        });
        device
            .locked
            .lock()
            .expect("no thread has panicked")
            .claims
            .open();
        let state = if filled.load(SeqCst) {
            State::Written
        } else {
            State::Hole
        };
        let answer = extent(0, 1, state);
        device.change(
            |map, locked, spare| match locked.claims.allowed(answer.range()) {
                Some(range) => map.insert(&answer.part(range), &mut locked.writer, spare, &Reading),
                None => Ok(()),
            },
        );
        filler.join().expect("the filler holds");
        let found = device.map.lookup(0, &Reading);
        assert_ne!(
            found,
            Found::Extent(extent(0, 1, State::Hole)),
            "zeros after a completed write"
        );
    });
}
