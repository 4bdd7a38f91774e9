//! Many threads that read and write one device at random, each checking what it reads by the rule of
//! `stamps`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use crate::direct::{self, Buffer, SECTOR};
use crate::random::Random;
use crate::stamps::Stamps;

/// How many bits a transfer's length in sectors has at most: up to 64 KiB.
const LENGTH_BITS: u64 = 8;
/// How many blocks get more than their share, and by smaller I/O than a block.
const HOT_BLOCKS: u64 = 6;
/// A filesystem's block, in sectors.
const BLOCK: u64 = 8;

/// What the threads do, and to what.
pub(crate) struct Checker<'a> {
    pub(crate) stamps: &'a Stamps,
    pub(crate) device: &'a Path,
    /// The backing file, if what is written to the device has to be there at once.
    pub(crate) file: Option<&'a Path>,
    pub(crate) seed: u64,
    /// How many threads there are, and how much each of them does.
    pub(crate) threads: u64,
    pub(crate) operations: u64,
    /// The errno that it may fail with.
    pub(crate) may_fail: &'a [i32],
    /// Whether holes are made, too.
    pub(crate) makes_holes: bool,
}

impl Checker<'_> {
    /// Runs the threads. How much of it failed.
    pub(crate) fn run(&self) -> Result<u64> {
        let (stop, failed) = (AtomicBool::new(false), AtomicU64::new(0));
        let result = thread::scope(|scope| {
            let spawn = |number| {
                let (stop, failed) = (&stop, &failed);
                scope.spawn(move || {
                    let done = self.one_thread(number, stop, failed);
                    stop.fetch_or(done.is_err(), Relaxed);
                    done.with_context(|| format!("thread {number}"))
                })
            };
            let threads: Vec<_> = (0..self.threads).map(spawn).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
                thread.join().map_err(|_| anyhow!("a thread panicked"))?
            };
            // All of them end before the first error is told.
            let ended: Vec<_> = threads.into_iter().map(join).collect();
            ended.into_iter().collect::<Result<()>>()
        });
        result.map(|()| failed.into_inner())
    }

    fn one_thread(&self, number: u64, stop: &AtomicBool, failed: &AtomicU64) -> Result<()> {
        let mut thread = Thread {
            checker: self,
            random: Random::new(self.seed, number),
            device: direct::open(self.device, true)?,
            buffer: Buffer::new((1 << LENGTH_BITS) * SECTOR),
            failed,
        };
        // One of them reads the file instead, past the page cache and through it.
        let file = self.file.filter(|_| number == 0);
        let files = file
            .map(|file| Ok::<_, anyhow::Error>([direct::open(file, false)?, File::open(file)?]));
        let files = files.transpose()?;
        for _ in 0..self.operations {
            if stop.load(Relaxed) {
                break;
            }
            match &files {
                Some(files) => thread.read_file(files)?,
                None => thread.operate()?,
            }
        }
        Ok(())
    }
}

/// One of the threads.
struct Thread<'a> {
    checker: &'a Checker<'a>,
    random: Random,
    device: File,
    buffer: Buffer,
    failed: &'a AtomicU64,
}

impl Thread<'_> {
    fn operate(&mut self) -> Result<()> {
        let holes = if self.checker.makes_holes { 8 } else { 0 };
        let (first, count) = self.range();
        match self.random.below(100) {
            n if n < holes => self.make_hole(first, count),
            n if n < 11 => {
                let done = self.device.sync_all();
                self.judge(done).context("a flush")
            }
            n if n < 55 => self.write(first, count),
            _ => self
                .read(first, count)
                .with_context(|| format!("a read of {count} sectors from {first} on")),
        }
    }

    /// Some sectors, and how many.
    fn range(&mut self) -> (u64, u64) {
        let end = self.checker.stamps.sectors();
        let random = &mut self.random;
        if random.percent(40) {
            // Every thread has the same ones.
            let hot =
                Random::new(self.checker.seed, 1000 + random.below(HOT_BLOCKS)).below(end / BLOCK);
            let within = random.below(BLOCK);
            return (hot * BLOCK + within, 1 + random.below(BLOCK - within));
        }
        let count = 1 + random.scattered(LENGTH_BITS);
        let first = if random.percent(5) {
            end - count
        } else {
            random.below(end)
        };
        (first, count.min(end - first))
    }

    fn read(&mut self, first: u64, count: u64) -> Result<()> {
        let (stamps, range) = (self.checker.stamps, (first, count));
        let done = read(&self.device, stamps, range, &mut self.buffer);
        match done.map_err(|error| error.downcast::<io::Error>()) {
            Ok(()) => Ok(()),
            Err(Ok(error)) => Ok(self.judge(Err(error))?),
            Err(Err(wrong)) => Err(wrong),
        }
    }

    fn write(&mut self, first: u64, count: u64) -> Result<()> {
        // Not always at the beginning of a page.
        let skip = SECTOR * self.random.below(BLOCK) as usize;
        let bytes = &mut self.buffer.bytes();
        let room = bytes.len();
        let bytes =
            &mut bytes[skip.min(room - count as usize * SECTOR)..][..count as usize * SECTOR];
        let stamps = self.checker.stamps;
        let begun = stamps.begin_write(first, bytes);
        let done = self.device.write_all_at(bytes, first * SECTOR as u64);
        stamps.end_write(begun, done.is_ok());
        self.judge(done)
            .with_context(|| format!("a write of {count} sectors to {first} on"))
    }

    fn make_hole(&mut self, first: u64, count: u64) -> Result<()> {
        const LARGER: u64 = 8;
        let stamps = self.checker.stamps;
        let count = (count * LARGER).min(stamps.sectors() - first);
        let (offset, bytes) = (first * SECTOR as u64, count * SECTOR as u64);
        let begun = stamps.begin_zeros(first, count);
        let kind = self.random.below(4);
        let done = match kind {
            0 => direct::zero_out(&self.device, offset, bytes),
            1 => direct::punch(&self.device, offset, bytes),
            _ => direct::discard(&self.device, offset, bytes),
        };
        // Discarded sectors may keep what is in them.
        stamps.end_zeros(begun, done.is_ok() && kind < 2);
        self.judge(done)
            .with_context(|| format!("a hole of {count} sectors at {first} on (kind {kind})"))
    }

    /// An error is one unless it may be.
    fn judge(&self, done: io::Result<()>) -> io::Result<()> {
        match done {
            Err(error)
                if self
                    .checker
                    .may_fail
                    .iter()
                    .any(|e| error.raw_os_error() == Some(*e)) =>
            {
                self.failed.fetch_add(1, Relaxed);
                Ok(())
            }
            done => done,
        }
    }

    fn read_file(&mut self, files: &[File; 2]) -> Result<()> {
        let (first, count) = self.range();
        let which = self.random.below(2) as usize;
        let how = ["past", "through"][which];
        read(
            &files[which],
            self.checker.stamps,
            (first, count),
            &mut self.buffer,
        )
        .with_context(|| {
            format!("a read of the file {how} the page cache, {count} sectors from {first} on")
        })
    }
}

fn read(file: &File, stamps: &Stamps, range: (u64, u64), buffer: &mut Buffer) -> Result<()> {
    let (first, count) = range;
    let bytes = &mut buffer.bytes()[..count as usize * SECTOR];
    let reader = stamps.begin_read(first, count);
    file.read_exact_at(bytes, first * SECTOR as u64)?;
    stamps.check(&reader, bytes)
}
