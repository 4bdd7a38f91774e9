//! The order of a table's rows.

use std::{cell::RefCell, cmp::Reverse, rc::Rc, sync::Arc};

use super::app::Sort;
use crate::model::{DeviceFrame, ExtentFrame, Frame};

/// The order of the touched extents: made once for a frame and not at each draw, because there can be
/// as many as the file has.
#[derive(Debug, Default)]
pub struct Order(RefCell<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    frame: Arc<Frame>,
    device: String,
    sort: Sort,
    rows: Rc<Vec<u32>>,
}

impl Order {
    /// The places of `device`'s touched extents in `frame`, in the order of `sort`; `None` where that
    /// is the order they are in.
    pub fn rows(
        &self,
        frame: &Arc<Frame>,
        device: &DeviceFrame,
        sort: Sort,
    ) -> Option<Rc<Vec<u32>>> {
        if sort == Sort::Place {
            return None;
        }
        let mut kept = self.0.borrow_mut();
        if let Some(kept) = kept.as_ref()
            && Arc::ptr_eq(&kept.frame, frame)
            && (&kept.device, kept.sort) == (&device.name, sort)
        {
            return Some(Rc::clone(&kept.rows));
        }
        let rows = Rc::new(sorted(&device.touched, sort));
        *kept = Some(Kept {
            frame: Arc::clone(frame),
            device: device.name.clone(),
            sort,
            rows: Rc::clone(&rows),
        });
        Some(rows)
    }
}

/// The p99, or the slowest where too few requests make none.
pub fn slow_ns(extent: &ExtentFrame) -> Option<u64> {
    extent.latency.p99_ns.or(extent.latency.max_ns)
}

fn sorted(extents: &[ExtentFrame], sort: Sort) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..extents.len() as u32).collect();
    let of = |row: &u32| &extents[*row as usize];
    match sort {
        Sort::Place => {}
        Sort::Requests => rows.sort_by_key(|row| Reverse(of(row).reads + of(row).writes)),
        Sort::P99 => rows.sort_by_key(|row| Reverse(slow_ns(of(row)))),
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(reads: &[u64]) -> Arc<Frame> {
        let touched = reads.iter().map(|&reads| ExtentFrame {
            reads,
            ..ExtentFrame::default()
        });
        Arc::new(Frame {
            devices: vec![DeviceFrame {
                touched: touched.collect(),
                ..DeviceFrame::default()
            }],
            ..Frame::default()
        })
    }

    #[test]
    fn a_frame_is_sorted_once() {
        let order = Order::default();
        let (one, other) = (frame(&[3, 9, 5]), frame(&[7, 1]));
        let rows = |frame: &Arc<Frame>, sort| order.rows(frame, &frame.devices[0], sort);
        assert_eq!(rows(&one, Sort::Place), None);
        let first = rows(&one, Sort::Requests).expect("sorted");
        assert_eq!(*first, [1, 2, 0]);
        let again = rows(&one, Sort::Requests).expect("sorted");
        assert!(Rc::ptr_eq(&first, &again));
        assert_eq!(*rows(&other, Sort::Requests).expect("sorted"), [0, 1]);
    }
}
