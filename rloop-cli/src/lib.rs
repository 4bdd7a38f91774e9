//! Watches loop devices.
//!
//! Data flows one way: a [`source`] yields a [`sample`] (raw counters at one instant), [`model`]
//! derives a frame from two samples, and the dashboard or an exporter draws the frame.

pub mod btf;
pub mod capability;
pub mod cli;
pub mod command;
pub mod demo;
pub mod device;
pub mod diff;
pub mod driver;
pub mod export;
pub mod history;
mod load;
pub mod model;
mod program;
pub mod record;
pub mod sample;
mod scratch;
pub mod source;
pub mod tui;
