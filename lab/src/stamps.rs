//! Who wrote what into which sector, and what a reader may see of that.
//!
//! Each write has a number, and puts it into every sector that it writes, with the sector's own number and
//! bytes that follow from both. So each sector that is read says which write it comes from.
//!
//! # The rule
//! All that begins or ends takes a tick of one clock. A write is *overtaken* for a reader if another write
//! of the sector began after it had ended, and ended before the reader began. A reader sees zeros, or a
//! write that began before the reader ended; none that is overtaken. Zeros stand for what
//! was there at the beginning, and for what zeroed the sector since.
//!
//! A write that failed may be seen or not, but no write is overtaken by it.
//!
//! A reader may see a part of a sector before a write, and a part of it after: the guest's disks are files in the
//! memory of another machine, which copies to and from them, and the page cache is read while it is written. Neither
//! copies more than a byte at once for certain. So a sector that is nobody's as a whole is judged byte by byte, if
//! anything was done to it while it was read.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use anyhow::{Context as _, Result, bail, ensure};

use crate::direct::{self, SECTOR};
use crate::random::mix;

/// What all stamps begin with.
const MAGIC: u64 = 0x726c_6f6f_705f_6c61;
const WORDS: usize = SECTOR / 8;
/// When something ends that has not ended yet.
const NEVER: u64 = u64::MAX;

/// What was done with each sector.
pub(crate) struct Stamps {
    seed: u64,
    clock: AtomicU64,
    writes: Box<[Write]>,
    next: AtomicU32,
    sectors: Box<[Sector]>,
}

#[derive(Default)]
struct Write {
    first: AtomicU64,
    end: AtomicU64,
    /// The tick when it ended; 0 if it has not begun.
    ended: AtomicU64,
}

#[derive(Default)]
struct Sector {
    /// When the last of the writes began that have ended.
    floor: AtomicU64,
    /// How many are making zeros of it.
    zeroing: AtomicU32,
    /// When the last of those ended.
    zeroed: AtomicU64,
}

impl Write {
    fn covers(&self, sector: u64) -> bool {
        (self.first.load(SeqCst)..self.end.load(SeqCst)).contains(&sector)
    }
}

/// A reader that has begun.
pub(crate) struct Reader {
    first: u64,
    /// The tick before it began.
    began: u64,
    /// What it must see, sector by sector: when the last of the writes began that were complete.
    floors: Vec<u64>,
}

impl Reader {
    /// One that reads when nothing is under way.
    pub(crate) fn at_rest(first: u64, floors: Vec<u64>) -> Self {
        let began = NEVER;
        Self {
            first,
            began,
            floors,
        }
    }

    /// The first sector, and what must be seen of each from there on.
    pub(crate) fn floors(&self) -> (u64, &[u64]) {
        (self.first, &self.floors)
    }
}

/// A write that has begun.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    number: u32,
    tick: u64,
    first: u64,
    count: u64,
}

impl Stamps {
    /// Nothing is done yet to so many sectors; there is room for so many writes.
    pub(crate) fn new(seed: u64, sectors: u64, writes: usize) -> Self {
        Self {
            seed: mix(seed),
            clock: AtomicU64::new(1),
            writes: (0..=writes).map(|_| Write::default()).collect(),
            next: AtomicU32::new(1),
            sectors: (0..sectors).map(|_| Sector::default()).collect(),
        }
    }

    /// How many sectors there are.
    pub(crate) fn sectors(&self) -> u64 {
        self.sectors.len() as u64
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    fn range(&self, first: u64, count: u64) -> &[Sector] {
        &self.sectors[first as usize..(first + count) as usize]
    }

    /// A write begins. `bytes` becomes what it has to write.
    pub(crate) fn begin_write(&self, first: u64, bytes: &mut [u8]) -> Begun {
        let count = (bytes.len() / SECTOR) as u64;
        let number = self.next.fetch_add(1, SeqCst);
        let write = &self.writes[number as usize];
        write.first.store(first, SeqCst);
        write.end.store(first + count, SeqCst);
        write.ended.store(NEVER, SeqCst);
        for (sector, bytes) in (first..).zip(bytes.chunks_exact_mut(SECTOR)) {
            for (word, value) in bytes.chunks_exact_mut(8).zip(self.stamp(sector, number)) {
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
        let tick = self.tick();
        Begun {
            number,
            tick,
            first,
            count,
        }
    }

    /// A write has ended.
    pub(crate) fn end_write(&self, begun: Begun, done: bool) {
        self.writes[begun.number as usize]
            .ended
            .store(self.tick(), SeqCst);
        self.raise_floor(begun, done);
    }

    /// Something begins that makes sectors zeros.
    pub(crate) fn begin_zeros(&self, first: u64, count: u64) -> Begun {
        for sector in self.range(first, count) {
            sector.zeroing.fetch_add(1, SeqCst);
        }
        let (number, tick) = (0, self.tick());
        Begun {
            number,
            tick,
            first,
            count,
        }
    }

    /// It has ended; all that was there before is gone, or only may be gone.
    pub(crate) fn end_zeros(&self, begun: Begun, done: bool) {
        let tick = self.tick();
        for sector in self.range(begun.first, begun.count) {
            sector.zeroed.fetch_max(tick, SeqCst);
            sector.zeroing.fetch_sub(1, SeqCst);
        }
        self.raise_floor(begun, done);
    }

    fn raise_floor(&self, begun: Begun, done: bool) {
        if done {
            for sector in self.range(begun.first, begun.count) {
                sector.floor.fetch_max(begun.tick, SeqCst);
            }
        }
    }

    /// A reader begins.
    pub(crate) fn begin_read(&self, first: u64, count: u64) -> Reader {
        let began = self.clock.load(SeqCst);
        let sectors = self.range(first, count).iter();
        let floors = sectors.map(|sector| sector.floor.load(SeqCst)).collect();
        Reader {
            first,
            began,
            floors,
        }
    }

    /// What a reader has read.
    pub(crate) fn check(&self, reader: &Reader, bytes: &[u8]) -> Result<()> {
        let sectors = (reader.first..).zip(&reader.floors);
        for ((sector, floor), bytes) in sectors.zip(bytes.chunks_exact(SECTOR)) {
            self.check_sector(reader.began, sector, *floor, bytes)?;
        }
        Ok(())
    }

    /// Reads all of the device, or of its file, and checks it. What it holds.
    pub(crate) fn read_all(&self, path: &Path) -> Result<Vec<u8>> {
        let reader = self.begin_read(0, self.sectors());
        let bytes = self.sectors() * SECTOR as u64;
        let bytes = direct::contents(&direct::open(path, false)?, bytes)?;
        let checked = self.check(&reader, &bytes);
        checked.with_context(|| format!("in all of {}", path.display()))?;
        Ok(bytes)
    }

    fn check_sector(&self, began: u64, sector: u64, floor: u64, bytes: &[u8]) -> Result<()> {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into()?);
        }
        if words.iter().all(|word| *word == 0) {
            ensure!(
                self.may_be_zeros(sector, floor),
                "sector {sector} reads as zeros, after a write that began at tick {floor} was complete"
            );
            return Ok(());
        }
        let number = words[2] as u32;
        let known = words[0] == MAGIC && words[1] == sector && number < self.next.load(SeqCst);
        if !known || !self.stamp(sector, number).eq(words.iter().copied()) {
            return self.check_torn(began, sector, floor, bytes);
        }
        let write = &self.writes[number as usize];
        ensure!(
            write.covers(sector),
            "sector {sector} holds write {number}, which was of others"
        );
        let ended = write.ended.load(SeqCst);
        ensure!(
            ended > floor,
            "sector {sector} holds write {number}, which ended at tick {ended}; another one that \
             began at tick {floor} was complete"
        );
        Ok(())
    }

    /// Whether a reader may see zeros.
    fn may_be_zeros(&self, sector: u64, floor: u64) -> bool {
        let state = &self.sectors[sector as usize];
        floor == 0 || state.zeroing.load(SeqCst) > 0 || state.zeroed.load(SeqCst) > floor
    }

    /// A sector that is nobody's as a whole.
    fn check_torn(&self, began: u64, sector: u64, floor: u64, bytes: &[u8]) -> Result<()> {
        let state = &self.sectors[sector as usize];
        let mut changing = state.zeroing.load(SeqCst) > 0 || state.zeroed.load(SeqCst) > began;
        let zeros = self.may_be_zeros(sector, floor);
        let mut explained: Vec<bool> = bytes.iter().map(|byte| zeros && *byte == 0).collect();
        for number in 1..self.next.load(SeqCst) {
            let write = &self.writes[number as usize];
            let ended = write.ended.load(SeqCst);
            if !write.covers(sector) || ended <= floor {
                continue;
            }
            changing |= ended > began;
            let own = self.stamp(sector, number).flat_map(u64::to_le_bytes);
            for ((explained, byte), own) in explained.iter_mut().zip(bytes).zip(own) {
                *explained |= *byte == own;
            }
        }
        if let Some(at) = explained.iter().position(|explained| !explained) {
            bail!(
                "sector {sector} holds what was never written there, or is overtaken, from byte {at} on: {:02x?}",
                &bytes[at..(at + 16).min(SECTOR)]
            );
        }
        ensure!(
            changing,
            "sector {sector} holds a part of one write and a part of another, and nothing was done to it: {bytes:02x?}"
        );
        Ok(())
    }

    /// The words that a write puts into a sector.
    fn stamp(&self, sector: u64, number: u32) -> impl Iterator<Item = u64> {
        let number = u64::from(number);
        // Odd, so that no word is zero.
        let scattered = mix(self.seed ^ mix(sector << 32 | number)) | 1;
        let rest = (3..WORDS as u64).map(move |word| scattered.wrapping_mul(2 * word + 1));
        [MAGIC, sector, number].into_iter().chain(rest)
    }
}

#[cfg(test)]
mod tests;
