//! Does a load on a device, and times each I/O.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rloop_common::bucket::{FINE_BUCKETS, Fine};

use super::contents;
use super::load::Load;
use super::plan::Plan;
use crate::load::Aligned;

/// One run of a load.
pub(super) struct Order<'a> {
    /// What is done, and where.
    pub(super) plan: &'a Plan,
    /// Which round it is in: places are chosen by it.
    pub(super) round: u32,
    /// What is written: see [`contents`].
    pub(super) tag: u64,
    /// For how long.
    pub(super) length: Duration,
    /// In how many parts of that time latencies are counted.
    pub(super) parts: usize,
    /// Ends it early.
    pub(super) stop: &'a AtomicBool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// How many I/Os of each part of the time had a latency in each bucket ([`Fine`]).
    pub(super) parts: Vec<Vec<u64>>,
    /// From its beginning to its last I/O.
    pub(super) elapsed: Duration,
    /// For each thread, how many I/Os it did.
    pub(super) done: Vec<usize>,
    /// For each thread, a sum over what each I/O read.
    pub(super) sums: Vec<Vec<u32>>,
}

impl Outcome {
    /// How many I/Os there were.
    pub(super) fn ios(&self) -> u64 {
        self.done.iter().map(|done| *done as u64).sum()
    }
}

/// Opens a device or a file for direct I/O.
pub(super) fn open(path: &Path, writes: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(writes);
    options.custom_flags(libc::O_DIRECT).open(path)
}

/// Runs it, as many threads as the load is deep. The error names the I/O that failed.
pub(super) fn run(device: &Path, order: &Order<'_>) -> io::Result<Outcome> {
    let load = order.plan.load;
    let device = open(device, !load.only_reads())?;
    let start = Instant::now();
    let mine = thread::scope(|scope| {
        let work = |number| {
            let device = &device;
            scope.spawn(move || Worker::new(order, start).run(device, number))
        };
        let threads: Vec<_> = (0..load.depth()).map(work).collect();
        let ended = threads.into_iter().map(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err(io::Error::other("a thread of the load panicked")))
        });
        ended.collect::<io::Result<Vec<Worker<'_>>>>()
    })?;
    let mut outcome = Outcome {
        parts: vec![vec![0; FINE_BUCKETS]; order.parts],
        elapsed: mine.iter().map(|one| one.end).max().unwrap_or(start) - start,
        done: mine.iter().map(|one| one.done).collect(),
        sums: Vec::new(),
    };
    for one in mine {
        let counts = outcome.parts.iter_mut().flatten();
        for (sum, count) in counts.zip(one.parts.iter().flatten()) {
            *sum += count;
        }
        outcome.sums.push(one.sums);
    }
    Ok(outcome)
}

/// A thread's part of the work.
struct Worker<'a> {
    order: &'a Order<'a>,
    start: Instant,
    end: Instant,
    parts: Vec<Vec<u64>>,
    done: usize,
    sums: Vec<u32>,
}

impl<'a> Worker<'a> {
    fn new(order: &'a Order<'a>, start: Instant) -> Self {
        Self {
            order,
            start,
            end: start,
            parts: vec![vec![0; FINE_BUCKETS]; order.parts],
            done: 0,
            sums: Vec::new(),
        }
    }

    fn run(mut self, device: &File, number: usize) -> io::Result<Self> {
        let order = self.order;
        let load = order.plan.load;
        let len = load.block_bytes();
        let mut buffer = Aligned::new(len);
        for offset in order.plan.steps(order.round, number) {
            let buffer = buffer.get(len);
            if !load.only_reads() {
                contents::fill(buffer, offset, order.tag);
            }
            let begun = Instant::now();
            // Each thread does one at least, however late it starts.
            let is_over = begun - self.start >= order.length && self.done > 0;
            if is_over || order.stop.load(Ordering::Relaxed) {
                break;
            }
            do_one(load, device, buffer, offset).map_err(|error| {
                io::Error::new(error.kind(), format!("{load:?} at byte {offset}: {error}"))
            })?;
            self.count(begun);
            if load.only_reads() {
                self.sums.push(crc32fast::hash(buffer));
            }
        }
        Ok(self)
    }

    fn count(&mut self, begun: Instant) {
        self.end = Instant::now();
        let at = (begun - self.start).as_secs_f64() / self.order.length.as_secs_f64();
        let part = (at * self.order.parts as f64) as usize;
        let part = part.min(self.order.parts - 1);
        let ns = (self.end - begun).as_nanos() as u64;
        self.parts[part][Fine::index(ns)] += 1;
        self.done += 1;
    }
}

fn do_one(load: Load, device: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    if load.only_reads() {
        return device.read_exact_at(buffer, offset);
    }
    device.write_all_at(buffer, offset)?;
    if load.flushes() {
        // Nothing of a device that is open for direct I/O is cached, so this is a flush alone.
        device.sync_data()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
