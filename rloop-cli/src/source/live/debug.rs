//! What the probes say of themselves: why something was not counted as it should be.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use aya::Ebpf;
use aya_log::EbpfLogger;
use jiff::Timestamp;
use log::{Level, Log, Metadata, Record};

use crate::source::SourceError;

/// The probes' frozen global that says which messages are sent.
pub(super) const LEVEL: &str = aya_log::LEVEL;
/// The map that carries them.
pub(super) const RING: &str = "AYA_LOGS";
/// Bytes of the ring while nothing is sent: the least there can be on any machine.
pub(super) const RING_UNUSED_BYTES: u32 = 64 << 10;
/// Bytes of the ring: some ten thousand messages an interval.
pub(super) const RING_BYTES: u32 = 2 << 20;

/// Where the probes' messages go.
#[derive(Clone, Debug)]
pub enum DebugLog {
    /// To standard error.
    Stderr,
    /// To a file, behind what is there.
    File(Arc<File>),
}

impl DebugLog {
    /// Opens the log in the user's folder for such things, and tells where it is.
    pub fn in_state_folder() -> io::Result<(Self, PathBuf)> {
        let absolute = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let folder = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .ok_or_else(|| io::Error::other("neither XDG_STATE_HOME nor HOME names a folder"))?;
        let path = folder.join("rloop/top.log");
        Ok((Self::append(&path)?, path))
    }

    /// Opens a log file, and makes it and its folder if need be.
    pub fn append(path: &Path) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(named)?;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path);
        file.map(|file| Self::File(file.into())).map_err(named)
    }
}

impl Log for DebugLog {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        let level = match record.level() {
            Level::Error | Level::Warn => "warning",
            Level::Info | Level::Debug | Level::Trace => "note",
        };
        self.line(&format!("{level}: {}", record.args()));
    }

    fn flush(&self) {}
}

impl DebugLog {
    fn line(&self, text: &str) {
        let line = format!("{} probes: {text}\n", Timestamp::now());
        // With nobody to read it, there is nobody to tell that.
        let _ = match self {
            Self::Stderr => io::stderr().write_all(line.as_bytes()),
            Self::File(file) => (&mut &**file).write_all(line.as_bytes()),
        };
    }
}

/// Reads the probes' messages.
pub(super) struct Messages {
    logger: EbpfLogger<DebugLog>,
    log: DebugLog,
}

impl Messages {
    /// Takes the ring out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf, log: DebugLog) -> Result<Self, SourceError> {
        let logger = EbpfLogger::init_with_logger(ebpf, log.clone())
            .map_err(|error| SourceError(format!("cannot read what the probes say: {error}")))?;
        Ok(Self { logger, log })
    }

    /// Tells which device the messages call `slot`.
    pub(super) fn name(&self, slot: u32, device: &str) {
        self.log.line(&format!("device {slot} is {device}"));
    }

    /// Writes those that came since.
    pub(super) fn write(&mut self) {
        self.logger.flush();
    }
}
