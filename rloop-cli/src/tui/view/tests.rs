//! Every view as text, at the design size and wide.

use std::sync::Arc;

use ratatui::style::Color;

use super::*;
use crate::{
    model::{DeviceFrame, ExtentFrame, Finding, Latency, Mode, Severity},
    sample::{Backing, Extent, Facts, HolesSample, SplitSample, State, Submitter},
    tui::{
        bindings::Action,
        theme::{Depth, Theme},
    },
};

fn latency(count: u64, p50: u64) -> Latency {
    Latency {
        count,
        mean_ns: Some(p50),
        p50_ns: Some(p50),
        p90_ns: Some(p50 * 2),
        p99_ns: (count >= 100).then_some(p50 * 8),
        p999_ns: (count >= 1000).then_some(p50 * 20),
        max_ns: Some(p50 * 31),
        buckets: vec![
            (p50, count / 2),
            (p50 * 2, count / 3),
            (p50 * 8, count / 50),
            (p50 * 31, 1),
        ],
    }
}

fn device(name: &str, ops: u64) -> DeviceFrame {
    const MIB: u64 = 1 << 20;
    let states = [
        State::Written,
        State::Hole,
        State::Unwritten,
        State::Written,
        State::Hole,
    ];
    let extents: Vec<Extent> = (0..5u64)
        .map(|i| Extent {
            start_bytes: i * 51 * MIB,
            len_bytes: 51 * MIB,
            disk_offset_bytes: None,
            state: states[i as usize],
        })
        .collect();
    let touched = [(0, 9_000), (2, 70_000), (3, 1_400_000)].map(|(i, p50)| ExtentFrame {
        start_bytes: extents[i].start_bytes,
        len_bytes: extents[i].len_bytes,
        state: extents[i].state,
        reads: ops / 4,
        writes: ops / 9,
        latency: latency(ops / 3, p50),
        ..ExtentFrame::default()
    });
    let mut device = DeviceFrame {
        name: name.into(),
        backing: Backing {
            path: format!("/srv/images/{name}.img"),
            fs: "ext4".into(),
            ..Backing::default()
        },
        facts: Facts {
            size_bytes: 255 * MIB,
            claims_direct: true,
            ..Facts::default()
        },
        mode: Mode::Direct,
        mode_measured: true,
        in_flight: 3,
        split: SplitSample {
            requests: ops,
            queue_ns: 2_000,
            worker_ns: 31_000,
            filesystem_ns: 9_000,
            disk_ns: 58_000,
        },
        bypass_ratio: Some(1.0),
        holes: HolesSample {
            fills: 37,
            fill_bytes: 37 * 65536,
            conversions: 37,
            conversion_bytes: 37 * 65536,
            ..HolesSample::default()
        },
        extents: extents.into(),
        touched: touched.into(),
        extents_per_cell: 1,
        backing_cached_pages: Some(0),
        device_cached_pages: Some(5000),
        submitters: vec![Submitter {
            pid: 4711,
            command: "fio".into(),
            bytes: ops * 4096,
            requests: ops,
            ..Submitter::default()
        }],
        findings: vec![Finding {
            id: "worker-saturated",
            severity: Severity::Warning,
            what: "61 % of the time passes waiting for the driver's one worker".into(),
            remedy: "spread the load over several images, each with a device of its own".into(),
        }],
        ..DeviceFrame::default()
    };
    device.bypass.direct_read_bytes = ops * 4096;
    device.commits.duration = latency(37, 600_000);
    device.ops[0].ops = ops;
    device.ops[0].total = latency(ops, 21_000);
    device.all.ops = ops;
    device.all.bytes = ops * 4096;
    device.all.total = latency(ops, 21_000);
    device
}

fn app(theme: Theme) -> App {
    let mut app = App::new(theme, false);
    for i in 1..=40u64 {
        let devices = vec![
            device("loop0", 1000 * (i % 7 + 1)),
            device("loop12", 90 + i),
        ];
        let wall_ns = 1_700_000_000_000_000_000 + i * 1_000_000_000;
        app.push(Arc::new(Frame {
            wall_ns,
            interval_ns: 1_000_000_000,
            own_cpu_ns: 4_000_000,
            devices,
            ..Frame::default()
        }));
    }
    app
}

fn draw(app: &App, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    render(app, area, &mut buf);
    buf
}

fn text(buf: &Buffer) -> String {
    let rows = buf.content.chunks(usize::from(buf.area.width));
    let line = |row: &[ratatui::buffer::Cell]| {
        row.iter()
            .map(|cell| cell.symbol())
            .collect::<String>()
            .trim_end()
            .to_owned()
    };
    rows.map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_view_at_the_design_size_and_wide() {
    for (width, height) in [(80, 24), (200, 60)] {
        for view in View::ALL {
            let mut app = app(Theme::new(Depth::True, false));
            app.view = view;
            insta::assert_snapshot!(
                format!("{}_{width}x{height}", view.name()),
                text(&draw(&app, width, height))
            );
        }
    }
}

#[test]
fn help_covers_and_too_small_says_so() {
    let mut app = app(Theme::new(Depth::True, false));
    app.update(Action::Help);
    insta::assert_snapshot!("Help_80x24", text(&draw(&app, 80, 24)));
    assert!(text(&draw(&app, 59, 24)).contains("needs 60x16"));
}

#[test]
fn without_devices_it_says_what_to_do() {
    let mut app = App::new(Theme::new(Depth::True, false), true);
    app.push(Arc::new(Frame {
        wall_ns: 1,
        interval_ns: 1_000_000_000,
        ..Frame::default()
    }));
    insta::assert_snapshot!("Nothing_80x24", text(&draw(&app, 80, 24)));
}

#[test]
fn without_colours_no_cell_has_one() {
    for view in View::ALL {
        let mut app = app(Theme::new(Depth::Mono, false));
        app.view = view;
        let buf = draw(&app, 80, 24);
        assert!(
            buf.content
                .iter()
                .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset),
            "{view:?}"
        );
    }
}

#[test]
fn ascii_is_ascii() {
    for view in View::ALL {
        let mut app = app(Theme::new(Depth::Sixteen, true));
        app.view = view;
        app.update(Action::Help);
        let text = text(&draw(&app, 100, 40));
        assert!(
            text.is_ascii(),
            "{view:?}: {:?}",
            text.chars().find(|letter| !letter.is_ascii())
        );
    }
}

#[test]
fn extents_below_the_screen_can_be_reached() {
    let mut many = device("loop0", 1000);
    many.touched = (0..100)
        .map(|i| ExtentFrame {
            start_bytes: i << 20,
            len_bytes: 1 << 20,
            reads: 1,
            ..ExtentFrame::default()
        })
        .collect();
    let mut app = App::new(Theme::new(Depth::True, false), false);
    app.push(Arc::new(Frame {
        devices: vec![many],
        ..Frame::default()
    }));
    app.view = View::Extents;
    assert!(!text(&draw(&app, 80, 24)).contains("99.0 MiB"));
    app.update(Action::Move(isize::MAX));
    assert!(text(&draw(&app, 80, 24)).contains("99.0 MiB"));
    app.update(Action::Move(-50));
    assert!(text(&draw(&app, 80, 24)).contains("49.0 MiB"));
    app.update(Action::Move(isize::MIN));
    assert_eq!(app.row, 0);
}
