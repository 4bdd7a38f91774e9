//! The module loads into the stock kernel, shows what the probes need, and goes without a trace.

use std::path::Path;

use anyhow::Result;

use crate::guest::Guest;
use crate::module::Module;
use crate::test::{Outcome, Test, ensure};

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new("module_loads_and_unloads", loads_and_unloads)]
}

fn loads_and_unloads(_guest: &mut Guest) -> Result<Outcome> {
    const ROUNDS: usize = 3;
    if !Module::is_there() {
        return Ok(Outcome::Skipped("the guest was given no rloop.ko".into()));
    }
    for _ in 0..ROUNDS {
        let module = Module::load()?;
        for path in ["/sys/module/rloop", "/sys/kernel/tracing/events/rloop"] {
            ensure(Path::new(path).exists(), &format!("there is no {path}"))?;
        }
        // A kernel without BTF, as the debug kernel is, has none for modules either.
        ensure(
            Path::new("/sys/kernel/btf/rloop").exists()
                == Path::new("/sys/kernel/btf/vmlinux").exists(),
            "the module's BTF is missing",
        )?;
        drop(module);
        ensure(
            !Path::new("/sys/module/rloop").exists(),
            "the module is still loaded",
        )?;
    }
    Ok(Outcome::Passed)
}
