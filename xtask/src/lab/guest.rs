//! The guest machine: QEMU, emulating, on the lab's disk. Nothing it writes stays.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::folder::Folder;
use super::project::Project;
use crate::succeed;

/// Empty disks for tests.
const SCRATCH_DISKS: usize = 4;
const SCRATCH_BYTES: u64 = 4 << 30;

/// How much of the kernel's log is shown when something failed.
const TAIL_LINES: usize = 40;

/// Mounts the project's disk and goes on with what is on it. The kernel could open no console, as
/// there was none yet. It has NVMe built in, so the root is there; virtio disks come with a module.
const FIRST: &str = "mount -t devtmpfs dev /dev; modprobe -a virtio_pci virtio_blk; mount -o ro /dev/vda /lab; \
                     exec /lab/init </dev/console >/dev/console 2>&1";

/// What a guest's clock goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// This machine's time.
    Time,
    /// Its own instructions: each takes a nanosecond, whatever else this machine does. It has one processor.
    Instructions,
}

/// How a guest ended.
pub(super) enum End {
    /// Its command ended with this status, and it powered off.
    Status(u8),
    /// It went away in the middle.
    Died,
}

/// A running guest.
pub(super) struct Guest {
    child: Child,
    log: File,
    status: File,
    _disks: Vec<File>,
    _input: Option<ChildStdin>,
}

impl Guest {
    /// Boots one. Its output goes to `output`.
    pub(super) fn boot(folder: &Folder, project: &Project, output: Stdio) -> Result<Self> {
        Self::boot_by(Clock::Time, folder, project, output)
    }

    /// The same, with another clock.
    fn boot_by(clock: Clock, folder: &Folder, project: &Project, output: Stdio) -> Result<Self> {
        let (log, status) = (unnamed(0)?, unnamed(0)?);
        let root = File::open(folder.disk()).context("the lab's folder has no disk")?;
        let mut disks = vec![root, project.disk.try_clone()?];
        for _ in 0..SCRATCH_DISKS {
            disks.push(unnamed(SCRATCH_BYTES)?);
        }
        let mut qemu = folder.chroot().command("qemu-system-x86_64");
        machine(&mut qemu, clock, folder, project);
        for (number, disk) in disks.iter().enumerate() {
            attach(&mut qemu, number, &inherited(disk)?);
        }
        for (id, file) in [("log", &log), ("status", &status)] {
            let path = inherited(file)?;
            qemu.args(["-chardev", &format!("file,id={id},path={path}")]);
        }
        let mut child = qemu
            .stdout(output)
            .spawn()
            .context("could not start QEMU")?;
        let (_disks, _input) = (disks, child.stdin.take());
        Ok(Self {
            child,
            log,
            status,
            _disks,
            _input,
        })
    }

    /// Its output, if that was to be piped.
    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it has ended.
    pub(super) fn wait(&mut self) -> Result<End> {
        self.child.wait()?;
        let mut text = String::new();
        self.status.rewind()?;
        self.status.read_to_string(&mut text)?;
        Ok(text.trim().parse().map_or(End::Died, End::Status))
    }

    /// Waits until it has ended or the time is over. `None`: it is still running.
    fn wait_for(&mut self, limit: Duration) -> Result<Option<End>> {
        const PAUSE: Duration = Duration::from_millis(50);
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > limit {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
        self.wait().map(Some)
    }

    /// Pulls the plug.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of its kernel's log.
    pub(super) fn log_tail(&self) -> Result<String> {
        let mut bytes = vec![0; usize::try_from(self.log.metadata()?.len())?];
        self.log.read_exact_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        Ok(lines[skipped..].join("\n"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // One that has ended is past killing.
        let _ = self.kill();
    }
}

/// Runs what the project's disk says and gives its status.
pub(super) fn batch(
    clock: Clock,
    folder: &Folder,
    project: &Project,
    limit: Duration,
) -> Result<u8> {
    const DIED: u8 = 125;
    const STUCK: u8 = 124;
    let mut guest = Guest::boot_by(clock, folder, project, Stdio::inherit())?;
    let (status, why) = match guest.wait_for(limit)? {
        Some(End::Status(0)) => return Ok(0),
        Some(End::Status(status)) => (status, format!("the command failed ({status})")),
        Some(End::Died) => (DIED, "the guest died".into()),
        None => {
            guest.kill()?;
            (
                STUCK,
                format!("the guest was stopped after {} s", limit.as_secs()),
            )
        }
    };
    eprintln!(
        "xtask: {why}; the end of its kernel's log:\n{}",
        guest.log_tail()?
    );
    Ok(status)
}

/// Runs what the project's disk says, and gives what it printed and its status.
pub(super) fn output_of(folder: &Folder, project: &Project) -> Result<(String, u8)> {
    let mut guest = Guest::boot(folder, project, Stdio::piped())?;
    let mut output = String::new();
    let mut told = guest.output().context("QEMU has no output")?;
    told.read_to_string(&mut output)?;
    match guest.wait()? {
        End::Status(status) => Ok((output, status)),
        End::Died => bail!("the guest died:\n{}", guest.log_tail()?),
    }
}

/// Gives the user a shell in the guest.
pub(super) fn interactive(folder: &Folder, project: &Project) -> Result<()> {
    let mut guest = Guest::boot(folder, project, Stdio::inherit())?;
    match guest.wait()? {
        End::Status(_) => {}
        End::Died => eprintln!("xtask: the guest died:\n{}", guest.log_tail()?),
    }
    // QEMU has changed the terminal, and may not have changed it back.
    succeed(Command::new("stty").arg("sane"))
}

/// The machine without its disks.
fn machine(qemu: &mut Command, clock: Clock, folder: &Folder, project: &Project) {
    // The only NVMe disk is 259:0; its name depends on what is probed first.
    let mut words = "console=ttyS0 panic=-1 root=259:0 rootwait rw init=/bin/sh".to_owned();
    if project.is_shell {
        words += " lab.shell";
        qemu.stdin(Stdio::inherit());
    } else {
        // At the end of its input QEMU would close the port, and the guest could not write to it.
        qemu.stdin(Stdio::piped());
    }
    // KASAN keeps an eighth of it, and lockdep its graph.
    let memory = if folder.is_debug() { "4G" } else { "2G" };
    let device = if project.is_shell {
        "virtconsole"
    } else {
        "virtserialport"
    };
    qemu.args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
    ])
    .args(match clock {
        Clock::Time => ["-accel", "tcg,thread=multi", "-smp", "2"].as_slice(),
        Clock::Instructions => {
            ["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1"].as_slice()
        }
    })
    .args(["-cpu", "max", "-m", memory])
    .args(["-kernel", &folder.kernel().image()])
    .args(["-append", &format!("{words} -- -c \"{FIRST}\"")])
    .args(["-serial", "chardev:log"])
    .args(["-chardev", "stdio,id=output,signal=off"])
    .args(["-device", "virtio-serial-pci"])
    .args(["-device", &format!("{device},chardev=output,name=output")])
    .args(["-device", "virtserialport,chardev=status,name=status"])
    .args(["-device", "nvme,id=nvme,serial=lab"]);
}

/// The first disk is the root, the second the project's, the others are for tests. An error of this machine's, such as
/// a full disk, is the guest's: by itself qemu would let it stand still until there is room.
fn attach(qemu: &mut Command, number: usize, path: &str) {
    let (options, device) = match number {
        0 => ("snapshot=on", "nvme,serial=root".into()),
        1 => ("read-only=on", "virtio-blk-pci,serial=project".into()),
        _ => (
            "cache=unsafe,discard=unmap",
            format!("virtio-blk-pci,serial=scratch{}", number - 2),
        ),
    };
    let drive = format!("if=none,id=disk{number},format=raw,file={path},{options},werror=report");
    let device = format!("{device},drive=disk{number}");
    qemu.args(["-drive", &drive, "-device", &device]);
}

/// A file without a name: it is gone with the last that has it open, however that ends.
pub(super) fn unnamed(bytes: u64) -> Result<File> {
    let file = tempfile::tempfile().context("could not make a temporary file")?;
    file.set_len(bytes)?;
    Ok(file)
}

/// Lets the programs that we start have the file, and gives the name by which they open it.
pub(super) fn inherited(file: &File) -> Result<String> {
    rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty())?;
    Ok(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
