//! Every view as text, at the design size and wide.

mod chain;

use std::sync::Arc;

use ratatui::style::Color;

use super::*;
use crate::{
    model::{DeviceFrame, ExtentFrame, Finding, Frame, Frames, Mode, RloopFrame, Severity, Ways},
    sample::{Kind, Moved, Unavailable},
    source::{Source as _, synthetic::Synthetic},
    tui::{
        bindings::Action,
        theme::{Depth, Theme, ThemeName},
    },
};

/// Forty intervals of made-up devices.
fn app(theme: Theme) -> App {
    let mut source = Synthetic::new(1);
    let mut app = App::new(theme, false);
    let mut frames = Frames::default();
    for _ in 0..=40 {
        let sample = source.next().expect("cannot fail").expect("has no end");
        if let Some(frame) = frames.next(sample) {
            app.push(Arc::new(frame));
        }
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
            let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
            app.view = view;
            insta::assert_snapshot!(
                format!("{}_{width}x{height}", view.name()),
                text(&draw(&app, width, height))
            );
        }
    }
}

/// A device of rloop beside stock ones, as it might be.
fn of_rloop() -> App {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    let mut frame = Frame::clone(app.history.current().expect("a frame"));
    let mut device = frame.devices[0].clone();
    device.name = "rloop0".into();
    device.kind = Kind::Rloop;
    device.mode = Mode::Vfs;
    let moved = |ops| Moved {
        ops,
        bytes: ops * 4096,
    };
    device.rloop = Some(RloopFrame {
        why: "recalled".into(),
        fill: "layout".into(),
        commit: "each".into(),
        reads: Ways {
            fast: moved(1800),
            zero: moved(150),
            vfs: moved(50),
        },
        writes: Ways {
            fast: moved(750),
            vfs: moved(250),
            ..Ways::default()
        },
        reasons: [50, 250, 0, 12, 0],
        fills: moved(250),
        fill_mean_ns: Some(412_000),
        fills_waiting: 9,
        group_commits: 40,
        fills_per_commit: Some(6.25),
        recalls: 3,
        ..RloopFrame::default()
    });
    frame.devices.insert(0, device);
    app.push(Arc::new(frame));
    app
}

#[test]
fn a_device_of_rloop_shows_what_only_it_has() {
    for (width, height) in [(80, 24), (120, 40)] {
        for view in [View::Overview, View::Holes] {
            let mut app = of_rloop();
            app.view = view;
            insta::assert_snapshot!(
                format!("rloop_{}_{width}x{height}", view.name()),
                text(&draw(&app, width, height))
            );
        }
    }
}

#[test]
fn help_covers_and_too_small_says_so() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    app.update(Action::Help);
    insta::assert_snapshot!("Help_80x24", text(&draw(&app, 80, 24)));
    assert!(text(&draw(&app, 59, 24)).contains("have 59x24, need 60x16"));
}

#[test]
fn without_devices_it_says_what_to_do() {
    let mut app = App::new(Theme::new(ThemeName::Dark, Depth::True, false), true);
    app.push(Arc::new(Frame {
        wall_ns: 1,
        interval_ns: 1_000_000_000,
        ..Frame::default()
    }));
    insta::assert_snapshot!("Nothing_80x24", text(&draw(&app, 80, 24)));
}

#[test]
fn when_the_devices_are_gone_it_does_not_say_that_there_are_none() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    app.push(Arc::new(Frame::default()));
    let shown = text(&draw(&app, 80, 24));
    assert!(shown.contains("No device that was watched is attached any more."));
}

#[test]
fn without_colours_no_cell_has_one() {
    for (name, depth) in [
        (ThemeName::Dark, Depth::Mono),
        (ThemeName::Mono, Depth::True),
    ] {
        for view in View::ALL {
            let mut app = app(Theme::new(name, depth, false));
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
}

#[test]
fn themes_and_depths_change_colours_and_nothing_else() {
    let views = |name, depth| {
        let mut app = app(Theme::new(name, depth, false));
        View::ALL.map(|view| {
            app.view = view;
            draw(&app, 100, 30)
        })
    };
    let reference = views(ThemeName::Dark, Depth::True);
    for (name, depth) in [
        (ThemeName::Dark, Depth::Indexed),
        (ThemeName::Dark, Depth::Sixteen),
        (ThemeName::Light, Depth::True),
        (ThemeName::Mono, Depth::Mono),
    ] {
        for (other, reference) in views(name, depth).iter().zip(&reference) {
            assert_eq!(text(other), text(reference));
            assert_ne!(other, reference, "{name:?}");
        }
    }
}

#[test]
fn no_word_or_number_is_cut_at_the_smallest_size() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    for width in SMALLEST.0..100 {
        let text = text(&draw(&app, width, SMALLEST.1));
        let lines: Vec<&str> = text.lines().collect();
        // Header, tabs, headings of the table, footer: each ends with a whole word.
        let ends = [
            (lines[0], &["lost 0"][..]),
            (lines[1], &["7", "7 Chain"]),
            (lines[2], &["p99", "commits", "requests"]),
            (lines[lines.len() - 1], &["by place"]),
        ];
        for (line, words) in ends {
            assert!(
                words.iter().any(|word| line.ends_with(word)),
                "{width}: {line}"
            );
        }
    }
    app.update(Action::Help);
    for width in [80, SMALLEST.0] {
        let keys = text(&draw(&app, width, SMALLEST.1));
        assert!(
            keys.contains("Ctrl-C") && keys.contains("now dark"),
            "{keys}"
        );
    }
}

#[test]
fn nothing_is_cut_off_a_device_at_the_smallest_size() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    let mut lines = |view| {
        app.view = view;
        let text = text(&draw(&app, SMALLEST.0, SMALLEST.1));
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let extents = lines(View::Extents);
    assert!(extents.iter().any(|line| line.ends_with("slow")));
    let offsets: Vec<&str> = extents
        .iter()
        .skip_while(|line| !line.contains("offset"))
        .skip(1)
        .filter_map(|line| line.split_once(" KiB"))
        .map(|(offset, _)| offset.trim())
        .collect();
    assert_eq!(offsets[..2], ["5,120", "10,240"]);
    let latency = lines(View::Latency);
    let has = |end: &str| latency.iter().any(|line| line.contains(end));
    assert!(has("all but flush") && has("disk 50%"));
    // Instead of what there was none of, there is room for the map: its rows begin with a time.
    assert!(!has("write zeroes"), "{latency:?}");
    let rows = latency.iter().filter(|line| {
        let unit = line.split_whitespace().nth(1);
        ["ns", "us", "ms", "s"].map(Some).contains(&unit)
    });
    assert!(rows.count() > 2, "{latency:?}");
    let holes = lines(View::Holes);
    let has = |end: &str| holes.iter().any(|line| line.ends_with(end));
    assert!(has("to written") && has("~ derived"));
}

#[test]
fn ascii_is_ascii() {
    for view in View::ALL {
        let mut app = app(Theme::new(ThemeName::Dark, Depth::Sixteen, true));
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
fn what_is_not_known_is_no_zero() {
    let mut app = App::new(Theme::new(ThemeName::Dark, Depth::True, false), false);
    let mut device = DeviceFrame {
        name: "loop0".into(),
        ..DeviceFrame::default()
    };
    device.backing.fs = "btrfs".into();
    let frame = |device: &DeviceFrame| {
        Arc::new(Frame {
            devices: vec![device.clone()],
            ..Frame::default()
        })
    };
    let counts = |app: &App| {
        let text = text(&draw(app, 80, 24));
        ["fills", "commits"].map(|name| {
            let line = text.lines().find(|line| line.starts_with(name));
            let count = line.and_then(|line| line.split_whitespace().nth(1));
            count.unwrap_or_default().to_owned()
        })
    };
    app.view = View::Holes;
    app.push(frame(&device));
    assert_eq!(counts(&app), ["0", "0"]);
    for (what, shown) in [
        ("holes of btrfs files", ["-", "0"]),
        ("log and transaction commits of btrfs", ["0", "-"]),
        ("commits", ["0", "-"]),
        ("holes and commits", ["-", "-"]),
        ("holes of xfs files", ["0", "0"]),
    ] {
        let why = "nothing tells of them".into();
        device.unavailable = vec![Unavailable {
            what: what.into(),
            why,
        }];
        app.push(frame(&device));
        assert_eq!(counts(&app), shown, "{what}");
        let told = text(&draw(&app, 80, 24)).contains("nothing tells of them");
        assert_eq!(told, shown[1] == "-", "{what}");
    }
}

#[test]
fn a_file_whose_extents_are_not_known_is_not_drawn_as_a_hole() {
    let mut device = DeviceFrame::default();
    device.facts.size_bytes = 64 << 20;
    device.unavailable.push(Unavailable {
        what: "extents".into(),
        why: "tmpfs does not tell extents (FIEMAP)".into(),
    });
    let mut app = App::new(Theme::new(ThemeName::Dark, Depth::True, false), false);
    app.push(Arc::new(Frame {
        devices: vec![device],
        ..Frame::default()
    }));
    app.view = View::Extents;
    let shown = text(&draw(&app, 80, 24));
    assert!(shown.contains("No extents: tmpfs does not tell"), "{shown}");
    assert!(
        !shown.contains("···") && !shown.contains("0 extents"),
        "{shown}"
    );
}

#[test]
fn extents_below_the_screen_can_be_reached() {
    let touched = (0..100).map(|i| ExtentFrame {
        start_bytes: i << 20,
        len_bytes: 1 << 20,
        reads: 1,
        ..ExtentFrame::default()
    });
    let many = DeviceFrame {
        touched: touched.collect(),
        ..DeviceFrame::default()
    };
    let mut app = App::new(Theme::new(ThemeName::Dark, Depth::True, false), false);
    app.push(Arc::new(Frame {
        devices: vec![many],
        ..Frame::default()
    }));
    app.view = View::Extents;
    assert!(!text(&draw(&app, 80, 24)).contains(" 101,376 KiB"));
    app.update(Action::Move(isize::MAX));
    assert!(text(&draw(&app, 80, 24)).contains(" 101,376 KiB"));
    app.update(Action::Move(-50));
    assert!(text(&draw(&app, 80, 24)).contains(" 50,176 KiB"));
    app.update(Action::Move(isize::MIN));
    assert_eq!(app.row, 0);
}

#[test]
fn the_worst_finding_is_the_first_whichever_device_has_it() {
    let device = |name: &str, id, severity| DeviceFrame {
        name: name.into(),
        findings: vec![Finding {
            id,
            severity,
            what: String::new(),
            remedy: String::new(),
        }],
        ..DeviceFrame::default()
    };
    let mut app = App::new(Theme::new(ThemeName::Dark, Depth::True, false), false);
    app.push(Arc::new(Frame {
        devices: vec![
            device("loop0", "nested", Severity::Info),
            device("loop1", "errors", Severity::Critical),
        ],
        ..Frame::default()
    }));
    app.view = View::Findings;
    let shown = text(&draw(&app, 80, 24));
    let first = shown.lines().nth(2);
    assert_eq!(first, Some("CRITICAL loop1 errors"), "{shown}");
}
