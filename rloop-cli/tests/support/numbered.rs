//! A loop device with a number that nobody else gets.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Named, run, wait_until};

const LOOP_CTL_ADD: libc::c_ulong = 0x4c80;
const LOOP_CTL_REMOVE: libc::c_ulong = 0x4c81;

/// A loop device that can be attached again and again: those who ask for a free one get the lowest
/// number there is. Dropping it removes it.
pub struct Numbered {
    number: u32,
    name: String,
    path: PathBuf,
}

impl Numbered {
    /// Makes one. Its number is far from those that others get.
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        const OF_ONE_PROCESS: u32 = 100;
        let process = std::process::id() % 500;
        let made = MADE.fetch_add(1, Ordering::Relaxed) % OF_ONE_PROCESS;
        let number = 10_000 + process * OF_ONE_PROCESS + made;
        control(LOOP_CTL_ADD, number).expect("adds a loop device");
        let name = format!("loop{number}");
        let path = Path::new("/dev").join(&name);
        assert!(wait_until(|| path.exists()), "{} appears", path.display());
        Self { number, name, path }
    }

    /// Attaches `file`, with direct I/O.
    pub fn attach(&self, file: &Path) {
        run(Command::new("losetup")
            .arg("--direct-io=on")
            .args([&self.path, file]));
    }

    /// Detaches it.
    pub fn detach(&self) {
        run(Command::new("losetup").arg("--detach").arg(&self.path));
        let mark = format!("/sys/block/{}/loop/backing_file", self.name);
        assert!(wait_until(|| !Path::new(&mark).exists()), "detaches");
    }

    /// Path of the device.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Named for Numbered {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        // It is not attached any more, if all went well.
        let detach = || {
            Command::new("losetup")
                .arg("--detach")
                .arg(&self.path)
                .output()
        };
        let gone = wait_until(|| {
            let _ = detach();
            control(LOOP_CTL_REMOVE, self.number).is_ok()
        });
        if !gone {
            eprintln!("{} stays", self.path.display());
        }
    }
}

fn control(request: libc::c_ulong, number: u32) -> std::io::Result<()> {
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")?;
    // SAFETY: both requests take a number.
    match unsafe { libc::ioctl(control.as_raw_fd(), request, libc::c_ulong::from(number)) } {
        result if result < 0 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}
