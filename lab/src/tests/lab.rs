//! The lab sees what it has to see.

use anyhow::Result;

use crate::guest::Guest;
use crate::kernel_log::KernelLog;
use crate::test::{Outcome, Test, ensure};

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new("lab_sees_complaints", sees_complaints)]
}

/// A complaint in the kernel's log is seen, unless the test allows it, as this one does.
fn sees_complaints(guest: &mut Guest) -> Result<Outcome> {
    const TEXT: &str = "WARNING: provoked by a test";
    let mut log = KernelLog::from_now_on()?;
    log.check(&[])?;
    log.write(TEXT)?;
    guest.allow_in_log(TEXT);
    ensure(log.check(&[]).is_err(), "the complaint was not seen")?;
    log.check(&[TEXT.to_owned()])?;
    Ok(Outcome::Passed)
}
