// SPDX-License-Identifier: GPL-2.0

//! The module's pure code, compiled for the host so that it can be tested: once as it is, and once
//! with the atomics of a model checker.
//!
//! Nothing here is part of the module.
#![cfg(test)]
#![expect(clippy::duplicate_mod, reason = "once for each kind of atomics")]

mod checked;
mod heap;
mod interleavings;
mod model;
mod real;
