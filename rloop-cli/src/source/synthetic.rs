//! Made-up devices: the same seed gives the same samples, everywhere and always.
//!
//! For tests and pictures that need devices which no machine at hand has. The numbers agree with each
//! other as those of real devices do: submitted = completed + lost, and every request has its extent.

mod traces;

use std::sync::Arc;

use rloop_common::{
    Op,
    bucket::{Coarse, Fine},
};

use self::traces::Tracer;
use super::{Source, SourceError};
use crate::sample::{
    Backing, Buckets, Cgroup, DataExtents, DeviceSample, Extent, ExtentCounters, Facts, Sample,
    State, Submitter,
};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;
const SECOND_NS: u64 = 1_000_000_000;
/// When the first sample is taken: 2026-01-01 00:00:00 UTC.
const START_NS: u64 = 1_767_225_600 * SECOND_NS;
/// Extents of each file.
const EXTENTS: u64 = 48;

/// What one made-up device is like.
struct Character {
    name: &'static str,
    fs: &'static str,
    direct: bool,
    /// Requests a second, about.
    rate: u64,
    /// The usual latency.
    latency_ns: u64,
    command: &'static str,
}

const CHARACTERS: [Character; 3] = [
    Character {
        name: "loop0",
        fs: "ext4",
        direct: true,
        rate: 3000,
        latency_ns: 60_000,
        command: "fio",
    },
    Character {
        name: "loop1",
        fs: "xfs",
        direct: false,
        rate: 240,
        latency_ns: 9_000,
        command: "postgres",
    },
    Character {
        name: "loop12",
        fs: "btrfs",
        direct: true,
        rate: 0,
        latency_ns: 0,
        command: "",
    },
];

/// Yields a sample for each second, without end: a busy direct device, a calm buffered one, and one
/// that nobody uses.
pub struct Synthetic {
    random: Random,
    now: Sample,
    tracers: [Tracer; CHARACTERS.len()],
}

impl Synthetic {
    /// The devices of that seed, at rest.
    pub fn new(seed: u64) -> Self {
        Self {
            // Zero would stay zero.
            random: Random(seed ^ 0x9e37_79b9_7f4a_7c15),
            now: Sample {
                wall_ns: START_NS,
                monotonic_ns: SECOND_NS,
                devices: CHARACTERS.iter().map(at_rest).collect(),
                ..Sample::default()
            },
            tracers: Default::default(),
        }
    }
}

impl Source for Synthetic {
    fn next(&mut self) -> Result<Option<Sample>, SourceError> {
        let sample = self.now.clone();
        let began_ns = self.now.monotonic_ns;
        self.now.wall_ns += SECOND_NS;
        self.now.monotonic_ns += SECOND_NS;
        self.now.own_cpu_ns += 4_000_000;
        let devices = CHARACTERS.iter().zip(&mut self.now.devices);
        for ((character, device), tracer) in devices.zip(&mut self.tracers) {
            tracer.begin(began_ns);
            work(character, device, &mut self.random, tracer);
            device.traces = tracer.take();
        }
        Ok(Some(sample))
    }
}

fn at_rest(character: &Character) -> DeviceSample {
    let size_bytes = EXTENTS * 5 * MIB;
    let states = [
        State::Written,
        State::Hole,
        State::Unwritten,
        State::Written,
    ];
    let extents = (0..EXTENTS).map(|i| Extent {
        start_bytes: i * 5 * MIB,
        len_bytes: 5 * MIB,
        disk_offset_bytes: Some((1 << 30) + i * 7 * MIB),
        state: states[i as usize % states.len()],
    });
    let extents: Vec<Extent> = extents
        .map(|extent| Extent {
            disk_offset_bytes: extent
                .disk_offset_bytes
                .filter(|_| extent.state != State::Hole),
            ..extent
        })
        .collect();
    DeviceSample {
        name: character.name.to_owned(),
        instance: 1,
        backing: Backing {
            path: format!("/srv/images/{}.img", character.name),
            fs: character.fs.to_owned(),
            dev: "8:1".to_owned(),
            ino: 12,
            size_bytes,
            allocated_bytes: size_bytes / 4 * 3,
            fs_free_bytes: 40 << 30,
            fs_size_bytes: 100 << 30,
            ..Backing::default()
        },
        facts: Facts {
            claims_direct: character.direct,
            size_bytes,
            logical_block_bytes: 512,
            dio_align_bytes: Some(512),
            ..Facts::default()
        },
        data: DataExtents::of(&extents),
        extents: Arc::new(extents),
        extents_per_cell: 1,
        backing_cached_pages: Some(if character.direct { 0 } else { 9000 }),
        device_cached_pages: Some(5000),
        ..DeviceSample::default()
    }
}

/// One second of work.
fn work(
    character: &Character,
    device: &mut DeviceSample,
    random: &mut Random,
    tracer: &mut Tracer,
) {
    if character.rate == 0 {
        return;
    }
    let requests = character.rate / 2 + random.below(character.rate);
    for _ in 0..requests {
        request(character, device, random, tracer);
    }
    for _ in 0..random.below(4) {
        let commit_ns = 400_000 + random.below(800_000) * (1 + random.below(8));
        tracer.commit(character, commit_ns);
        device.commits.count += 1;
        device.commits.total_ns += commit_ns;
        device.commits.max_ns = device.commits.max_ns.max(commit_ns);
        count(&mut device.commits.durations, Fine::index(commit_ns));
    }
    let bytes = device.ops.iter().map(|op| op.bytes).sum();
    device.submitters = vec![Submitter {
        pid: 4711,
        command: character.command.to_owned(),
        cgroup: Cgroup {
            id: 4242,
            path: Some(format!("/system.slice/{}.service", character.command)),
        },
        requests: device.ops.iter().map(|op| op.submitted).sum(),
        bytes,
    }];
}

/// A read or, one in three, a write of a block, of the first extents more often than of the last.
fn request(
    character: &Character,
    device: &mut DeviceSample,
    random: &mut Random,
    tracer: &mut Tracer,
) {
    let op = if random.below(3) == 0 {
        Op::Write
    } else {
        Op::Read
    };
    let most = random.below(EXTENTS);
    let place = random.below(most + 1) as usize;
    let mut latency_ns = character.latency_ns / 2 + random.below(character.latency_ns);
    // Some parts of the file are slow, and some requests are.
    if place % 16 == 7 || random.below(64) == 0 {
        latency_ns *= 4 + random.below(30);
    }
    let counts = &mut device.ops[op.index()];
    counts.submitted += 1;
    counts.bytes += BLOCK;
    counts.completed += 1;
    counts.max_ns = counts.max_ns.max(latency_ns);
    count(&mut counts.total, Fine::index(latency_ns));
    count(&mut counts.queue, Coarse::index(latency_ns / 20));
    count(&mut counts.service, Coarse::index(latency_ns / 20 * 19));
    let (bypass, split) = (&mut device.bypass, &mut device.split);
    match (character.direct, op) {
        (true, Op::Read) => bypass.direct_read_bytes += BLOCK,
        (true, _) => bypass.direct_write_bytes += BLOCK,
        (false, Op::Read) => bypass.buffered_read_bytes += BLOCK,
        (false, _) => bypass.buffered_write_bytes += BLOCK,
    }
    split.requests += 1;
    split.sampled += 1;
    split.queue_ns += latency_ns / 20;
    split.worker_ns += latency_ns / 4;
    split.filesystem_ns += latency_ns / 5;
    if character.direct {
        split.disk_ns += latency_ns / 2;
    } else {
        split.derived += 1;
        split.filesystem_ns += latency_ns / 2;
    }
    touch(device, place, op, latency_ns);
    tracer.request(character, op, &device.extents[place], latency_ns);
}

/// Counts a request on its extent; a write makes it written.
fn touch(device: &mut DeviceSample, place: usize, op: Op, latency_ns: u64) {
    let extent = device.extents[place];
    if op == Op::Write && extent.state != State::Written {
        if extent.state == State::Hole {
            device.holes.fills += 1;
            device.holes.fill_bytes += extent.len_bytes;
        }
        device.holes.conversions += 1;
        device.holes.conversion_bytes += extent.len_bytes;
        let mut extents = (*device.extents).clone();
        extents[place].state = State::Written;
        extents[place].disk_offset_bytes = Some((3 << 30) + place as u64 * 5 * MIB);
        device.data = DataExtents::of(&extents);
        device.extents = Arc::new(extents);
    }
    let counters = &mut device.extent_counters;
    let at = match counters.binary_search_by_key(&extent.start_bytes, |other| other.start_bytes) {
        Ok(at) => at,
        Err(at) => {
            counters.insert(
                at,
                ExtentCounters {
                    start_bytes: extent.start_bytes,
                    ..ExtentCounters::default()
                },
            );
            at
        }
    };
    let counters = &mut counters[at];
    if op == Op::Write {
        counters.writes += 1;
        counters.write_bytes += BLOCK;
    } else {
        counters.reads += 1;
        counters.read_bytes += BLOCK;
    }
    counters.max_ns = counters.max_ns.max(latency_ns);
    count(
        Arc::make_mut(&mut counters.latency),
        Coarse::index(latency_ns),
    );
}

fn count(Buckets(buckets): &mut Buckets, bucket: usize) {
    let bucket = bucket as u16;
    match buckets.binary_search_by_key(&bucket, |&(other, _)| other) {
        Ok(at) => buckets[at].1 += 1,
        Err(at) => buckets.insert(at, (bucket, 1)),
    }
}

/// splitmix64: any spread will do, as long as it is the same everywhere.
struct Random(u64);

impl Random {
    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[cfg(test)]
mod tests;
