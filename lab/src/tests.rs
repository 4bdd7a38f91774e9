//! Every test, in the order in which they run.

mod attachment;
mod bad_input;
mod command_line;
mod compare;
mod dashboard;
mod dashboard_chain;
mod dashboard_module;
mod disk_errors;
mod doctor;
mod durability;
mod durability_exchange;
mod durability_inner;
mod faults;
mod freeze;
mod fuzz;
mod hold_off;
mod holes;
mod lab;
mod leaks;
mod load;
mod mapping;
mod memory;
mod module;
mod neighbours;
mod neighbours_blocks;
mod nfs;
mod provoked;
mod runs;
mod screen;
mod shutdown;
mod space;
mod stale;
mod stock;
mod stock_counts;
mod verifier;

use anyhow::Result;

use crate::filesystem::Kind;
use crate::guest::Guest;
use crate::module::Module;
use crate::test::{Outcome, Test};

pub(crate) use provoked::tests as provoked;

/// All of them.
pub(crate) fn all() -> Vec<Test> {
    [
        lab::tests(),
        stock::tests(),
        with_probes(stock_counts::tests()),
        verifier::tests(),
        module::tests(),
        mapping::tests(),
        hold_off::tests(),
        holes::tests(),
        runs::tests(),
        space::tests(),
        stale::tests(),
        load::tests(),
        bad_input::tests(),
        command_line::tests(),
        compare::tests(),
        doctor::tests(),
        fuzz::tests(),
        leaks::tests(),
        durability::tests(),
        durability_exchange::tests(),
        durability_inner::tests(),
        neighbours::tests(),
        neighbours_blocks::tests(),
        nfs::tests(),
        with_probes(dashboard::tests()),
        with_probes(dashboard_module::tests()),
        with_probes(screen::tests()),
        freeze::tests(),
        attachment::tests(),
        disk_errors::tests(),
        shutdown::tests(),
        faults::tests(),
        memory::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The same test on several filesystems: `NAME/xfs`, `NAME/ext4`.
fn on_each(name: &str, kinds: &[Kind], body: fn(&mut Guest, Kind) -> Result<Outcome>) -> Vec<Test> {
    let test = |&kind| Test::new(format!("{name}/{kind}"), move |guest| body(guest, kind));
    kinds.iter().map(test).collect()
}

/// A test of the module, which is loaded for it, and has to go afterwards.
fn of_module(name: &str, body: impl Fn(&mut Guest) -> Result<()> + 'static) -> Test {
    Test::new(name, move |guest| with_module(|| body(guest)))
}

/// The same test of the module on several filesystems.
fn of_module_on_each(
    name: &str,
    kinds: &[Kind],
    body: fn(&mut Guest, Kind) -> Result<()>,
) -> Vec<Test> {
    let test = |&kind| {
        let name = format!("{name}/{kind}");
        Test::new(name, move |guest| with_module(|| body(guest, kind)))
    };
    kinds.iter().map(test).collect()
}

/// Tests that load the probes.
fn with_probes(tests: Vec<Test>) -> Vec<Test> {
    tests.into_iter().map(Test::with_probes).collect()
}

/// Tests that take too long to be among the short ones.
fn on_request(tests: Vec<Test>) -> Vec<Test> {
    tests.into_iter().map(Test::on_request).collect()
}

fn with_module(body: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    if !Module::is_there() {
        return Ok(Outcome::Skipped("the guest was given no rloop.ko".into()));
    }
    let module = Module::load()?;
    body()?;
    module.unload()?;
    Ok(Outcome::Passed)
}
