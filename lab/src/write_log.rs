//! A disk that keeps a log of all that is written to it, and the log played back: what would be on the
//! disk after a power cut.
//!
//! The log is dm-log-writes'. A write is in it once it is durable: after the flush that came after it was
//! complete, or at once if it was FUA. So what a disk's volatile cache may lose is not there.
//!
//! Of a write and a FUA write of the same sectors after it, with no flush between them, it has the first one last. No
//! disk would do that, so whoever is logged must not.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::device_mapper::{Mapped, sectors};
use crate::direct;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// In an entry's flags: blocks were discarded; there is no data.
const DISCARD: u64 = 1 << 2;
/// In an entry's flags: a mark; its name follows the entry's head.
const MARK: u64 = 1 << 3;
/// How long an entry's head is without a mark's name.
const HEAD_BYTES: usize = 32;

/// A disk whose writes are being logged.
pub(crate) struct WriteLog {
    disk: Mapped,
    log: PathBuf,
}

impl WriteLog {
    /// Logs what is written to `disk` from now on, to another disk.
    pub(crate) fn new(disk: &Path, log: &Path) -> Result<Self> {
        let table = format!(
            "0 {} log-writes {} {}",
            sectors(disk)?,
            disk.display(),
            log.display()
        );
        let disk = Mapped::new(&table)?;
        let log = log.to_owned();
        Ok(Self { disk, log })
    }

    /// The disk to write to.
    pub(crate) fn device(&self) -> &Path {
        self.disk.device()
    }

    /// Marks the moment.
    pub(crate) fn mark(&self, number: usize) -> Result<()> {
        self.disk.message(&format!("mark {number}"))
    }

    /// Ends the log.
    pub(crate) fn close(self) -> Result<Replay> {
        let Self { disk, log } = self;
        drop(disk);
        Replay::open(&log)
    }
}

/// A log that is played back.
pub(crate) struct Replay {
    log: File,
    entries: Vec<Entry>,
    /// After how many entries each mark is reached.
    marks: BTreeMap<usize, usize>,
    played: usize,
}

/// Something that was logged. All in bytes.
struct Entry {
    to: u64,
    bytes: u64,
    /// Where in the log the data is; `None` if the range was discarded.
    data: Option<u64>,
}

impl Replay {
    fn open(path: &Path) -> Result<Self> {
        let log = File::open(path)?;
        let mut head = [0; HEAD_BYTES];
        log.read_exact_at(&mut head, 0)?;
        let [magic, version, count, sector] = words(&head)?;
        ensure!(
            magic == MAGIC && version == VERSION,
            "{} holds no log of writes: {magic:#x}, version {version}",
            path.display()
        );
        let sector = sector & u64::from(u32::MAX);
        let mut replay = Self {
            log,
            entries: Vec::new(),
            marks: BTreeMap::new(),
            played: 0,
        };
        let mut at = sector;
        for _ in 0..count {
            at = replay.read_entry(at, sector)?;
        }
        Ok(replay)
    }

    /// Reads an entry. Where the next one is.
    fn read_entry(&mut self, at: u64, sector: u64) -> Result<u64> {
        let mut head = [0; HEAD_BYTES];
        self.log.read_exact_at(&mut head, at)?;
        let [to, count, flags, name_bytes] = words(&head)?;
        let (to, bytes) = (to * sector, count * sector);
        let data = at + sector;
        let is_discard = flags & DISCARD != 0;
        self.entries.push(Entry {
            to,
            bytes,
            data: (!is_discard).then_some(data),
        });
        if flags & MARK != 0 {
            let mut name = vec![0; usize::try_from(name_bytes.min(sector))?];
            self.log.read_exact_at(&mut name, at + HEAD_BYTES as u64)?;
            if let Ok(number) = String::from_utf8_lossy(&name).parse() {
                self.marks.insert(number, self.entries.len());
            }
        }
        Ok(if is_discard { data } else { data + bytes })
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// After how many entries a mark is reached.
    pub(crate) fn position_of(&self, mark: usize) -> Result<usize> {
        let position = self.marks.get(&mark).copied();
        position.with_context(|| format!("the log has no mark {mark}"))
    }

    /// Goes on until so many entries are on `disk`.
    pub(crate) fn play_to(&mut self, position: usize, disk: &File) -> Result<()> {
        const PIECE: u64 = 1 << 20;
        let mut buffer = Vec::new();
        while self.played < position {
            let entry = &self.entries[self.played];
            let Some(data) = entry.data else {
                direct::punch(disk, entry.to, entry.bytes)?;
                self.played += 1;
                continue;
            };
            let mut done = 0;
            while done < entry.bytes {
                let bytes = PIECE.min(entry.bytes - done);
                buffer.resize(usize::try_from(bytes)?, 0);
                self.log.read_exact_at(&mut buffer, data + done)?;
                disk.write_all_at(&buffer, entry.to + done)?;
                done += bytes;
            }
            self.played += 1;
        }
        Ok(())
    }
}

fn words(head: &[u8; HEAD_BYTES]) -> Result<[u64; 4]> {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(head.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into()?);
    }
    Ok(words)
}
