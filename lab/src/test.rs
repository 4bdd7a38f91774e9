//! One test: what it is called, what it does, and the line that says how it ended.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::guest::Guest;
use crate::kernel_log::KernelLog;
use crate::leftovers::Leftovers;
use crate::watchdog::Watchdog;

/// How a test that did not fail ended.
pub(crate) enum Outcome {
    /// It showed what it is for.
    Passed,
    /// It cannot run here, for this reason.
    Skipped(String),
}

type Body = Box<dyn Fn(&mut Guest) -> Result<Outcome>>;

/// A test.
pub(crate) struct Test {
    name: String,
    body: Body,
    limit: Duration,
    on_request: bool,
}

impl Test {
    /// A test that ends within two minutes on a slow machine, or within six hours in its long form.
    pub(crate) fn new(
        name: impl Into<String>,
        body: impl Fn(&mut Guest) -> Result<Outcome> + 'static,
    ) -> Self {
        const LIMIT: Duration = Duration::from_secs(120);
        let (name, body) = (name.into(), Box::new(body));
        Self {
            name,
            body,
            limit: LIMIT,
            on_request: false,
        }
    }

    /// It takes too long to be among the short ones, unless somebody asks for it.
    pub(crate) fn on_request(self) -> Self {
        Self {
            on_request: true,
            ..self
        }
    }

    /// Whether it is among the short ones only if somebody asks for it.
    pub(crate) fn is_on_request(&self) -> bool {
        self.on_request
    }

    /// It loads the probes, which a kernel that does not tell its types cannot do: the debug kernel is one.
    pub(crate) fn with_probes(self) -> Self {
        let body = move |guest: &mut Guest| {
            if Path::new("/sys/kernel/btf/vmlinux").exists() {
                return (self.body)(guest);
            }
            let why = "this kernel does not tell its types, so it loads no probes";
            Ok(Outcome::Skipped(why.into()))
        };
        Self {
            body: Box::new(body),
            ..self
        }
    }

    /// Its short form may take longer than most.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// What it is called: one word.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs it. False: it failed, and said why.
    pub(crate) fn run(&self, guest: &mut Guest) -> Result<bool> {
        const LONG_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);
        let name = &self.name;
        let limit = if guest.is_long() {
            LONG_LIMIT
        } else {
            self.limit * guest.slowness()
        };
        println!("running {name} {}", limit.as_secs());
        let _watchdog = Watchdog::start(limit);
        let begun = Instant::now();
        let mut log = KernelLog::from_now_on()?;
        log.write(&format!("lab: test {name}"))?;
        let before = Leftovers::now()?;
        let result = (self.body)(guest);
        let result = result.and_then(|outcome| {
            before.compare(&Leftovers::now()?)?;
            log.check(&guest.take_allowed())?;
            Ok(outcome)
        });
        match result {
            Ok(Outcome::Passed) => println!("ok {name} {:.1} s", begun.elapsed().as_secs_f64()),
            Ok(Outcome::Skipped(why)) => println!("skipped {name}: {}", one_line(&why)),
            Err(error) => {
                println!("{error:?}");
                println!("--- kernel log since the test began\n{}", log.text()?);
                println!("failed {name}: {}", one_line(&format!("{error:#}")));
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The first line; what follows has been printed.
fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Fails unless it is true.
pub(crate) fn ensure(is_true: bool, what: &str) -> Result<()> {
    if !is_true {
        bail!("{what}");
    }
    Ok(())
}
