// SPDX-License-Identifier: GPL-2.0

//! The extent map and the claims against models that are too simple to be wrong.

use proptest::prelude::*;

use crate::heap;
use crate::real::extent::claims::Claims;
use crate::real::extent::map::{ExtentMap, Found, Full, Memory, Spare, Writer};
use crate::real::extent::{Extent, Range, State, MAX_BLOCK, MAX_LEN};

struct Heap;

/// Readers of these tests are never there while the map changes.
struct Reading;

// SAFETY: See `heap`; there are no readers while something is retired.
unsafe impl Memory for Heap {
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

    unsafe fn retire(pointer: *mut u8) {
        // SAFETY: As the caller says.
        unsafe { heap::free(pointer) }
    }
}

const BLOCKS: u64 = 400;

/// A map, and for each block what it should say.
struct Pair {
    map: ExtentMap<Heap>,
    writer: Writer,
    blocks: Vec<Option<(State, u64)>>,
}

impl Pair {
    fn new() -> Self {
        let (map, writer) = ExtentMap::new().expect("there is memory");
        let blocks = vec![None; BLOCKS as usize];
        Self {
            map,
            writer,
            blocks,
        }
    }

    /// Does a change until a spare does.
    fn change(
        &mut self,
        mut change: impl FnMut(&ExtentMap<Heap>, &mut Writer, &mut Spare<Heap>) -> Result<(), Full>,
    ) {
        for _ in 0..BLOCKS {
            let mut spare = Spare::new();
            spare
                .fill(self.map.slots(&Reading))
                .expect("there is memory");
            if change(&self.map, &mut self.writer, &mut spare) == Ok(()) {
                return;
            }
        }
        panic!("no spare does");
    }

    fn insert(&mut self, extent: Extent) {
        self.change(|map, writer, spare| map.insert(&extent, writer, spare, &Reading));
        for block in extent.start..extent.end() {
            let place = &mut self.blocks[block as usize];
            let disk = extent.part(Range::new(block, block + 1)).disk;
            *place = place.or(Some((extent.state, disk)));
        }
    }

    fn remove(&mut self, range: Range) {
        self.change(|map, writer, spare| map.remove(range, writer, spare));
        self.blocks[range.start as usize..range.end as usize].fill(None);
    }

    fn set_state(&mut self, block: u64, state: State) {
        let Found::Extent(extent) = self.map.lookup(block, &Reading) else {
            return;
        };
        let part = extent.part(Range::new(block, extent.end()));
        if !part.state.has_blocks() || !state.has_blocks() {
            return;
        }
        self.change(|map, writer, spare| map.set_state(&part, state, writer, spare));
        for block in part.start..part.end() {
            self.blocks[block as usize]
                .as_mut()
                .expect("it was mapped")
                .0 = state;
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut counted = 0;
        let mut end = 0;
        for block in 0..BLOCKS {
            let expected = self.blocks[block as usize];
            match self.map.lookup(block, &Reading) {
                Found::Extent(extent) => {
                    prop_assert!(extent.range().overlaps(Range::new(block, block + 1)));
                    let disk = extent.part(Range::new(block, block + 1)).disk;
                    prop_assert_eq!(Some((extent.state, disk)), expected, "block {}", block);
                    if block == end || extent.start == block {
                        counted += 1;
                        end = extent.end();
                    }
                }
                Found::Absent { end } => {
                    prop_assert_eq!(expected, None, "block {}", block);
                    prop_assert!(end > block);
                    let known =
                        (block..end.min(BLOCKS)).find(|b| self.blocks[*b as usize].is_some());
                    prop_assert_eq!(known, None, "absent from {} up to {}", block, end);
                }
            }
        }
        prop_assert_eq!(counted, self.writer.extents);
        let filled = self
            .blocks
            .iter()
            .filter(|b| b.is_some_and(|b| b.0 == State::Filled))
            .count();
        prop_assert_eq!(filled as u64, self.writer.filled);
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Extent),
    Remove(Range),
    SetState(u64, State),
    Clear,
}

fn range() -> impl Strategy<Value = Range> {
    (0..BLOCKS - 1, 1u64..40).prop_map(|(start, len)| Range::new(start, (start + len).min(BLOCKS)))
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Hole),
        Just(State::Unwritten),
        Just(State::Filling),
        Just(State::Filled),
        Just(State::Written),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // A third of the extents lie as one run on disk, so that neighbours join.
    let disk = prop_oneof![Just(None), Just(None), (0u64..1 << 40).prop_map(Some)];
    let extent = (range(), state(), disk).prop_map(|(range, state, disk)| Extent {
        start: range.start,
        len: range.end - range.start,
        disk: if state.has_blocks() {
            disk.unwrap_or(1000 + range.start)
        } else {
            0
        },
        state,
    });
    prop_oneof![
        6 => extent.prop_map(Step::Insert),
        3 => range().prop_map(Step::Remove),
        3 => (0..BLOCKS, state()).prop_map(|(block, state)| Step::SetState(block, state)),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn the_map_says_what_was_put_in(steps in prop::collection::vec(step(), 1..120)) {
        let before = heap::out();
        let mut pair = Pair::new();
        for step in steps {
            match step {
                Step::Insert(extent) => pair.insert(extent),
                Step::Remove(range) => pair.remove(range),
                Step::SetState(block, state) => pair.set_state(block, state),
                Step::Clear => {
                    pair.change(|map, writer, spare| map.clear(writer, spare).map(drop));
                    pair.blocks.fill(None);
                }
            }
            pair.check()?;
        }
        drop(pair);
        prop_assert_eq!(heap::out(), before, "memory is neither lost nor freed twice");
    }

    #[test]
    fn extents_keep_their_limits(start in 0..MAX_BLOCK - MAX_LEN, len in 1..=MAX_LEN, disk in 0..MAX_BLOCK - MAX_LEN, state in state()) {
        let disk = if state.has_blocks() { disk } else { 0 };
        let extent = Extent { start, len, disk, state };
        let mut pair = Pair::new();
        pair.change(|map, writer, spare| map.insert(&extent, writer, spare, &Reading));
        prop_assert_eq!(pair.map.lookup(start, &Reading), Found::Extent(extent));
        prop_assert_eq!(pair.map.lookup(extent.end() - 1, &Reading), Found::Extent(extent));
        prop_assert_eq!(pair.map.lookup(extent.end(), &Reading), Found::Absent { end: MAX_BLOCK });
    }

    #[test]
    fn what_is_allowed_is_the_first_part_without_a_claim(
        claimed in prop::collection::vec((range(), any::<bool>()), 0..20),
        asked in range(),
    ) {
        let mut claims = Claims::new();
        claims.open();
        let mut kept = Vec::new();
        for (range, released) in &claimed {
            let claim = claims.claim(*range);
            if *released {
                claims.release(claim);
            } else {
                kept.push(claim);
            }
        }
        let free = |block: &u64| !claimed.iter().any(|(r, _)| r.start <= *block && *block < r.end);
        let first = (asked.start..asked.end).find(free);
        let last = first.map(|first| (first..asked.end).find(|b| !free(b)).unwrap_or(asked.end));
        let expected = first.zip(last).map(|(start, end)| Range::new(start, end));
        prop_assert_eq!(claims.allowed(asked), expected);
        // Once the window has been opened again, claims released before are forgotten.
        kept.into_iter().for_each(|claim| claims.release(claim));
        claims.close();
        claims.open();
        prop_assert_eq!(claims.allowed(asked), Some(asked));
    }
}

#[test]
fn too_many_claims_allow_nothing_until_they_are_gone() {
    let mut claims = Claims::new();
    claims.open();
    let held: Vec<_> = (0..1000)
        .map(|n| claims.claim(Range::new(n, n + 1)))
        .collect();
    assert_eq!(claims.allowed(Range::new(5000, 5001)), None);
    held.into_iter().for_each(|claim| claims.release(claim));
    claims.close();
    claims.open();
    assert_eq!(claims.allowed(Range::new(5, 6)), Some(Range::new(5, 6)));
}

#[test]
fn a_long_extent_is_kept_as_several() {
    let extent = Extent {
        start: 7,
        len: 2 * MAX_LEN + 5,
        disk: 100,
        state: State::Written,
    };
    let mut pair = Pair::new();
    pair.change(|map, writer, spare| map.insert(&extent, writer, spare, &Reading));
    for block in [7, 7 + MAX_LEN, extent.end() - 1] {
        let Found::Extent(found) = pair.map.lookup(block, &Reading) else {
            panic!("block {block} is absent");
        };
        assert_eq!(
            found.part(Range::new(block, block + 1)).disk,
            100 + block - 7
        );
    }
    assert_eq!(
        pair.map.lookup(extent.end(), &Reading),
        Found::Absent { end: MAX_BLOCK }
    );
}
