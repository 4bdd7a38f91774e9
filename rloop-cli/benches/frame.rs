//! How long a frame takes with a million extents: from two samples to cells of a screen.
//!
//! A program of its own that prints milliseconds, for `cargo xtask bench probe`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ratatui::{buffer::Buffer, layout::Rect};
use rloop::{
    model::derive,
    sample::{Buckets, DataExtents, DeviceSample, Extent, ExtentCounters, Facts, Sample, State},
    tui::{
        app::App,
        bindings::Action,
        theme::{Depth, Theme, ThemeName},
        view,
    },
};

const EXTENTS: u64 = 1_000_000;
const EXTENT_BYTES: u64 = 64 << 10;
/// As many as the probes count apart.
const CELLS: u64 = 1 << 16;
const ROUNDS: usize = 30;
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

fn main() {
    for (what, touched) in [("1 of 100", CELLS / 100), ("all", CELLS)] {
        for (width, height) in SIZES {
            let (derive, first, again) = measure(touched, Rect::new(0, 0, width, height));
            println!(
                "{width}x{height}, {EXTENTS} extents, {what} of their {CELLS} counters touched: derive {:.2} ms, \
                 draw {:.2} ms (after a change of the mapping {:.2} ms)",
                ms(derive),
                ms(again),
                ms(first)
            );
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The medians of deriving, of the first draw of a mapping, and of those after it.
fn measure(touched: u64, area: Rect) -> (Duration, Duration, Duration) {
    let (mut derives, mut firsts, mut agains) = (Vec::new(), Vec::new(), Vec::new());
    let mut older = first_sample();
    for _ in 0..ROUNDS {
        let newer = next_sample(&older, touched);
        let started = Instant::now();
        let frame = derive(&older, &newer);
        derives.push(started.elapsed());
        older = newer;
        let mut app = App::new(Theme::new(ThemeName::Dark, Depth::True, false), false);
        app.update(Action::View(1));
        let frame = Arc::new(frame);
        app.push(Arc::clone(&frame));
        for times in [&mut firsts, &mut agains] {
            let mut buffer = Buffer::empty(area);
            let started = Instant::now();
            view::render(&app, area, &mut buffer);
            times.push(started.elapsed());
            assert_eq!(buffer.content.len(), usize::from(area.width * area.height));
        }
    }
    (median(derives), median(firsts), median(agains))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn first_sample() -> Sample {
    let state = |i| {
        [
            State::Written,
            State::Hole,
            State::Written,
            State::Unwritten,
        ][i as usize % 4]
    };
    let extents: Vec<Extent> = (0..EXTENTS)
        .map(|i| Extent {
            start_bytes: i * EXTENT_BYTES,
            len_bytes: EXTENT_BYTES,
            disk_offset_bytes: (state(i) != State::Hole).then_some((EXTENTS - i) * EXTENT_BYTES),
            state: state(i),
        })
        .collect();
    let per_cell = EXTENTS.div_ceil(CELLS).next_power_of_two();
    let counters = (0..EXTENTS.div_ceil(per_cell)).map(|cell| ExtentCounters {
        start_bytes: cell * per_cell * EXTENT_BYTES,
        reads: 1,
        ..ExtentCounters::default()
    });
    let device = DeviceSample {
        name: "loop0".into(),
        facts: Facts {
            size_bytes: EXTENTS * EXTENT_BYTES,
            ..Facts::default()
        },
        extent_counters: counters.collect(),
        data: DataExtents::of(&extents),
        extents: Arc::new(extents),
        extents_per_cell: per_cell as u32,
        ..DeviceSample::default()
    };
    Sample {
        devices: vec![device],
        ..Sample::default()
    }
}

/// A second later, with requests on the first `touched` counters.
fn next_sample(older: &Sample, touched: u64) -> Sample {
    let mut newer = older.clone();
    newer.monotonic_ns += 1_000_000_000;
    newer.wall_ns += 1_000_000_000;
    for (i, counters) in (0..touched).zip(&mut newer.devices[0].extent_counters) {
        counters.reads += 200;
        counters.read_bytes += 200 << 12;
        counters.max_ns = 1_000_000;
        let buckets = [40, 44, 50 + (i % 20) as u16];
        let counts = buckets.map(|bucket| (bucket, counters.reads / 3));
        counters.latency = Arc::new(Buckets(counts.to_vec()));
    }
    newer
}
