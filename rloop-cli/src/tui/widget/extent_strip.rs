//! A file from its beginning to its end: how much of each stretch has blocks, and how slow it is.

use std::{cell::RefCell, sync::Arc};

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    model::{DeviceFrame, ExtentFrame, gallop},
    sample::{Extent, State},
    tui::{order::slow_ns, theme::Theme},
};

/// Mappings whose columns are kept: the one on screen and the one before it.
const KEPT: usize = 2;

/// Draws files. Keeps the columns of the last mappings, because every extent has a say in its column
/// and there can be a million of them, while the mapping seldom changes.
#[derive(Debug, Default)]
pub struct Strip {
    kept: RefCell<Vec<Arc<Columns>>>,
}

/// A mapping cut into columns of equal length.
#[derive(Debug)]
struct Columns {
    extents: Arc<Vec<Extent>>,
    size_bytes: u64,
    /// Bytes written and unwritten; the rest is holes.
    bytes: Vec<[u64; 2]>,
}

impl Strip {
    /// Draws the device's file over the area's width. `before` is its mapping one interval ago.
    pub fn render(
        &self,
        device: &DeviceFrame,
        before: Option<&Arc<Vec<Extent>>>,
        theme: &Theme,
        area: Rect,
        buf: &mut Buffer,
    ) {
        let size = size_bytes(device);
        if size == 0 || area.is_empty() {
            return;
        }
        let width = usize::from(area.width);
        let now = self.columns(&device.extents, size, width);
        let before = before
            .filter(|before| !Arc::ptr_eq(before, &device.extents))
            .map(|before| self.columns(before, size, width));
        let slowest = device.touched.iter().filter_map(slow_ns).max().unwrap_or(0);
        let touched = touched(device, size, width);
        for (column, &ns) in touched.iter().enumerate() {
            let grew = |before: &Arc<Columns>| now.bytes[column][0] > before.bytes[column][0];
            let filling = before.as_ref().is_some_and(grew);
            let style = if ns == 0 {
                theme.dim()
            } else {
                theme.ramp(place(ns, slowest))
            };
            let len = edge(column + 1, size, width) - edge(column, size, width);
            let pile = Pile::new(now.bytes[column], len, area.height);
            for row in 0..area.height {
                buf[(area.x + column as u16, area.bottom() - 1 - row)]
                    .set_char(pile.glyph(row, filling, theme))
                    .set_style(style);
            }
        }
    }

    fn columns(&self, extents: &Arc<Vec<Extent>>, size: u64, width: usize) -> Arc<Columns> {
        let mut kept = self.kept.borrow_mut();
        let same = |columns: &&Arc<Columns>| {
            Arc::ptr_eq(&columns.extents, extents)
                && columns.size_bytes == size
                && columns.bytes.len() == width
        };
        if let Some(columns) = kept.iter().find(same) {
            return Arc::clone(columns);
        }
        let columns = Arc::new(Columns {
            extents: Arc::clone(extents),
            size_bytes: size,
            bytes: cut(extents, size, width),
        });
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Arc::clone(&columns));
        columns
    }
}

/// The device's size, or the end of its last extent where the size is not known.
fn size_bytes(device: &DeviceFrame) -> u64 {
    let end = device.extents.last().map_or(0, end_bytes);
    device.facts.size_bytes.max(end)
}

fn end_bytes(extent: &Extent) -> u64 {
    extent.start_bytes.saturating_add(extent.len_bytes)
}

/// Where a column begins.
fn edge(column: usize, size: u64, width: usize) -> u64 {
    (u128::from(size) * column as u128 / width as u128) as u64
}

/// The column that a byte lies in: the last one whose edge is not behind it. With edges rounded down,
/// `size * column / width <= byte` means `size * column < (byte + 1) * width`.
fn column_of(byte: u64, size: u64, width: usize) -> usize {
    let next = u128::from(byte.min(size - 1)) + 1;
    ((next * width as u128 - 1) / u128::from(size)) as usize
}

/// The bytes written and unwritten in every column, in one pass.
fn cut(extents: &[Extent], size: u64, width: usize) -> Vec<[u64; 2]> {
    let mut columns = vec![[0u64; 2]; width];
    let mut column = 0;
    let mut end = edge(1, size, width);
    for extent in extents {
        let kind = match extent.state {
            State::Written | State::Filled => 0,
            State::Unwritten | State::Filling => 1,
            State::Hole | State::Absent => continue,
        };
        let mut at = extent.start_bytes;
        let stop = end_bytes(extent).min(size);
        while at < stop {
            while end <= at {
                column += 1;
                end = edge(column + 1, size, width);
            }
            let until = stop.min(end);
            columns[column][kind] += until - at;
            at = until;
        }
    }
    columns
}

/// How high a column is filled, in eighths of a line: as high as the share that has blocks, and not
/// empty if any has. What is written lies below what is unwritten.
struct Pile {
    written: u16,
    unwritten: u16,
}

impl Pile {
    fn new([written, unwritten]: [u64; 2], len: u64, rows: u16) -> Self {
        let eighths = |bytes: u64| {
            let share = u128::from(bytes) * 8 * u128::from(rows);
            share.div_ceil(u128::from(len.max(1))) as u16
        };
        Self {
            written: eighths(written),
            unwritten: eighths(unwritten),
        }
    }

    /// The cell of line `row`, from below.
    fn glyph(&self, row: u16, filling: bool, theme: &Theme) -> char {
        let above = |eighths: u16| eighths.saturating_sub(8 * row);
        match (above(self.written), above(self.written + self.unwritten)) {
            (0, 0) if row == 0 => theme.extent(State::Hole),
            (0, 0) => ' ',
            (0, _) => theme.extent(State::Unwritten),
            (8.., _) if filling => theme.filling(),
            (1.., _) if filling && row == 0 => theme.filling(),
            (8.., _) => theme.extent(State::Written),
            // The rest of the cell would hide what is unwritten above.
            (part, all) if all > part && part < 4 => theme.extent(State::Unwritten),
            (part, _) => theme.part(usize::from(part)),
        }
    }
}

/// For every column the slowest extent in it, nanoseconds.
fn touched(device: &DeviceFrame, size: u64, width: usize) -> Vec<u64> {
    let mut columns = vec![0; width];
    let mut place = 0;
    for extent in &device.touched {
        let Some(ns) = slow_ns(extent) else { continue };
        let end;
        (end, place) = cell_end(device, extent, place);
        let last = end.saturating_sub(1);
        let first = column_of(extent.start_bytes, size, width);
        for column in &mut columns[first..=column_of(last, size, width).max(first)] {
            *column = ns.max(*column);
        }
    }
    columns
}

/// Where the extents that share the counters of `extent` end, and the place of the one after its first,
/// which is not before `from`.
fn cell_end(device: &DeviceFrame, extent: &ExtentFrame, from: usize) -> (u64, usize) {
    let own = extent.start_bytes.saturating_add(extent.len_bytes);
    let Some(more) = device.extents_per_cell.checked_sub(2) else {
        return (own, from);
    };
    let next = gallop(&device.extents, from, extent.start_bytes);
    let last = (next + more as usize).min(device.extents.len().saturating_sub(1));
    (device.extents.get(last).map_or(own, end_bytes), next)
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

#[cfg(test)]
mod tests;
