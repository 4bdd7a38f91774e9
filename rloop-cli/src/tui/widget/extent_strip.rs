//! A file from its beginning to its end on one line: what lies there, and how slow it is.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    model::DeviceFrame,
    sample::{Extent, State},
    tui::theme::Theme,
};

/// Draws the device's file over the area's width. Looks at each column's ends only, so that a million
/// extents cost no more than a hundred.
pub fn render(device: &DeviceFrame, theme: &Theme, area: Rect, buf: &mut Buffer) {
    let size = device.facts.size_bytes.max(
        device
            .extents
            .last()
            .map_or(0, |last| last.start_bytes + last.len_bytes),
    );
    if size == 0 || area.is_empty() {
        return;
    }
    let slowest = latencies(device).map(|(_, ns)| ns).max().unwrap_or(0);
    let columns = u64::from(area.width);
    let mut hot = vec![0u64; usize::from(area.width)];
    for (start, ns) in latencies(device) {
        let column =
            (u128::from(start.min(size - 1)) * u128::from(columns) / u128::from(size)) as usize;
        hot[column] = hot[column].max(ns);
    }
    for column in 0..area.width {
        let edge =
            |column: u64| (u128::from(size) * u128::from(column) / u128::from(columns)) as u64;
        let state = most(
            &device.extents,
            edge(u64::from(column)),
            edge(u64::from(column) + 1),
        );
        let ns = hot[usize::from(column)];
        let style = if ns == 0 {
            theme.dim()
        } else {
            theme.ramp(place(ns, slowest))
        };
        for row in 0..area.height {
            buf[(area.x + column, area.y + row)]
                .set_char(theme.extent(state))
                .set_style(style);
        }
    }
}

/// (start, p99 or the slowest) of the extents touched.
fn latencies(device: &DeviceFrame) -> impl Iterator<Item = (u64, u64)> {
    device.touched.iter().filter_map(|extent| {
        Some((
            extent.start_bytes,
            extent.latency.p99_ns.or(extent.latency.max_ns)?,
        ))
    })
}

/// Where a latency lies between a microsecond and the slowest, on a log axis.
fn place(ns: u64, slowest: u64) -> f64 {
    let log = |ns: u64| (ns.max(1000) as f64 / 1000.0).ln();
    if log(slowest) > 0.0 {
        log(ns) / log(slowest)
    } else {
        1.0
    }
}

/// What stands for a stretch of the file: data where there is any, of two kinds the larger. Of long runs
/// of small extents, the first few decide.
fn most(extents: &[Extent], start: u64, end: u64) -> State {
    const LOOK: usize = 64;
    let first = extents.partition_point(|extent| extent.start_bytes + extent.len_bytes <= start);
    let (mut written, mut unwritten) = (0, 0);
    for extent in extents[first..]
        .iter()
        .take(LOOK)
        .take_while(|extent| extent.start_bytes < end)
    {
        let covered = end
            .min(extent.start_bytes + extent.len_bytes)
            .saturating_sub(start.max(extent.start_bytes));
        match extent.state {
            State::Written => written += covered,
            State::Unwritten => unwritten += covered,
            State::Hole => {}
        }
    }
    match (written, unwritten) {
        (0, 0) => State::Hole,
        _ if written >= unwritten => State::Written,
        _ => State::Unwritten,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::Depth;

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
        let area = Rect::new(0, 0, 6, 1);
        let mut buf = Buffer::empty(area);
        render(&device, &Theme::new(Depth::Mono, true), area, &mut buf);
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
        let area = Rect::new(0, 0, 200, 1);
        let mut buf = Buffer::empty(area);
        render(&device, &Theme::new(Depth::True, false), area, &mut buf);
        assert!(buf.content.iter().all(|cell| cell.symbol() == "█"));
    }
}
