//! Nanoseconds to histogram bucket and back.
//!
//! # In short
//! A bucket's midpoint is never further than `1 / 2^(SUB_BITS + 1)` of the true value from it:
//! 0.79 % for [`Fine`], 12.5 % for [`Coarse`].
//!
//! # Why
//! Values below `2^SUB_BITS` get a bucket each, so they are exact. Every octave `[2^k, 2^(k+1))` above
//! is cut into `2^SUB_BITS` buckets of equal width `2^(k - SUB_BITS)`. The midpoint is at most half a
//! width from any value `v >= 2^k` in the bucket, so the relative error is at most
//! `2^(k - SUB_BITS - 1) / 2^k = 2^-(SUB_BITS + 1)`.
//!
//! A percentile read from the buckets is the midpoint of the bucket that holds the true percentile,
//! so the same bound holds for it. Values past the last octave go to the last bucket.

/// A histogram scale: `2^SUB_BITS` buckets per octave, `BUCKETS` in all.
#[derive(Clone, Copy, Debug)]
pub struct Scale<const SUB_BITS: u32, const BUCKETS: usize>;

/// Per device and operation: within 0.79 %, up to 137 seconds.
pub type Fine = Scale<6, FINE_BUCKETS>;
/// Per extent, and for the parts of a request: within 12.5 %, up to 137 seconds.
pub type Coarse = Scale<2, COARSE_BUCKETS>;

/// Buckets of a [`Fine`] histogram: 64 exact ones and 64 for each of 31 octaves.
pub const FINE_BUCKETS: usize = 64 * 32;
/// Buckets of a [`Coarse`] histogram: 4 exact ones and 4 for each of 35 octaves.
pub const COARSE_BUCKETS: usize = 4 * 36;

impl<const SUB_BITS: u32, const BUCKETS: usize> Scale<SUB_BITS, BUCKETS> {
    /// The bucket that `ns` falls into, always below `BUCKETS`.
    #[inline(always)]
    pub const fn index(ns: u64) -> usize {
        let sub = 1u64 << SUB_BITS;
        if ns < sub {
            return ns as usize;
        }
        let octave = ilog2(ns) - SUB_BITS;
        let index = ((octave as u64) << SUB_BITS) + (ns >> octave);
        if index as usize >= BUCKETS {
            BUCKETS - 1
        } else {
            index as usize
        }
    }

    /// As [`index`](Self::index), if `ns` has this [`octave`](Self::octave); that is found with a fifth of the work.
    #[inline(always)]
    pub const fn index_in(octave: u32, ns: u64) -> Option<usize> {
        let place = ns >> octave;
        let index = ((octave as usize) << SUB_BITS) + place as usize;
        if place >> SUB_BITS == 1 && index < BUCKETS {
            Some(index)
        } else {
            None
        }
    }

    /// Which octave `ns` is in, counted from the first whose buckets are not exact.
    #[inline(always)]
    pub const fn octave(ns: u64) -> u32 {
        let sub = 1u64 << SUB_BITS;
        if ns < sub {
            return 0;
        }
        ilog2(ns) - SUB_BITS
    }

    /// The bucket's smallest value and its width, both in nanoseconds.
    pub const fn range(index: usize) -> (u64, u64) {
        let sub = 1usize << SUB_BITS;
        if index < sub {
            return (index as u64, 1);
        }
        let octave = (index >> SUB_BITS) - 1;
        let place = (index & (sub - 1)) + sub;
        ((place as u64) << octave, 1 << octave)
    }

    /// The value that stands for all values of the bucket, in nanoseconds.
    pub const fn midpoint(index: usize) -> u64 {
        let (low, width) = Self::range(index);
        low + width / 2
    }
}

impl Coarse {
    /// The bucket that a value falls into, from its bucket of a [`Fine`] histogram: 16 of those are one of
    /// these, from the first octave on that both have.
    #[inline(always)]
    pub const fn of_fine(index: usize) -> usize {
        if index < 64 {
            Self::index(index as u64)
        } else {
            index / 16 + 16
        }
    }
}

/// The position of the highest set bit of a value that is not zero.
///
/// Written as halvings because BPF before instruction set v4 has no count-leading-zeros, and the
/// compiler's replacement is a table look-up that costs more.
#[inline(always)]
const fn ilog2(value: u64) -> u32 {
    let mut rest = value;
    let mut log = 0;
    if rest >> 32 != 0 {
        rest >>= 32;
        log += 32;
    }
    if rest >> 16 != 0 {
        rest >>= 16;
        log += 16;
    }
    if rest >> 8 != 0 {
        rest >>= 8;
        log += 8;
    }
    if rest >> 4 != 0 {
        rest >>= 4;
        log += 4;
    }
    if rest >> 2 != 0 {
        rest >>= 2;
        log += 2;
    }
    log + (rest >> 1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT_NS: u64 = 1 << 37;

    fn check<const S: u32, const B: usize>(ns: u64) -> Result<(), TestCaseError> {
        let index = Scale::<S, B>::index(ns);
        let (low, width) = Scale::<S, B>::range(index);
        prop_assert!(index < B);
        prop_assert!(low <= ns && ns < low + width);
        let error = Scale::<S, B>::midpoint(index).abs_diff(ns) as f64;
        prop_assert!(error <= ns as f64 / f64::from(1u32 << (S + 1)));
        Ok(())
    }

    proptest! {
        #[test]
        fn midpoint_is_within_the_stated_bound(exponent in 0u32..37, fraction in 0.0f64..1.0) {
            let ns = ((1u64 << exponent) as f64 * (1.0 + fraction)) as u64;
            prop_assume!(ns < LIMIT_NS);
            check::<6, FINE_BUCKETS>(ns)?;
            check::<2, COARSE_BUCKETS>(ns)?;
        }

        #[test]
        fn any_value_has_a_bucket(ns: u64) {
            prop_assert!(Fine::index(ns) < FINE_BUCKETS);
            prop_assert!(Coarse::index(ns) < COARSE_BUCKETS);
        }

        #[test]
        fn who_knows_the_octave_finds_the_same_bucket(ns: u64, shift in 0u32..64, octave in 0u32..64) {
            let ns = ns >> shift;
            let index = Fine::index(ns);
            prop_assert!(Fine::index_in(octave, ns).is_none_or(|found| found == index));
            if (64..LIMIT_NS).contains(&ns) {
                prop_assert_eq!(Fine::index_in(Fine::octave(ns), ns), Some(index));
            }
        }

        #[test]
        fn a_fine_bucket_tells_the_coarse_one(ns: u64, shift in 0u32..64) {
            let ns = ns >> shift;
            prop_assert_eq!(Coarse::of_fine(Fine::index(ns)), Coarse::index(ns));
        }
    }

    #[test]
    fn buckets_join_without_gap_or_overlap() {
        for index in 1..FINE_BUCKETS {
            let (low, width) = Fine::range(index - 1);
            assert_eq!(low + width, Fine::range(index).0);
        }
        let (low, width) = Fine::range(FINE_BUCKETS - 1);
        assert_eq!(low + width, LIMIT_NS);
    }
}
