//! Power cuts: what was made durable is there after one, whenever it comes.
//!
//! All that reaches the disk is logged. The log is then played back up to each moment at which a flush or
//! a FUA write was complete, and up to some moments in between; each time the filesystem is mounted from
//! what is there, and the file is read and checked.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::direct::{self, Buffer, SECTOR};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::nvme_target::NvmeTarget;
use crate::power_cut::PowerCut;
use crate::random::Random;
use crate::rloop_device::{Mode, RloopDevice};
use crate::stamps::{Reader, Stamps};
use crate::test::Test;
use crate::write_log::WriteLog;

/// How long the device is, in sectors.
const SECTORS: u64 = 24 << 11;
/// A filesystem's block, in sectors.
const BLOCK: u64 = 8;
/// The longest write, in sectors.
const LONGEST: u64 = 256;
/// What the single steps use, in sectors; the threads use the rest.
const STEPS: u64 = SECTORS / 2;
const THREADS: u64 = 4;
/// It reads a filesystem many times.
pub(super) const LIMIT: Duration = Duration::from_secs(400);

pub(super) fn tests() -> Vec<Test> {
    let of = |name: &str, mode: Mode, kinds: &'static [Kind]| {
        let test = |&kind: &Kind| {
            let body =
                move |guest: &mut Guest| super::with_module(|| power_cuts(guest, kind, mode));
            Test::new(format!("durable_{name}/{kind}"), body).within(LIMIT)
        };
        kinds.iter().map(test).collect::<Vec<_>>()
    };
    let [vfs_flush, layout_flush, vfs_each, layout_each] = Mode::ALL;
    [
        of("fill_layout_commit_flush", layout_flush, &[Kind::Xfs]),
        // Minutes each, so not all of them have a short form.
        super::on_request(of(
            "fill_vfs_commit_flush",
            vfs_flush,
            &[Kind::Xfs, Kind::Ext4],
        )),
        super::on_request(of(
            "fill_vfs_commit_each",
            vfs_each,
            &[Kind::Xfs, Kind::Ext4],
        )),
        super::on_request(of("fill_layout_commit_each", layout_each, &[Kind::Xfs])),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What was durable at a mark of the log.
struct Mark {
    what: String,
    durable: Reader,
}

/// The device, and what is known of it.
struct Bench<'a> {
    stamps: &'a Stamps,
    device: File,
    target: &'a NvmeTarget,
    log: &'a WriteLog,
    marks: &'a Mutex<Vec<Mark>>,
}

fn power_cuts(guest: &mut Guest, kind: Kind, mode: Mode) -> Result<()> {
    let rounds = if guest.is_long() { 100 } else { 1 };
    for round in 0..rounds {
        one_log(guest, kind, mode, guest.seed() + round)
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

fn one_log(guest: &Guest, kind: Kind, mode: Mode, seed: u64) -> Result<()> {
    let mut cut = PowerCut::new(guest, kind)?;
    let below = Filesystem::make(kind, cut.log()?.device())?;
    let path = below.sparse_file("disk.img", SECTORS * SECTOR as u64)?;
    run_sync(&below)?;
    let stamps = Stamps::new(seed, SECTORS, 100_000);
    let marks = Mutex::new(Vec::new());
    let attached = RloopDevice::attach(&path, mode)?;
    let target = NvmeTarget::on(attached.device())?;
    let bench = Bench {
        stamps: &stamps,
        device: direct::open(attached.device(), true)?,
        target: &target,
        log: cut.log()?,
        marks: &marks,
    };
    // The file itself is there from here on.
    bench.flush("the beginning")?;
    bench.steps(mode)?;
    bench.threads(mode, seed, attached.device())?;
    drop(bench);
    drop(target);
    attached.detach()?;
    below.unmount()?;
    let marks = marks
        .into_inner()
        .map_err(|_| anyhow!("a thread panicked"))?;
    check_marks(&mut cut, &stamps, &marks, seed, guest.is_long())
}

fn run_sync(below: &Filesystem) -> Result<()> {
    crate::command::run!["sync", "--file-system", below.path()]?;
    Ok(())
}

/// Cuts the power at each mark, and at moments between them.
fn check_marks(
    cut: &mut PowerCut,
    stamps: &Stamps,
    marks: &[Mark],
    seed: u64,
    is_long: bool,
) -> Result<()> {
    let mut random = Random::new(seed, 5);
    let between = if is_long { 20 } else { 1 };
    let mut replay = cut.play()?;
    let positions: Vec<usize> = (0..marks.len())
        .map(|number| replay.position_of(number))
        .collect::<Result<_>>()?;
    ensure!(
        positions.len() > 10,
        "there are only {} marks",
        positions.len()
    );
    let mut moments = positions.clone();
    let last = replay.len();
    for (number, from) in positions.iter().enumerate() {
        let room = (last - from) as u64;
        // Not after each mark in the short form, as each cut takes its time.
        if is_long || number % 5 == 0 {
            moments.extend((0..between).map(|_| from + random.below(room.min(200)) as usize));
        }
    }
    moments.sort_unstable();
    moments.dedup();
    for moment in moments {
        let mut floors = vec![0; stamps.sectors() as usize];
        let mut names = Vec::new();
        for (mark, position) in marks.iter().zip(&positions) {
            if *position <= moment {
                let (first, durable) = mark.durable.floors();
                floors[first as usize..]
                    .iter_mut()
                    .zip(durable)
                    .for_each(|(floor, mark)| *floor = (*mark).max(*floor));
                names.push((position, &mark.what));
            }
        }
        let latest = names
            .iter()
            .max()
            .map_or("nothing", |(_, what)| what.as_str());
        let context =
            || format!("a power cut after {moment} of {last} writes; the last mark is of {latest}");
        let bytes = replay
            .contents_after(moment, "disk.img")
            .with_context(context)?;
        let reader = Reader::at_rest(0, floors);
        stamps.check(&reader, &bytes).with_context(context)?;
    }
    Ok(())
}

impl Bench<'_> {
    /// Each of the cases by itself, with nobody else's flush to help.
    fn steps(&self, mode: Mode) -> Result<()> {
        let mut fresh = (0..STEPS / BLOCK).step_by(3).map(|block| block * BLOCK);
        let mut next = || fresh.next().context("there are no more blocks");
        let block = next()?;
        self.write(block, BLOCK)?;
        self.fua(block, BLOCK, "a FUA overwrite of a block just filled")?;
        let block = next()?;
        self.fua(block, BLOCK, "a FUA write that fills")?;
        let block = next()?;
        self.fua(block + 3, 2, "a FUA write of a part of a block that fills")?;
        let block = next()?;
        self.write(block, BLOCK)?;
        self.fua(
            block + 1,
            1,
            "a FUA overwrite of a part of a block just filled",
        )?;
        let written = next()?;
        self.write(written, BLOCK)?;
        self.flush("a flush of one fill")?;
        self.fua(written, BLOCK, "a FUA overwrite of a written block")?;
        // Fills that wait for their commit, and a FUA write elsewhere that must not hide them.
        let filled = [next()?, next()?, next()?];
        for block in filled {
            self.write(block, BLOCK)?;
        }
        self.fua(
            written,
            BLOCK,
            "a FUA overwrite while others are not committed",
        )?;
        self.flush("a flush after that")?;
        // The same, with the written block's FUA after another, clean, flush.
        let block = next()?;
        self.write(block + 1, 3)?;
        self.fua(
            written + 2,
            1,
            "a FUA overwrite of a part while a part of a block was filled",
        )?;
        self.flush("a flush after that, too")?;
        self.write(STEPS - LONGEST, LONGEST)?;
        self.flush("a flush of a long fill")?;
        if mode.commit == "each" {
            for count in [BLOCK, 1, 3 * BLOCK] {
                let block = next()?;
                let count = count.min(2 * BLOCK);
                self.write(block, count)?;
                self.mark(block, count, "a fill, with no flush")?;
            }
        }
        Ok(())
    }

    /// Many at once: fills that end during flushes, FUA writes among them.
    fn threads(&self, mode: Mode, seed: u64, path: &std::path::Path) -> Result<()> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|number| {
                    scope.spawn(move || {
                        let device = direct::open(path, true)?;
                        let bench = Bench { device, ..*self };
                        bench
                            .one_thread(mode, number, seed)
                            .with_context(|| format!("thread {number}"))
                    })
                })
                .collect();
            let ended = threads
                .into_iter()
                .map(|t| t.join().map_err(|_| anyhow!("a thread panicked"))?);
            ended.collect::<Vec<Result<()>>>().into_iter().collect()
        })
    }

    /// A thread has a part of the device for itself, and in it goes forward, filling, and back, overwriting. All of its
    /// overwrites are FUA, or none: the log cannot have both of the same block (see `write_log`). What fills is
    /// committed, and so flushed, before a FUA overwrite of it.
    fn one_thread(&self, mode: Mode, number: u64, seed: u64) -> Result<()> {
        const WRITES: u64 = 60;
        let mut random = Random::new(seed, 100 + number);
        let share = (SECTORS - STEPS) / THREADS / BLOCK * BLOCK;
        let start = STEPS + number * share;
        let mut end = start;
        for turn in 0..WRITES {
            let blocks = 1 + random.below(6);
            let is_fill = end == start || random.percent(60);
            let room = (end - start) / BLOCK;
            let first = if is_fill {
                end
            } else {
                start + random.below(room) * BLOCK
            };
            let count = (blocks * BLOCK).min(start + share - first);
            ensure!(count > 0, "the thread's part is too small");
            if is_fill {
                end = first + count;
            }
            let mark = turn % 20 == 19;
            let is_fua = if is_fill {
                random.percent(20)
            } else {
                number % 2 == 1
            };
            if is_fua {
                self.fua_of(first, count)?;
                if mark {
                    self.mark(first, count, "a FUA write among others")?;
                }
                continue;
            }
            self.write(first, count)?;
            if mark && number.is_multiple_of(2) {
                self.flush("a flush among others")?;
            } else if mark && is_fill && mode.commit == "each" {
                self.mark(first, count, "a fill among others, with no flush")?;
            }
        }
        Ok(())
    }

    fn write(&self, first: u64, count: u64) -> Result<()> {
        self.stamped(first, count, |bytes, offset| {
            self.device.write_all_at(bytes, offset)
        })
    }

    fn fua_of(&self, first: u64, count: u64) -> Result<()> {
        self.stamped(first, count, |bytes, offset| {
            self.target.write_fua(bytes, offset)
        })
    }

    fn stamped(
        &self,
        first: u64,
        count: u64,
        write: impl FnOnce(&mut [u8], u64) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut buffer = Buffer::new(count as usize * SECTOR);
        let bytes = &mut buffer.bytes()[..count as usize * SECTOR];
        let begun = self.stamps.begin_write(first, bytes);
        let done = write(bytes, first * SECTOR as u64);
        self.stamps.end_write(begun, done.is_ok());
        done.with_context(|| format!("a write of {count} sectors to {first} on"))
    }

    /// A write that is durable when it is complete.
    fn fua(&self, first: u64, count: u64, what: &str) -> Result<()> {
        self.fua_of(first, count)?;
        self.mark(first, count, what)
    }

    /// Everything that is complete by now is durable when the flush is.
    fn flush(&self, what: &str) -> Result<()> {
        let durable = self.stamps.begin_read(0, self.stamps.sectors());
        self.device.sync_all().context("a flush")?;
        self.add_mark(durable, what)
    }

    /// What is in these sectors now is durable.
    fn mark(&self, first: u64, count: u64, what: &str) -> Result<()> {
        self.add_mark(self.stamps.begin_read(first, count), what)
    }

    fn add_mark(&self, durable: Reader, what: &str) -> Result<()> {
        let what = what.to_owned();
        let mut marks = self
            .marks
            .lock()
            .map_err(|_| anyhow!("a thread panicked"))?;
        self.log.mark(marks.len())?;
        marks.push(Mark { what, durable });
        Ok(())
    }
}
