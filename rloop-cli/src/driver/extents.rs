//! What the module knows of where a device's blocks lie.

use rloop_common::extent::MAX_EXTENTS;

use super::{abi, control::Control, error::DriverError};
use crate::device::extents::Mapping;
use crate::sample::{Extent, State};

/// The extent map of a device that shows `len_bytes` of its file from `offset_bytes` on. What is not in it is
/// [`State::Absent`], so extents follow one another without gaps; their offsets are of the device.
pub fn map(number: u32, (offset_bytes, len_bytes): (u64, u64)) -> Result<Mapping, DriverError> {
    let control = Control::open()?;
    let mut builder = Builder {
        offset: offset_bytes,
        at: offset_bytes,
        end: offset_bytes + len_bytes,
        extents: Vec::new(),
    };
    let mut from = Some(offset_bytes);
    while let Some(start_bytes) = from {
        let known = control.map(number, start_bytes)?;
        if builder.extents.len() + 2 * known.extents.len() >= MAX_EXTENTS {
            return Ok(Mapping {
                cut_at_bytes: Some(builder.at - builder.offset),
                extents: builder.extents,
            });
        }
        known.extents.iter().for_each(|extent| builder.add(extent));
        from = known.next_bytes;
    }
    builder.push(builder.end, None, State::Absent);
    Ok(Mapping {
        extents: builder.extents,
        cut_at_bytes: None,
    })
}

/// Puts extents together, in offsets of the file until the end.
struct Builder {
    offset: u64,
    at: u64,
    end: u64,
    extents: Vec<Extent>,
}

impl Builder {
    fn add(&mut self, extent: &abi::Extent) {
        self.push(extent.offset.min(self.end), None, State::Absent);
        // An extent may begin before the device does.
        let inside = self.at.saturating_sub(extent.offset);
        let disk = (extent.disk != u64::MAX).then(|| extent.disk + inside);
        let end = extent.offset.saturating_add(extent.length).min(self.end);
        self.push(end, disk, state(extent.state));
    }

    fn push(&mut self, end: u64, disk_offset_bytes: Option<u64>, state: State) {
        if end > self.at {
            self.extents.push(Extent {
                start_bytes: self.at - self.offset,
                len_bytes: end - self.at,
                disk_offset_bytes,
                state,
            });
            self.at = end;
        }
    }
}

/// By [`abi::STATES`].
fn state(number: u32) -> State {
    match number {
        0 => State::Hole,
        1 => State::Unwritten,
        2 => State::Filling,
        3 => State::Filled,
        _ => State::Written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_module_does_not_know_is_absent() {
        let known = |offset, length, disk, state| abi::Extent {
            offset,
            length,
            disk,
            state,
            reserved: 0,
        };
        let mut builder = Builder {
            offset: 512,
            at: 512,
            end: 16_896,
            extents: Vec::new(),
        };
        // The device begins and ends in the middle of a block.
        builder.add(&known(0, 4096, 40_960, 4));
        builder.add(&known(8192, 4096, u64::MAX, 0));
        builder.add(&known(12_288, 8192, 81_920, 3));
        builder.push(builder.end, None, State::Absent);
        let expected = [
            (State::Written, 0, 3584, Some(41_472)),
            (State::Absent, 3584, 4096, None),
            (State::Hole, 7680, 4096, None),
            (State::Filled, 11_776, 4608, Some(81_920)),
        ];
        let found: Vec<_> = builder
            .extents
            .iter()
            .map(|e| (e.state, e.start_bytes, e.len_bytes, e.disk_offset_bytes))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn of_a_device_that_nothing_is_known_of_all_is_absent() {
        let mut builder = Builder {
            offset: 0,
            at: 0,
            end: 8192,
            extents: Vec::new(),
        };
        builder.push(builder.end, None, State::Absent);
        let all = Extent {
            start_bytes: 0,
            len_bytes: 8192,
            disk_offset_bytes: None,
            state: State::Absent,
        };
        assert_eq!(builder.extents, [all]);
    }

    #[test]
    fn states_are_those_of_the_interface() {
        let names = abi::STATES.iter().enumerate();
        for (number, name) in names {
            let named = format!("{:?}", state(number as u32)).to_lowercase();
            assert_eq!(named, *name);
        }
    }
}
