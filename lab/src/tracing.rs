//! The module's tracepoints, as tracefs shows them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};

const INSTANCES: &str = "/sys/kernel/tracing/instances";

/// All of the module's tracepoints, recorded from now on. They are off when this goes.
pub(crate) struct Tracing {
    instance: PathBuf,
}

impl Tracing {
    /// Begins.
    pub(crate) fn start() -> Result<Self> {
        Self::enable("")
    }

    /// The same with one of them only.
    pub(crate) fn of_event(name: &str) -> Result<Self> {
        Self::enable(name)
    }

    fn enable(event: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let instance = Path::new(INSTANCES).join(format!("lab{number}"));
        fs::create_dir(&instance).context("could not make an instance of tracefs")?;
        let tracing = Self { instance };
        fs::write(tracing.instance.join("buffer_size_kb"), "8192")?;
        let events = tracing.instance.join("events/rloop").join(event);
        fs::write(events.join("enable"), "1")?;
        Ok(tracing)
    }

    /// What was recorded of one device: all events, in their order.
    pub(crate) fn of(&self, device: &Path) -> Result<Vec<Event>> {
        let name = device.file_name().unwrap_or_default();
        let dev = fs::read_to_string(Path::new("/sys/block").join(name).join("dev"))?;
        let dev = format!("dev={} ", dev.trim());
        let text = fs::read_to_string(self.instance.join("trace"))?;
        let lost = text.lines().any(|line| line.contains("LOST"));
        ensure!(!lost, "events were lost");
        let lines = text.lines().filter(|line| line.contains(&dev));
        Ok(lines.filter_map(Event::of).collect())
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let off = fs::write(self.instance.join("events/rloop/enable"), "0");
        if let Err(error) = off.and_then(|()| fs::remove_dir(&self.instance)) {
            println!("could not end {}: {error}", self.instance.display());
        }
    }
}

/// One event.
pub(crate) struct Event {
    pub(crate) name: String,
    fields: String,
}

impl Event {
    fn of(line: &str) -> Option<Self> {
        let (head, fields) = line.split_once(": dev=")?;
        let name = head.rsplit(' ').next()?.to_owned();
        let fields = format!("dev={fields}");
        Some(Self { name, fields })
    }

    /// A field of it.
    pub(crate) fn field(&self, name: &str) -> Result<i64> {
        let field = self
            .fields
            .split(' ')
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let text = field.with_context(|| format!("{} has no field {name}", self.name))?;
        Ok(text.parse()?)
    }
}
