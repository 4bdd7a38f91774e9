//! Frames of samples, one after the other.

use super::{Chains, Frame, derive};
use crate::sample::Sample;

/// Makes a frame of each sample but the first, with what is linked over intervals.
#[derive(Debug, Default)]
pub struct Frames {
    older: Option<Sample>,
    /// What was traced until the last frame: the device's name and instance, and its chains.
    chains: Vec<(String, u64, Chains)>,
}

impl Frames {
    /// The frame that ends with `newer`, if it is not the first sample.
    pub fn next(&mut self, newer: Sample) -> Option<Frame> {
        let older = self.older.replace(newer)?;
        let mut frame = derive(&older, self.older.as_ref()?);
        for device in &mut frame.devices {
            let same = |(name, instance, _): &&(String, u64, Chains)| {
                *name == device.name && *instance == device.instance
            };
            if let Some((_, _, before)) = self.chains.iter().find(same) {
                device.chains.follow(before);
            }
        }
        let devices = frame.devices.iter();
        self.chains = devices
            .map(|device| (device.name.clone(), device.instance, device.chains.clone()))
            .collect();
        Some(frame)
    }
}
