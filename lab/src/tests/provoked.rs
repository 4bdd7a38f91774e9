//! Tests that have to fail, each in another way: `cargo xtask lab test --provoked` shows that each
//! does, and that the others still run.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::command::run;
use crate::guest::Guest;
use crate::kernel_log::KernelLog;
use crate::test::{Outcome, Test};

/// All of them. None is among the tests that are listed.
pub(crate) fn tests() -> Vec<Test> {
    const LIMIT: Duration = Duration::from_secs(5);
    vec![
        Test::new("provoked_complaint", complaint),
        Test::new("provoked_hang", hang).within(LIMIT),
        Test::new("provoked_leftover", leftover),
        Test::new("provoked_panic", panic),
    ]
}

/// The kernel complains.
fn complaint(_guest: &mut Guest) -> Result<Outcome> {
    KernelLog::from_now_on()?.write("BUG: provoked by a test")?;
    Ok(Outcome::Passed)
}

/// The test takes longer than it may.
fn hang(_guest: &mut Guest) -> Result<Outcome> {
    const FOREVER: Duration = Duration::from_secs(100_000);
    sleep(FOREVER);
    Ok(Outcome::Passed)
}

/// The test leaves a mount behind.
fn leftover(_guest: &mut Guest) -> Result<Outcome> {
    run!["mount", "-t", "tmpfs", "provoked", "/mnt"]?;
    Ok(Outcome::Passed)
}

/// The kernel panics.
fn panic(_guest: &mut Guest) -> Result<Outcome> {
    fs::write("/proc/sysrq-trigger", "c")?;
    Ok(Outcome::Passed)
}
