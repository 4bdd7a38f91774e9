//! Which requests are split: all while there are few, one of many when there are many.

use aya_ebpf::helpers::{bpf_get_prandom_u32, generated::bpf_jiffies64};
use rloop_common::device::{SPLIT_PER_WINDOW, Sampling, WINDOW_BITS};

/// How many requests the one that is submitted now stands for: 0 if it is not split.
///
/// One of those that follow one another is chosen when the first of them is submitted, and at random, so
/// neither its own time nor a rhythm of the workload has a say; and it counts for as many as were one's to
/// choose from, so the sums hold while the rate changes.
///
/// # Safety
/// `sampling` is a part of a map value.
#[inline(always)]
pub unsafe fn weight(sampling: *mut Sampling) -> u32 {
    // SAFETY: by the caller's promise; the helpers have no preconditions. A program that is preempted
    // in here counts one request too few in `seen`.
    unsafe {
        let window = bpf_jiffies64() >> WINDOW_BITS;
        let before = (*sampling).window;
        if window != before {
            // After a pause nothing is known of the rate.
            (*sampling).every = if window == before + 1 {
                (*sampling).seen / SPLIT_PER_WINDOW + 1
            } else {
                1
            };
            (*sampling).seen = 0;
            (*sampling).left = 0;
            (*sampling).window = window;
        }
        (*sampling).seen += 1;
        let every = (*sampling).every;
        if every <= 1 {
            return 1;
        }
        let mut left = (*sampling).left;
        if left == 0 {
            left = every;
            (*sampling).turn = ((u64::from(bpf_get_prandom_u32()) * u64::from(every)) >> 32) as u32;
        }
        left -= 1;
        (*sampling).left = left;
        if left == (*sampling).turn { every } else { 0 }
    }
}
