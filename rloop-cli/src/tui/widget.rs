//! Pictures of numbers.

pub mod extent_strip;
pub mod graph;
pub mod heatmap;
pub mod sparkline;
pub mod time_axis;
