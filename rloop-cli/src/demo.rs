//! A loop device to look at: a sparse file, a device on it, and a process that works on it.
//!
//! Nothing stays behind: dropping a [`Demo`] ends the process, detaches the device and removes
//! the file. After a kill -9 the kernel ends the process and detaches the device, and the next
//! start removes the file.

pub mod workload;

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::capability::{self, Refusal};
use crate::device::backing::dio_align_bytes;
use crate::device::control::{AttachOptions, Attached, attach, detach};
use crate::device::{LoopDevice, list};
use crate::scratch::{Family, Scratch};

/// The hidden subcommand that runs the workload; the device's path follows.
pub const WORKLOAD_COMMAND: &str = "demo-workload";

/// Size of the file that the device shows, bytes.
const FILE_BYTES: u64 = 256 << 20;

/// What the filesystem must have free beyond that, bytes.
const SPARE_BYTES: u64 = 64 << 20;

/// What its files are called.
const FILES: Family = Family {
    prefix: "rloop-demo",
    suffix: ".img",
};

const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58F6;

/// Why the demonstration could not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nowhere to put the file.
    #[error("no place for the demo's file: {0}; set TMPDIR to a folder on a disk")]
    NoPlace(String),
    /// Something failed.
    #[error("the demo could not {what}: {error}")]
    Failed {
        /// What was being done, and on what.
        what: String,
        /// Why it failed.
        error: io::Error,
    },
}

/// How to start a demonstration.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Where to put the file; the first fitting one is taken.
    pub folders: Vec<PathBuf>,
    /// The program that runs the workload.
    pub program: PathBuf,
    /// Its arguments, before the device's path.
    pub arguments: Vec<OsString>,
}

impl Default for DemoOptions {
    /// `$TMPDIR`, then `/var/tmp`; this program with [`WORKLOAD_COMMAND`].
    fn default() -> Self {
        let own = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
        let folders = own
            .map(PathBuf::from)
            .into_iter()
            .chain(["/var/tmp".into()])
            .collect();
        // Not current_exe: this works even if the file was replaced since.
        let program = "/proc/self/exe".into();
        Self {
            folders,
            program,
            arguments: vec![WORKLOAD_COMMAND.into()],
        }
    }
}

/// A running demonstration.
#[derive(Debug)]
pub struct Demo {
    child: Child,
    device: Option<Attached>,
    file: Scratch,
}

impl Demo {
    /// Removes what earlier ones left, and starts. To be called on a thread that lives as long
    /// as the program: the workload ends with the thread that started it.
    pub fn start() -> Result<Self, DemoError> {
        Self::start_with(&DemoOptions::default())
    }

    /// As [`start`](Self::start), with options.
    pub fn start_with(options: &DemoOptions) -> Result<Self, DemoError> {
        capability::check_attach()?;
        // What cannot be cleaned does not keep a new one from starting.
        let _ = cleanup_leftovers(&options.folders);
        let folder = place(&options.folders)?;
        let failed = |what: String| move |error| DemoError::Failed { what, error };
        let making = format!("make a file in {}", folder.display());
        let file = Scratch::sparse(&folder, FILES, FILE_BYTES).map_err(failed(making))?;
        let attaching = format!("attach {} to a loop device", file.path().display());
        let block_bytes = dio_align_bytes(file.file()).unwrap_or(0);
        let settings = AttachOptions {
            direct_io: true,
            autoclear: true,
            block_bytes: if block_bytes > 512 { block_bytes } else { 0 },
            ..AttachOptions::default()
        };
        let device = attach(file.path(), &settings).map_err(failed(attaching))?;
        let child = spawn(options, device.path()).map_err(failed("start its workload".into()))?;
        Ok(Self {
            child,
            device: Some(device),
            file,
        })
    }

    /// Name of the device, without `/dev/`.
    pub fn device_name(&self) -> &str {
        self.device.as_ref().map_or("", Attached::name)
    }

    /// Path of the file.
    pub fn file_path(&self) -> &Path {
        self.file.path()
    }

    /// Process number of the workload.
    pub fn workload_pid(&self) -> u32 {
        self.child.id()
    }

    /// Why the workload ended, if it did; it should not.
    pub fn workload_failure(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // The status alone has to do if it said nothing.
            let _ = stderr.read_to_string(&mut text);
        }
        Some(
            format!("the demo's workload ended ({status}) {}", text.trim())
                .trim()
                .to_owned(),
        )
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself; then both of these say so and there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Before the file: a device must not be left on a file that has no name.
        drop(self.device.take());
    }
}

/// Removes files in `folders`, and detaches loop devices, that a killed demo left. Says what it
/// removed. What belongs to a demo that runs, or to somebody else, is left alone.
pub fn cleanup_leftovers(folders: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for device in list()? {
        if is_orphan(&device) {
            // Still in use by somebody: then its file stays, too.
            if detach(&device).is_ok() {
                removed.push(Path::new("/dev").join(&device.name));
                let folder = device.path.parent().unwrap_or(Path::new("/"));
                removed.extend(FILES.clean(folder)?);
            }
        }
    }
    for folder in folders {
        removed.extend(FILES.clean(folder)?);
    }
    Ok(removed)
}

/// A device on a demo's file that nobody holds the lock of.
fn is_orphan(device: &LoopDevice) -> bool {
    let Some(pid) = FILES.owner(&device.path) else {
        return false;
    };
    if device.deleted {
        // Its lock is out of reach; a process of that number may be another one, so be careful.
        return !Path::new("/proc").join(pid.to_string()).exists();
    }
    FILES.is_abandoned(&device.path)
}

fn spawn(options: &DemoOptions, device: &Path) -> io::Result<Child> {
    let mut command = Command::new(&options.program);
    command.args(&options.arguments).arg(device);
    command.env(workload::PARENT_VARIABLE, std::process::id().to_string());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // Ctrl-C is for the dashboard, which then ends the workload.
    command.process_group(0).spawn()
}

/// The first folder that is on a disk and has room.
fn place(folders: &[PathBuf]) -> Result<PathBuf, DemoError> {
    let mut reasons = Vec::new();
    for folder in folders {
        match fits(folder) {
            Ok(()) => return Ok(folder.clone()),
            Err(why) => reasons.push(format!("{} {why}", folder.display())),
        }
    }
    Err(DemoError::NoPlace(reasons.join(", ")))
}

fn fits(folder: &Path) -> Result<(), String> {
    let stat = rustix::fs::statfs(folder).map_err(|error| format!("({error})"))?;
    let (magic, block_bytes) = (stat.f_type as i64, stat.f_bsize as u64);
    if matches!(magic, TMPFS_MAGIC | RAMFS_MAGIC) {
        return Err("is in memory, not on a disk".into());
    }
    let (free, needed) = (stat.f_bavail * block_bytes, FILE_BYTES + SPARE_BYTES);
    if free < needed {
        return Err(format!(
            "has {} MiB free of the {} MiB needed",
            free >> 20,
            needed >> 20
        ));
    }
    Ok(())
}
