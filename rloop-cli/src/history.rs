//! The last minutes of frames, and where in them the user is.

use std::{collections::VecDeque, sync::Arc};

use crate::model::Frame;

/// Frames that are kept: ten minutes at one a second.
pub const FRAMES_MAX: usize = 600;

/// The newest frames, oldest first, and a cursor that follows the newest until told otherwise.
#[derive(Debug, Default)]
pub struct History {
    frames: VecDeque<Arc<Frame>>,
    /// How many frames before the newest the cursor stands; `None` follows the newest.
    back: Option<usize>,
}

impl History {
    /// Adds the newest frame. A cursor that stands still keeps standing on its frame.
    pub fn push(&mut self, frame: Arc<Frame>) {
        if self.frames.len() == FRAMES_MAX {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
        let oldest = self.frames.len() - 1;
        self.back = self.back.map(|back| (back + 1).min(oldest));
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
    fn it_is_bounded_and_may_be_empty() {
        assert_eq!(at(&History::default()), None);
        let mut empty = History::default();
        empty.step(-1);
        assert_eq!(at(&empty), None);
        assert_eq!(history(FRAMES_MAX as u64 + 7).frames.len(), FRAMES_MAX);
    }
}
