//! `rloop-top` in the background, and what it has told.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Events that the probes could not record, so that numbers are too small. The kernel lets no program run while it
/// is running already on the same processor, as when an interrupt comes in between.
#[derive(Debug)]
pub(crate) struct EventsLost;

impl fmt::Display for EventsLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("events were lost")
    }
}

impl Error for EventsLost {}

/// Does something whose numbers are exact unless events are lost, and a few times again if some were.
pub(crate) fn exactly<T>(mut what: impl FnMut() -> Result<T>) -> Result<T> {
    const AGAIN: usize = 2;
    for _ in 0..AGAIN {
        match what() {
            Err(error) if error.is::<EventsLost>() => println!("again, as {error:#}"),
            done => return done,
        }
    }
    what()
}

/// It is ended when this goes.
pub(crate) struct Watcher {
    child: Child,
    lines: Receiver<Value>,
    told: Told,
}

/// What was told from some moment on: a line for each interval.
#[derive(Default)]
pub(crate) struct Told(Vec<Value>);

impl Watcher {
    /// Watches all loop and rloop devices, and waits until it does.
    pub(crate) fn start() -> Result<Self> {
        let mut child = Command::new("rloop-top")
            .args(["--json", "--interval", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start rloop-top")?;
        let output = child.stdout.take().context("rloop-top has no output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let objects = lines.filter_map(|line| serde_json::from_str(&line).ok());
            for object in objects {
                if sender.send(object).is_err() {
                    return;
                }
            }
        });
        let told = Told::default();
        let mut watcher = Self { child, lines, told };
        watcher.next()?;
        watcher.told = Told::default();
        Ok(watcher)
    }

    /// All since this was last asked. What has ended before is in it: the interval that it ended in is over, and
    /// one more.
    pub(crate) fn told(&mut self) -> Result<Told> {
        // What waits here may be of before.
        self.told.0.extend(self.lines.try_iter());
        for _ in 0..2 {
            self.next()?;
        }
        Ok(std::mem::take(&mut self.told))
    }

    /// Waits until a device is watched, or is not.
    pub(crate) fn wait_for(&mut self, device: &str, is_there: bool) -> Result<()> {
        const MOST: usize = 20;
        for _ in 0..MOST {
            let line = self.next()?;
            if device_in(line, device).is_some() == is_there {
                self.told = Told::default();
                return Ok(());
            }
        }
        anyhow::bail!("rloop-top is not where {device} is there: {is_there}")
    }

    fn next(&mut self) -> Result<&Value> {
        const LIMIT: Duration = Duration::from_secs(60);
        let line = self.lines.recv_timeout(LIMIT);
        self.told.0.push(line.context("rloop-top says nothing")?);
        Ok(&self.told.0[self.told.0.len() - 1])
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            println!("could not end rloop-top: {error}");
        }
    }
}

fn device_in<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    let mut devices = line["devices"].as_array()?.iter();
    devices.find(|device| device["name"] == name)
}

/// The name of a device without its folder, as it is told.
pub(crate) fn name(device: &Path) -> String {
    let name = device.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl Told {
    /// What was told in these lines.
    pub(crate) fn read(lines: &str) -> Result<Self> {
        let objects = lines.lines().map(serde_json::from_str);
        let objects = objects.collect::<Result<_, _>>();
        objects.map(Self).context("a line is no JSON")
    }

    /// What was told of a device in each interval.
    pub(crate) fn each<'a>(&'a self, device: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter_map(|line| device_in(line, device))
    }

    /// What was told of a device last.
    pub(crate) fn last<'a>(&'a self, device: &'a str) -> Result<&'a Value> {
        let last = self.each(device).last();
        last.with_context(|| format!("nothing was told of {device}"))
    }

    /// The sum of a number of a device over all intervals, by its JSON pointer.
    pub(crate) fn sum(&self, device: &str, pointer: &str) -> Result<u64> {
        let mut sum = 0;
        for told in self.each(device) {
            let value = told.pointer(pointer).and_then(Value::as_u64);
            sum += value.with_context(|| format!("{device} has no number {pointer}"))?;
        }
        Ok(sum)
    }

    /// The same of numbers that were told with a share of theirs: each times the share.
    pub(crate) fn product(&self, device: &str, pointer: &str, share: &str) -> f64 {
        let number = |told: &Value, pointer: &str| told.pointer(pointer)?.as_f64();
        let products = self
            .each(device)
            .filter_map(|told| Some(number(told, pointer)? * number(told, share)?));
        products.sum()
    }

    /// What the kernel does not tell, by its name, as the last line has it.
    pub(crate) fn unavailable(&self) -> Result<Vec<String>> {
        let last = self.0.last().context("nothing was told")?;
        let missing = last["unavailable"].as_array().context("a list")?;
        let what = missing
            .iter()
            .filter_map(|missing| missing["what"].as_str());
        Ok(what.map(str::to_owned).collect())
    }

    /// Fails if an event was lost.
    pub(crate) fn lost_nothing(&self) -> Result<()> {
        for line in &self.0 {
            if line["lost_events"] != 0 {
                return Err(anyhow::Error::new(EventsLost).context(line["lost"].to_string()));
            }
            ensure!(line["lost"]["traces"] == 0, "traces were lost");
        }
        Ok(())
    }

    /// Reads and writes by extent: where it starts, how long it is, where it lies, and its state.
    pub(crate) fn extents(&self, device: &str) -> BTreeMap<Extent, (u64, u64)> {
        let mut extents = BTreeMap::new();
        let touched = self
            .each(device)
            .filter_map(|told| told["extents"].as_array());
        for extent in touched.flatten() {
            let number = |name: &str| extent[name].as_u64().unwrap_or(0);
            let sums: &mut (u64, u64) = extents.entry(Extent::of(extent)).or_default();
            sums.0 += number("reads");
            sums.1 += number("writes");
        }
        extents
    }
}

/// An extent as the programs tell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) disk: Option<u64>,
    pub(crate) state: String,
}

impl Extent {
    /// One of a list of `rloop-top` or of `rloop map`.
    pub(crate) fn of(extent: &Value) -> Self {
        Self {
            start: extent["start_bytes"].as_u64().unwrap_or(0),
            len: extent["len_bytes"].as_u64().unwrap_or(0),
            disk: extent["disk_offset_bytes"].as_u64(),
            state: extent["state"].as_str().unwrap_or_default().to_owned(),
        }
    }
}
