//! Every test, in the order in which they run.

mod lab;
mod module;
mod provoked;
mod stock;

use crate::filesystem::Kind;
use crate::guest::Guest;
use crate::test::{Outcome, Test};

pub(crate) use provoked::tests as provoked;

/// All of them.
pub(crate) fn all() -> Vec<Test> {
    [lab::tests(), stock::tests(), module::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// The same test on several filesystems: `NAME/xfs`, `NAME/ext4`.
fn on_each(
    name: &str,
    kinds: &[Kind],
    body: fn(&mut Guest, Kind) -> anyhow::Result<Outcome>,
) -> Vec<Test> {
    let test = |&kind| Test::new(format!("{name}/{kind}"), move |guest| body(guest, kind));
    kinds.iter().map(test).collect()
}
