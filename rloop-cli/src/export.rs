//! Frames for other programs and for people without a terminal.

pub mod json;
pub mod plain;
