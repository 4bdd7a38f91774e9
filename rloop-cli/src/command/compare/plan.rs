//! Where the I/Os of a load go: the same places on both devices.

use super::blocks::Blocks;
use super::load::{Load, Operation};
use crate::load::Random;

/// The most writes into holes in one run: they take room.
pub(super) const MOST_FILLS: u64 = 65_536;

/// Where random choices start from.
const SEED: u64 = 0x5DEE_CE66;

/// A load, with its places in one file.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Which load.
    pub(super) load: Load,
    places: Places,
}

#[derive(Clone, Debug)]
enum Places {
    /// Any of these, again and again.
    Any { blocks: Blocks, count: u64 },
    /// One after the other, so many, and then from the beginning.
    InOrder(u64),
    /// Each of these offsets once.
    Once(Vec<u64>),
}

impl Plan {
    /// For a file; the error says why the file is none for this load.
    pub(super) fn new(
        load: Load,
        len: u64,
        data: &Blocks,
        holes: &Blocks,
    ) -> Result<Self, &'static str> {
        let any = |blocks: Blocks| Places::Any {
            count: blocks.count(),
            blocks,
        };
        let places = match load.operation() {
            Operation::Read if load == Load::Scan => {
                Places::InOrder(len / load.block_bytes() as u64)
            }
            Operation::Read => any(Blocks::within(std::slice::from_ref(&(0..len)))),
            Operation::Overwrite if data.count() == 0 => {
                return Err("the file has nothing that could be overwritten");
            }
            Operation::Overwrite => any(data.clone()),
            Operation::Fill if holes.count() == 0 => return Err("the file has no holes"),
            Operation::Fill => Places::Once(scattered(holes)),
        };
        Ok(Self { load, places })
    }

    /// The offsets in bytes that one of the load's threads goes through in a round.
    pub(super) fn steps(&self, round: u32, thread: usize) -> impl Iterator<Item = u64> {
        // Neighbouring seeds would give neighbouring places at first.
        let seed = SEED + u64::from(round) * 1000 + thread as u64;
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut n = 0;
        std::iter::from_fn(move || {
            let step = n;
            n += 1;
            match &self.places {
                Places::Any { blocks, count } => Some(blocks.offset(random.below(*count))),
                Places::InOrder(count) => Some(step % count * self.load.block_bytes() as u64),
                Places::Once(offsets) => {
                    let place = step as usize * self.load.depth() + thread;
                    offsets.get(place).copied()
                }
            }
        })
    }
}

/// Offsets of up to [`MOST_FILLS`] blocks, evenly from all, in random order.
fn scattered(blocks: &Blocks) -> Vec<u64> {
    let count = blocks.count();
    let wanted = count.min(MOST_FILLS);
    let nth = |i: u64| (u128::from(i) * u128::from(count) / u128::from(wanted)) as u64;
    let mut offsets: Vec<u64> = (0..wanted).map(|i| blocks.offset(nth(i))).collect();
    let mut random = Random(SEED);
    for last in (1..offsets.len()).rev() {
        offsets.swap(last, random.below(last as u64 + 1) as usize);
    }
    offsets
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn plan(load: Load) -> Result<Plan, &'static str> {
        let data = Blocks::within(std::slice::from_ref(&(0..MIB)));
        let holes = Blocks::within(std::slice::from_ref(&(MIB..3 * MIB)));
        Plan::new(load, 4 * MIB, &data, &holes)
    }

    #[test]
    fn each_load_has_its_places_and_each_round_others() {
        let first = |load, round, thread| -> Vec<u64> {
            let plan = plan(load).expect("fits");
            plan.steps(round, thread).take(100).collect()
        };
        assert_eq!(first(Load::Read, 1, 0), first(Load::Read, 1, 0));
        assert_ne!(first(Load::Read, 1, 0), first(Load::Read, 2, 0));
        assert_ne!(first(Load::ReadDeep, 1, 0), first(Load::ReadDeep, 1, 1));
        assert!(first(Load::Write, 1, 0).iter().all(|at| *at < MIB));
        let scan = first(Load::Scan, 1, 0);
        assert_eq!((scan[1], scan[31], scan[32]), (128 << 10, 31 << 17, 0));
        assert!(scan.len() == 100);
    }

    #[test]
    fn threads_together_fill_each_block_of_the_holes_once() {
        let plan = plan(Load::FillDeep).expect("fits");
        let all = (0..32).flat_map(|thread| plan.steps(1, thread));
        let all: Vec<u64> = all.collect();
        assert_eq!(all.len(), 512);
        let once: BTreeSet<u64> = all.iter().copied().collect();
        assert!(once.len() == 512 && once.iter().all(|at| (MIB..3 * MIB).contains(at)));
        assert!(!all.is_sorted());
        // More holes than are filled: from all over them.
        let large = Blocks::within(std::slice::from_ref(&(0..1 << 40)));
        let some = scattered(&large);
        assert_eq!(some.len() as u64, MOST_FILLS);
        assert!(some.iter().max() > Some(&(1 << 39)));
    }

    #[test]
    fn a_file_without_holes_or_data_is_none_for_some_loads() {
        let none = Blocks::default();
        let why = |load| Plan::new(load, MIB, &none, &none).map(drop);
        assert_eq!(why(Load::Fill), Err("the file has no holes"));
        assert!(why(Load::Write).is_err() && why(Load::Read).is_ok());
    }
}
