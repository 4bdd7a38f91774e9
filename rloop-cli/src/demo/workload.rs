//! The demo's workload: phases that each look different on the dashboard.
//!
//! It runs in a process of its own, so that the dashboard shows it as the submitter, and does
//! some hundred requests a second: enough to look at, little for the machine.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::exit;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::device::control::{discard, set_direct_io};
use crate::load::{Aligned, BLOCK, Random};

/// Environment variable with the process number of the one that started the workload.
pub(super) const PARENT_VARIABLE: &str = "RLOOP_DEMO_PARENT";

/// How long each phase lasts.
const PHASE: Duration = Duration::from_secs(4);

/// Pause after each step.
const PAUSE: Duration = Duration::from_millis(1);

/// The largest request, bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// The kernel's unit for erasing holes into the file, bytes.
const DISCARD_BYTES: u64 = 1 << 20;

/// What goes on in a phase. The first half of the device keeps its data; the second half is
/// filled and emptied again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Random direct reads of 4 KiB in the first half.
    RandomReads,
    /// Random direct overwrites of 4 KiB in the first half.
    Overwrites,
    /// Direct writes of 16 KiB into holes of the second half.
    HoleFills,
    /// As the overwrites, each 16 of them followed by an fsync.
    Syncs,
    /// Buffered reads and writes, with the loop device itself switched to buffered I/O.
    Cached,
    /// Discards of 1 MiB in the second half: the holes are back.
    Discards,
}

/// All phases, in the order in which they run, again and again.
pub const PHASES: [Phase; 6] = [
    Phase::RandomReads,
    Phase::Overwrites,
    Phase::HoleFills,
    Phase::Syncs,
    Phase::Cached,
    Phase::Discards,
];

/// Works on `device` until the parent ends or the device fails. Its data is destroyed.
pub fn workload_main(device: &Path) -> ! {
    // The parent may be killed without a chance to end this process. If that happened already,
    // the parent is another one by now.
    let tied = set_parent_process_death_signal(Some(Signal::KILL));
    let expected = std::env::var(PARENT_VARIABLE)
        .ok()
        .and_then(|pid| pid.parse().ok());
    if tied.is_err() || expected != Some(parent_id()) {
        exit(1);
    }
    // It was started as /proc/self/exe, and would be shown as "exe".
    let _ = rustix::thread::set_name(c"demo-workload");
    let Err(error) = Workload::open(device).and_then(Workload::run_for_ever);
    eprintln!("{}: {error}", device.display());
    exit(1)
}

struct Workload {
    direct: File,
    buffered: File,
    half: u64,
    buffer: Aligned,
    random: Random,
}

impl Workload {
    fn open(device: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let buffered = options.open(device)?;
        let direct = options.custom_flags(libc::O_DIRECT).open(device)?;
        let half = rustix::fs::seek(&buffered, rustix::fs::SeekFrom::End(0))? / 2;
        let half = half / DISCARD_BYTES * DISCARD_BYTES;
        if half == 0 {
            return Err(io::Error::other("the device is too small to work on"));
        }
        Ok(Self {
            direct,
            buffered,
            half,
            buffer: Aligned::new(BUFFER_BYTES),
            random: Random(0x5DEE_CE66),
        })
    }

    fn run_for_ever(mut self) -> io::Result<Infallible> {
        self.lay_out()?;
        loop {
            for phase in PHASES {
                self.run(phase, PHASE)?;
            }
        }
    }

    /// Gives every eighth 64 KiB of the first half data, so that it has many extents.
    fn lay_out(&mut self) -> io::Result<()> {
        for start in (0..self.half).step_by(8 * BUFFER_BYTES) {
            self.direct
                .write_all_at(self.buffer.get(BUFFER_BYTES), start)?;
        }
        self.direct.sync_all()
    }

    fn run(&mut self, phase: Phase, length: Duration) -> io::Result<()> {
        if phase == Phase::Cached {
            set_direct_io(&self.direct, false)?;
        }
        let end = Instant::now() + length;
        let mut step = 0;
        while Instant::now() < end {
            self.step(phase, step)?;
            step += 1;
            sleep(PAUSE);
        }
        if phase == Phase::Cached {
            self.buffered.sync_all()?;
            // A file that cannot do direct I/O was not direct before, either.
            let _ = set_direct_io(&self.direct, true);
        }
        Ok(())
    }

    fn step(&mut self, phase: Phase, step: u64) -> io::Result<()> {
        match phase {
            Phase::RandomReads => {
                let at = self.data_block();
                self.direct.read_exact_at(self.buffer.get(BLOCK), at)
            }
            Phase::Overwrites => self.overwrite(),
            Phase::HoleFills => {
                let at = self.half + self.random.below(self.half / 16384) * 16384;
                self.direct.write_all_at(self.buffer.get(16384), at)
            }
            Phase::Syncs => {
                self.overwrite()?;
                if step % 16 == 15 {
                    self.direct.sync_all()
                } else {
                    Ok(())
                }
            }
            Phase::Cached => {
                let at = self.data_block();
                self.buffered.read_exact_at(self.buffer.get(BLOCK), at)?;
                if step % 4 == 3 {
                    self.buffered.write_all_at(self.buffer.get(BLOCK), at)
                } else {
                    Ok(())
                }
            }
            Phase::Discards => {
                // Slowly, or the second half is empty at once.
                sleep(20 * PAUSE);
                let at = self.half + self.random.below(self.half / DISCARD_BYTES) * DISCARD_BYTES;
                discard(&self.direct, at, DISCARD_BYTES)
            }
        }
    }

    fn overwrite(&mut self) -> io::Result<()> {
        let at = self.data_block();
        self.direct.write_all_at(self.buffer.get(BLOCK), at)
    }

    /// A random block of those that `lay_out` wrote.
    fn data_block(&mut self) -> u64 {
        let group = self.random.below(self.half / (8 * BUFFER_BYTES as u64));
        let block = self.random.below((BUFFER_BYTES / BLOCK) as u64);
        group * 8 * BUFFER_BYTES as u64 + block * BLOCK as u64
    }
}
