//! The last minutes of frames, and where in them the user is.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::model::{
    DeviceFrame, ExtentFrame, Frame,
    chain::{Committed, Traced},
};
use crate::sample::Extent;

/// How far back one can go.
pub const SPAN: Duration = Duration::from_secs(600);
/// Bytes that the frames may take: one of a device with 65,536 busy extents takes ten million.
pub const BYTES_MAX: usize = 256 << 20;

/// The newest frames, oldest first, and a cursor that follows the newest until told otherwise.
#[derive(Debug, Default)]
pub struct History {
    frames: VecDeque<Arc<Frame>>,
    /// Bytes that they take, about.
    bytes: usize,
    /// How many frames before the newest the cursor stands; `None` follows the newest.
    back: Option<usize>,
}

impl History {
    /// Adds the newest frame and drops those that are too old or too much; the newest always stays. A
    /// cursor that stands still keeps standing on its frame.
    pub fn push(&mut self, frame: Arc<Frame>) {
        self.bytes += bytes(&frame, self.frames.back().map(AsRef::as_ref));
        let newest_ns = frame.wall_ns;
        self.frames.push_back(frame);
        while self.frames.len() > 1 && (self.bytes > BYTES_MAX || self.is_old(newest_ns)) {
            self.drop_oldest();
        }
        let oldest = self.frames.len() - 1;
        self.back = self.back.map(|back| (back + 1).min(oldest));
    }

    fn is_old(&self, newest_ns: u64) -> bool {
        let oldest = self.frames.front().map_or(newest_ns, |frame| frame.wall_ns);
        newest_ns.saturating_sub(oldest) >= SPAN.as_nanos() as u64
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.frames.pop_front() else {
            return;
        };
        self.bytes -= bytes(&oldest, None);
        // What the two shared is now the next one's alone.
        if let Some(next) = self.frames.front() {
            self.bytes += bytes(next, None) - bytes(next, Some(&oldest));
        }
    }

    /// The frame under the cursor.
    pub fn current(&self) -> Option<&Arc<Frame>> {
        let newest = self.frames.len().checked_sub(1)?;
        self.frames.get(newest - self.back.unwrap_or(0).min(newest))
    }

    /// The frames up to the one under the cursor, oldest first.
    pub fn until_current(&self) -> impl DoubleEndedIterator<Item = &Arc<Frame>> {
        self.frames
            .iter()
            .take(self.frames.len() - self.back.unwrap_or(0))
    }

    /// The cursor follows the newest frame.
    pub fn is_live(&self) -> bool {
        self.back.is_none()
    }

    /// How many frames before the newest the cursor stands.
    pub fn frames_back(&self) -> usize {
        self.back.unwrap_or(0)
    }

    /// How long before the newest frame the one under the cursor was, nanoseconds.
    pub fn back_ns(&self) -> u64 {
        let newest = self.frames.back().map_or(0, |frame| frame.wall_ns);
        let current = self.current().map_or(newest, |frame| frame.wall_ns);
        newest.saturating_sub(current)
    }

    /// Stands still on the current frame, or follows the newest again.
    pub fn toggle_pause(&mut self) {
        self.back = if self.is_live() { Some(0) } else { None };
    }

    /// Goes back (negative) or forth by that many frames, and stands still there.
    pub fn step(&mut self, frames: isize) {
        let oldest = self.frames.len().saturating_sub(1);
        self.back = Some(
            self.frames_back()
                .saturating_add_signed(-frames)
                .min(oldest),
        );
    }

    /// Follows the newest frame.
    pub fn go_live(&mut self) {
        self.back = None;
    }
}

/// What a frame takes, about, without the mappings that it shares with the one before.
fn bytes(frame: &Frame, before: Option<&Frame>) -> usize {
    let shared = |device: &DeviceFrame| {
        before.is_some_and(|before| {
            let mut others = before.devices.iter();
            others.any(|other| Arc::ptr_eq(&other.extents, &device.extents))
        })
    };
    // Of requests and commits only those of the interval are this frame's own.
    let traced = |device: &DeviceFrame| {
        let chains = &device.chains;
        let pointers = chains.requests().len() + chains.commits().len();
        pointers * size_of::<usize>()
            + chains.fresh_requests().len() * size_of::<Traced>()
            + chains.fresh_commits().len() * size_of::<Committed>()
    };
    let device = |device: &DeviceFrame| {
        let mapping = if shared(device) {
            0
        } else {
            device.extents.len() * size_of::<Extent>()
        };
        let buckets = |extent: &ExtentFrame| extent.latency.buckets.len() * size_of::<(u64, u64)>();
        let touched = device.touched.iter();
        mapping
            + size_of::<DeviceFrame>()
            + traced(device)
            + touched
                .map(|extent| size_of::<ExtentFrame>() + buckets(extent))
                .sum::<usize>()
    };
    size_of::<Frame>() + frame.devices.iter().map(device).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(frames: u64) -> History {
        let mut history = History::default();
        for wall_ns in 0..frames {
            history.push(Arc::new(Frame {
                wall_ns,
                ..Frame::default()
            }));
        }
        history
    }

    fn at(history: &History) -> Option<u64> {
        history.current().map(|frame| frame.wall_ns)
    }

    #[test]
    fn a_paused_view_stands_while_frames_come() {
        let mut history = history(10);
        history.toggle_pause();
        history.push(Arc::new(Frame {
            wall_ns: 10,
            ..Frame::default()
        }));
        assert_eq!(at(&history), Some(9));
        history.step(-4);
        assert_eq!(
            (at(&history), history.until_current().count()),
            (Some(5), 6)
        );
        history.step(1000);
        assert_eq!(at(&history), Some(10));
        history.step(-1000);
        assert_eq!(at(&history), Some(0));
        history.go_live();
        assert_eq!(at(&history), Some(10));
    }

    #[test]
    fn it_may_be_empty() {
        let mut empty = History::default();
        assert_eq!(at(&empty), None);
        empty.step(-1);
        assert_eq!((at(&empty), empty.until_current().count()), (None, 0));
    }

    #[test]
    fn it_spans_ten_minutes_whatever_the_interval() {
        for interval in [Duration::from_millis(250), Duration::from_secs(10)] {
            let mut history = History::default();
            for i in 0..5000 {
                history.push(Arc::new(Frame {
                    wall_ns: i * interval.as_nanos() as u64,
                    ..Frame::default()
                }));
            }
            let kept = SPAN.as_nanos() / interval.as_nanos();
            assert_eq!(history.frames.len() as u128, kept);
        }
    }

    fn heavy(wall_ns: u64, extents: &Arc<Vec<Extent>>, touched: usize) -> Arc<Frame> {
        let device = DeviceFrame {
            extents: Arc::clone(extents),
            touched: vec![ExtentFrame::default(); touched],
            ..DeviceFrame::default()
        };
        Arc::new(Frame {
            wall_ns,
            devices: vec![device],
            ..Frame::default()
        })
    }

    fn recount(history: &History) -> usize {
        let before = std::iter::once(None).chain(history.frames.iter().map(Some));
        let frames = history.frames.iter().zip(before);
        frames
            .map(|(frame, before)| bytes(frame, before.map(AsRef::as_ref)))
            .sum()
    }

    #[test]
    fn large_frames_are_bounded_by_bytes_and_a_shared_mapping_counts_once() {
        let mapping = || Arc::new(vec![Extent::default(); 100_000]);
        let (one, other) = (mapping(), mapping());
        let mut history = History::default();
        history.push(heavy(0, &one, 0));
        let alone = history.bytes;
        history.push(heavy(1, &one, 0));
        assert!(history.bytes - alone < 100_000);
        for i in 2..120 {
            let mapping = if i % 3 == 0 { &one } else { &other };
            history.push(heavy(i, mapping, 20_000));
            assert!(history.bytes <= BYTES_MAX);
        }
        assert_eq!(history.bytes, recount(&history));
        assert!(history.frames.len() > 10 && history.frames.len() < 120);
        assert_eq!(at(&history), Some(119));
    }

    #[test]
    fn a_frame_above_the_bound_is_shown_all_the_same() {
        let too_many = BYTES_MAX / size_of::<Extent>() + 1;
        let mut history = History::default();
        history.push(heavy(0, &Arc::default(), 0));
        history.push(heavy(1, &Arc::new(vec![Extent::default(); too_many]), 0));
        assert_eq!((at(&history), history.frames.len()), (Some(1), 1));
    }
}
