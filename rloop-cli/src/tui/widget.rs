//! Pictures of numbers.

pub mod extent_strip;
pub mod heatmap;
pub mod sparkline;
