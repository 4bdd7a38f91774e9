//! What a file looks like on one line.

use super::*;
use crate::{
    model::{ExtentFrame, Latency},
    tui::theme::{Depth, ThemeName},
};

#[test]
fn each_part_of_the_file_has_its_column() {
    let extent = |start: u64, state| Extent {
        start_bytes: start,
        len_bytes: 100,
        state,
        disk_offset_bytes: None,
    };
    let extents = vec![
        extent(0, State::Written),
        extent(100, State::Hole),
        extent(200, State::Unwritten),
    ];
    let device = DeviceFrame {
        extents: extents.into(),
        ..DeviceFrame::default()
    };
    let buf = strip(&device, &Theme::new(ThemeName::Dark, Depth::Mono, true), 6);
    let text: String = buf.content.iter().map(|cell| cell.symbol()).collect();
    assert_eq!(text, "##..uu");
}

#[test]
fn a_million_extents_are_drawn() {
    let extents: Vec<Extent> = (0..1_000_000)
        .map(|i| Extent {
            start_bytes: i * 4096,
            len_bytes: 4096,
            ..Extent::default()
        })
        .collect();
    let device = DeviceFrame {
        extents: extents.into(),
        ..DeviceFrame::default()
    };
    let buf = strip(
        &device,
        &Theme::new(ThemeName::Dark, Depth::True, false),
        200,
    );
    assert!(buf.content.iter().all(|cell| cell.symbol() == "█"));
}

fn strip(device: &DeviceFrame, theme: &Theme, width: u16) -> Buffer {
    let area = Rect::new(0, 0, width, 1);
    let mut buf = Buffer::empty(area);
    Strip::default().render(device, None, theme, area, &mut buf);
    buf
}

#[test]
fn an_extent_is_coloured_over_its_whole_width() {
    let written = |start_bytes| Extent {
        start_bytes,
        len_bytes: 100,
        ..Extent::default()
    };
    let device = DeviceFrame {
        extents: vec![written(0), written(100)].into(),
        touched: vec![ExtentFrame {
            start_bytes: 0,
            len_bytes: 100,
            latency: Latency {
                count: 1,
                max_ns: Some(5_000_000),
                ..Latency::default()
            },
            ..ExtentFrame::default()
        }],
        ..DeviceFrame::default()
    };
    let buf = strip(
        &device,
        &Theme::new(ThemeName::Dark, Depth::True, false),
        20,
    );
    let hot = buf.content[0].fg;
    assert!(buf.content[..10].iter().all(|cell| cell.fg == hot));
    assert!(buf.content[10..].iter().all(|cell| cell.fg != hot));
}

#[test]
fn the_whole_column_decides_not_its_beginning() {
    // One column: a hundred small unwritten extents, then far more data.
    let mut extents: Vec<Extent> = (0..100)
        .map(|i| Extent {
            start_bytes: i * 4096,
            len_bytes: 4096,
            state: State::Unwritten,
            ..Extent::default()
        })
        .collect();
    extents.push(Extent {
        start_bytes: 100 * 4096,
        len_bytes: 900 * 4096,
        ..Extent::default()
    });
    let device = DeviceFrame {
        extents: extents.into(),
        ..DeviceFrame::default()
    };
    let buf = strip(&device, &Theme::new(ThemeName::Dark, Depth::Mono, true), 1);
    assert_eq!(buf.content[0].symbol(), "#");
}

#[test]
fn neighbours_that_share_counters_share_the_colour() {
    let extents: Vec<Extent> = (0..8)
        .map(|i| Extent {
            start_bytes: i * 100,
            len_bytes: 100,
            ..Extent::default()
        })
        .collect();
    let device = DeviceFrame {
        extents: extents.into(),
        extents_per_cell: 4,
        touched: vec![ExtentFrame {
            start_bytes: 400,
            len_bytes: 100,
            latency: Latency {
                count: 1,
                max_ns: Some(5_000_000),
                ..Latency::default()
            },
            ..ExtentFrame::default()
        }],
        ..DeviceFrame::default()
    };
    let buf = strip(&device, &Theme::new(ThemeName::Dark, Depth::True, false), 8);
    let hot = buf.content[7].fg;
    assert!(buf.content[4..].iter().all(|cell| cell.fg == hot));
    assert!(buf.content[..4].iter().all(|cell| cell.fg != hot));
}

#[test]
fn what_got_data_since_the_last_interval_is_marked() {
    let mapping = |states: [State; 4]| {
        let extents = states.iter().zip(0..).map(|(&state, i)| Extent {
            start_bytes: i * 100,
            len_bytes: 100,
            state,
            ..Extent::default()
        });
        Arc::new(extents.collect::<Vec<_>>())
    };
    let before = mapping([State::Written, State::Hole, State::Hole, State::Unwritten]);
    let device = DeviceFrame {
        extents: mapping([State::Written, State::Written, State::Hole, State::Written]),
        ..DeviceFrame::default()
    };
    let area = Rect::new(0, 0, 4, 1);
    let mut buf = Buffer::empty(area);
    let theme = Theme::new(ThemeName::Dark, Depth::Mono, true);
    Strip::default().render(&device, Some(&before), &theme, area, &mut buf);
    let text: String = buf.content.iter().map(|cell| cell.symbol()).collect();
    assert_eq!(text, "#+.+");
}

#[test]
fn columns_hold_every_byte_once_and_bytes_find_their_column() {
    for (size, width) in [(1000, 7), (3, 10), (4096 * 1_000_003, 80), (255, 200)] {
        let extents = [Extent {
            len_bytes: size,
            ..Extent::default()
        }];
        let columns = cut(&extents, size, width);
        assert_eq!(columns.iter().map(|sums| sums[0]).sum::<u64>(), size);
        for byte in [0, 1, size / 3, size / 2, size - 1] {
            let column = column_of(byte, size, width);
            assert!(edge(column, size, width) <= byte, "{byte} of {size}");
            assert!(byte < edge(column + 1, size, width), "{byte} of {size}");
        }
    }
}
