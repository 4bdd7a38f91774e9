//! A block device as an NVMe namespace: so a program can write with FUA and no flush after it, which a
//! block device's file does not offer.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command::run;
use crate::direct::SECTOR;

const CONFIG: &str = "/sys/kernel/config/nvmet";
const CLASS: &str = "/sys/class/nvme";
/// What the subsystem is called; there is only one at a time.
const NAME: &str = "lab";

/// The write of `nvme_passthru_cmd`, in its fields' order.
#[repr(C)]
#[derive(Default)]
struct Passthrough {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    address: u64,
    metadata_bytes: u32,
    data_bytes: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// `_IOWR('N', 0x43, struct nvme_passthru_cmd)`.
const NVME_IOCTL_IO_CMD: libc::Ioctl = 0xc048_4e43;
const WRITE: u8 = 1;
const FUA: u32 = 1 << 30;

const _: () = assert!(size_of::<Passthrough>() == 0x48);

/// A namespace on a block device. It goes when this does.
pub(crate) struct NvmeTarget {
    controller: PathBuf,
    namespace: File,
}

impl NvmeTarget {
    /// Makes it.
    pub(crate) fn on(device: &Path) -> Result<Self> {
        run!["modprobe", "-a", "nvmet", "nvme_loop"]?;
        let made = Self::make(device);
        if made.is_err() {
            take_down();
        }
        made
    }

    fn make(device: &Path) -> Result<Self> {
        let subsystem = Path::new(CONFIG).join("subsystems").join(NAME);
        let namespace = subsystem.join("namespaces/1");
        let port = Path::new(CONFIG).join("ports/1");
        fs::create_dir(&subsystem)?;
        fs::write(subsystem.join("attr_allow_any_host"), "1")?;
        fs::create_dir(&namespace)?;
        fs::write(
            namespace.join("device_path"),
            device.as_os_str().as_encoded_bytes(),
        )?;
        fs::write(namespace.join("enable"), "1")
            .with_context(|| format!("nvmet does not take {}", device.display()))?;
        fs::create_dir(&port)?;
        fs::write(port.join("addr_trtype"), "loop")?;
        symlink(&subsystem, port.join("subsystems").join(NAME))?;
        fs::write("/dev/nvme-fabrics", format!("transport=loop,nqn={NAME}"))
            .context("could not connect to the namespace")?;
        let controller = controller()?.context("there is no controller")?;
        let namespace = File::options()
            .read(true)
            .write(true)
            .open(namespace_of(&controller)?)?;
        Ok(Self {
            controller,
            namespace,
        })
    }

    /// Writes sectors with FUA.
    pub(crate) fn write_fua(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let (first, count) = (offset / SECTOR as u64, bytes.len() / SECTOR);
        let mut command = Passthrough {
            opcode: WRITE,
            namespace: 1,
            address: bytes.as_mut_ptr() as u64,
            data_bytes: bytes.len() as u32,
            cdw10: first as u32,
            cdw11: (first >> 32) as u32,
            cdw12: (count as u32 - 1) | FUA,
            ..Passthrough::default()
        };
        let file = self.namespace.as_raw_fd();
        // SAFETY: The command's buffer is `bytes`, which outlives the call.
        let status = unsafe { libc::ioctl(file, NVME_IOCTL_IO_CMD, &raw mut command) };
        match status {
            0 => Ok(()),
            ..0 => Err(io::Error::last_os_error()),
            status => Err(io::Error::other(format!("NVMe status {status:#x}"))),
        }
    }
}

impl Drop for NvmeTarget {
    fn drop(&mut self) {
        if let Err(error) = fs::write(self.controller.join("delete_controller"), "1") {
            println!(
                "could not disconnect {}: {error}",
                self.controller.display()
            );
        }
        take_down();
    }
}

/// The controller that is connected to the subsystem.
fn controller() -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(CLASS)? {
        let path = entry?.path();
        let name = fs::read_to_string(path.join("subsysnqn")).unwrap_or_default();
        if name.trim() == NAME {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The namespace's device; it appears a while after its controller.
fn namespace_of(controller: &Path) -> Result<PathBuf> {
    const LIMIT: Duration = Duration::from_secs(20);
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        for entry in fs::read_dir("/sys/block")? {
            let name = entry?.file_name();
            let subsystem = Path::new("/sys/block").join(&name).join("device/subsysnqn");
            let is_path = name
                .to_string_lossy()
                .trim_start_matches("nvme")
                .contains('c');
            let device = Path::new("/dev").join(&name);
            let is_ours = fs::read_to_string(subsystem).is_ok_and(|text| text.trim() == NAME);
            if is_ours && !is_path && device.exists() {
                return Ok(device);
            }
        }
        sleep(Duration::from_millis(20));
    }
    bail!("{} has no namespace", controller.display())
}

/// Removes what there is of the configuration.
fn take_down() {
    let config = Path::new(CONFIG);
    let subsystem = config.join("subsystems").join(NAME);
    let _ = fs::remove_file(config.join("ports/1/subsystems").join(NAME));
    let _ = fs::write(subsystem.join("namespaces/1/enable"), "0");
    for folder in [
        subsystem.join("namespaces/1"),
        subsystem,
        config.join("ports/1"),
    ] {
        if let Err(error) = fs::remove_dir(&folder) {
            println!("could not remove {}: {error}", folder.display());
        }
    }
}
