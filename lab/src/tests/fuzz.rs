//! Requests of random bytes, and almost right ones, from several threads, while devices come, go and work.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;

use anyhow::{Result, anyhow, ensure};

use crate::control::{Control, abi, command, devices};
use crate::direct::{self, Buffer};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::random::Random;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![super::of_module("fuzzed_requests_break_nothing", fuzzed)]
}

const THREADS: u64 = 4;
/// As many bytes as the largest structure, and more.
const WORDS: usize = 128;

fn fuzzed(guest: &mut Guest) -> Result<()> {
    let requests = if guest.is_long() { 100_000 } else { 1500 };
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let open = |name| Ok::<_, anyhow::Error>(File::open(below.written_file(name, 1 << 20)?)?);
    let files = [open("a.img")?, open("b.img")?];
    let seed = guest.seed();
    let attached = thread::scope(|scope| {
        let fuzz = |number| {
            let files = &files;
            scope.spawn(move || fuzz(Random::new(seed, number), files, requests))
        };
        let threads: Vec<_> = (0..THREADS).map(fuzz).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<u64>>| {
            thread.join().map_err(|_| anyhow!("a thread panicked"))?
        };
        threads.into_iter().map(join).sum::<Result<u64>>()
    })?;
    ensure!(
        attached > 0,
        "no request was good enough to attach anything"
    );
    let control = Control::open()?;
    for index in devices()? {
        control.detach(index)?;
    }
    ensure!(devices()?.is_empty(), "there are devices left");
    drop(files);
    below.unmount_and_check()
}

/// Makes requests. How many devices were attached.
fn fuzz(mut random: Random, files: &[File], requests: u64) -> Result<u64> {
    let control = Control::open()?;
    let mut attached = 0;
    for _ in 0..requests {
        let number = random.below(6) as u32;
        let sizes = [
            8,
            size_of::<abi::Attach>(),
            size_of::<abi::Status>(),
            size_of::<abi::Map>(),
        ];
        let right = match number {
            abi::ATTACH => sizes[1],
            abi::STATUS => sizes[2],
            abi::MAP => sizes[3],
            _ => sizes[0],
        };
        let size = if random.percent(95) {
            right
        } else {
            *random.pick(&sizes)
        };
        let mut words = [0_u64; WORDS];
        match number {
            abi::ATTACH => attach(&mut random, &mut words, files),
            abi::MAP => map(&mut random, &mut words),
            _ => words[0] = u64::from(abi::VERSION) | device(&mut random) << 32,
        }
        // One in four has something broken in it.
        if random.percent(25) {
            words[random.below(size as u64 / 8) as usize] ^= 1 << random.below(64);
        }
        let argument = if random.percent(3) {
            odd_pointer(&mut random)
        } else {
            words.as_mut_ptr() as u64
        };
        let done = control.raw(command(number, size), argument);
        attached += u64::from(done.is_ok() && number == abi::ATTACH);
        if random.percent(5) {
            use_device(&mut random);
        }
    }
    Ok(attached)
}

fn device(random: &mut Random) -> u64 {
    *random.pick(&[0, 0, 1, 2, 3, 100, u64::from(u32::MAX)])
}

fn attach(random: &mut Random, words: &mut [u64], files: &[File]) {
    let file = random.pick(files).as_raw_fd() as u64;
    let block = *random.pick(&[0, 0, 512, 1024, 4096, 3000]);
    words[0] = u64::from(abi::VERSION) | random.below(4) << 32;
    words[1] = file | block << 32;
    words[2] = *random.pick(&[0, 0, 512, 4096, 1 << 19, 1 << 30]);
    words[3] = *random.pick(&[0, 0, 512, 4096, 100_000, u64::MAX]);
    words[4] = random.below(2) | random.below(2) << 32;
}

fn map(random: &mut Random, words: &mut [u64]) {
    words[0] = u64::from(abi::VERSION) | device(random) << 32;
    words[1] = *random.pick(&[0, 4096, 1 << 19, u64::MAX]);
    // Two extents have room in this very array.
    words[2] = words[WORDS / 2..].as_mut_ptr() as u64;
    words[3] = *random.pick(&[0, 1, 2]);
}

/// Where nothing of ours is.
fn odd_pointer(random: &mut Random) -> u64 {
    *random.pick(&[0, 1, 1 << 47, 1 << 63, 0xffff_ffff_8000_0000, u64::MAX - 7])
}

/// I/O on whatever device there is; it may go meanwhile.
fn use_device(random: &mut Random) {
    let path = format!("/dev/rloop{}", random.below(3));
    let Ok(device) = direct::open(Path::new(&path), true) else {
        return;
    };
    let mut buffer = Buffer::new(4096);
    let offset = random.below(64) * 4096;
    // What comes of it is not the question here.
    let _ = device.read_at(buffer.bytes(), offset);
    let _ = device.write_at(buffer.bytes(), offset);
}
