//! An rloop device, attached and detached by the program `rloop`, as users do it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command::{output_of, run};

/// How holes are filled, and when that is made durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) fill: &'static str,
    pub(crate) commit: &'static str,
}

impl Mode {
    /// What a user gets who asks for nothing.
    pub(crate) const DEFAULT: Self = Self {
        fill: "vfs",
        commit: "flush",
    };

    /// Holes are filled on disk, and that is committed later: so a recall has something to commit.
    pub(crate) const LAZY: Self = Self {
        fill: "layout",
        commit: "flush",
    };

    /// Every mode.
    pub(crate) const ALL: [Self; 4] = [
        Self::DEFAULT,
        Self::LAZY,
        Self {
            fill: "vfs",
            commit: "each",
        },
        Self {
            fill: "layout",
            commit: "each",
        },
    ];

    /// Whether a write into a hole, once complete, is there for other readers of the file.
    pub(crate) fn is_seen_at_once(self) -> bool {
        self.fill == "vfs" || self.commit == "each"
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fill={}, commit={}", self.fill, self.commit)
    }
}

/// An attached rloop device. It is detached when this goes; a test that wants to know whether that
/// worked calls `detach`.
pub(crate) struct RloopDevice {
    device: PathBuf,
}

impl RloopDevice {
    /// Attaches a file.
    pub(crate) fn attach(file: &Path, mode: Mode) -> Result<Self> {
        Self::attach_with(file, mode, &[])
    }

    /// The same, with more options for the program.
    pub(crate) fn attach_with(file: &Path, mode: Mode, options: &[&str]) -> Result<Self> {
        let mut rloop = Command::new("rloop");
        rloop
            .args(["attach", "--fill", mode.fill, "--commit", mode.commit])
            .args(options)
            .arg(file);
        let device = output_of(&mut rloop)?.into();
        Ok(Self { device })
    }

    /// One that somebody else has attached.
    pub(crate) fn already(device: &str) -> Self {
        let device = device.into();
        Self { device }
    }

    /// Its device.
    pub(crate) fn device(&self) -> &Path {
        &self.device
    }

    /// What one of its files in sysfs says.
    pub(crate) fn attribute(&self, name: &str) -> Result<String> {
        let device = self.device.file_name().unwrap_or_default();
        let path = Path::new("/sys/block")
            .join(device)
            .join("rloop")
            .join(name);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        Ok(text.trim_end().to_owned())
    }

    /// Its counters.
    pub(crate) fn counters(&self) -> Result<Counters> {
        let text = self.attribute("stat")?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let counters = pairs.map(|(name, value)| Ok((name.to_owned(), value.parse()?)));
        counters.collect::<Result<_>>().map(Counters)
    }

    /// Waits until it is mapped by this provider.
    pub(crate) fn wait_for_provider(&self, provider: &str) -> Result<()> {
        self.wait_for("provider", provider)
    }

    /// Waits until this is why nobody better maps.
    pub(crate) fn wait_for_reason(&self, why: &str) -> Result<()> {
        self.wait_for("why", why)
    }

    fn wait_for(&self, attribute: &str, value: &str) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(60);
        let begun = Instant::now();
        while self.attribute(attribute)? != value {
            if begun.elapsed() > LIMIT {
                let (now, why) = (self.attribute("provider")?, self.attribute("why")?);
                bail!("it is mapped by {now} ({why}); the {attribute} is not {value}");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Detaches it.
    pub(crate) fn detach(mut self) -> Result<()> {
        let device = std::mem::take(&mut self.device);
        run!["rloop", "detach", device]?;
        Ok(())
    }
}

impl Drop for RloopDevice {
    fn drop(&mut self) {
        if !self.device.as_os_str().is_empty()
            && let Err(error) = run!["rloop", "detach", &self.device]
        {
            println!("{error:#}");
        }
    }
}

/// A device's counters at some moment, or what they grew by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// One of them.
    pub(crate) fn of(&self, name: &str) -> Result<u64> {
        let value = self.0.get(name).copied();
        value.with_context(|| format!("the module has no counter {name}"))
    }

    /// What they have grown by since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let grown = self.0.iter().map(|(name, value)| {
            let old = before.0.get(name).copied().unwrap_or(0);
            (name.clone(), value.saturating_sub(old))
        });
        Self(grown.collect())
    }
}
