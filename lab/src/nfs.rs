//! The kernel's NFS server and client, in this machine. Programs for that are not needed: what they would tell the
//! server is written into its files.

use std::ffi::CString;
use std::fs;
use std::mem::zeroed;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::run;

const FILES: &str = "/proc/fs/nfsd";
const CACHES: &str = "/proc/net/rpc";
const PLACE: &str = "/run/lab/nfs";

/// A folder of this machine, exported, and mounted from here. Both end when this goes.
pub(crate) struct Nfs;

impl Nfs {
    /// Whether this kernel has both ends.
    pub(crate) fn is_there() -> bool {
        ["nfsd", "nfsv4"]
            .iter()
            .all(|module| run!["modprobe", module].is_ok())
    }

    /// Exports a folder, which is the root of a filesystem, and mounts it.
    pub(crate) fn export(folder: &Path) -> Result<Self> {
        loopback_up().context("the loopback interface")?;
        run!["mount", "-t", "nfsd", "nfsd", FILES]?;
        let server = Self;
        // Older versions would want more programs.
        tell("versions", "-3 +4.2")?;
        // The shortest one that the server takes.
        tell("nfsv4leasetime", "10")?;
        tell("nfsv4gracetime", "10")?;
        let (folder, forever) = (folder.display(), i32::MAX);
        // The client, what it may see, and by which number it asks for that: its root is 0. The flags: any port,
        // known by that number, and no look at the folders above a file.
        const FLAGS: u32 = 0x2 | 0x2000 | 0x400;
        teach("auth.unix.ip", &format!("nfsd 127.0.0.1 {forever} *"))?;
        teach(
            "nfsd.export",
            &format!("* {folder} {forever} {FLAGS} -2 -2 0"),
        )?;
        teach("nfsd.fh", &format!("* 1 \\x00000000 {forever} {folder}"))?;
        tell("portlist", "tcp 2049")?;
        tell("threads", "2")?;
        server.wait_for_grace()?;
        fs::create_dir_all(PLACE)?;
        let options = "vers=4.2,addr=127.0.0.1,clientaddr=127.0.0.1";
        run![
            "mount",
            "--internal-only",
            "-t",
            "nfs4",
            "-o",
            options,
            "127.0.0.1:/",
            PLACE
        ]?;
        Ok(server)
    }

    /// A file of the exported folder, as a client sees it.
    pub(crate) fn path(&self, name: &Path) -> PathBuf {
        Path::new(PLACE).join(name)
    }

    /// Until then the server opens nothing: clients of one that ran before could claim it.
    fn wait_for_grace(&self) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(60);
        let begun = Instant::now();
        while !fs::read_to_string(Path::new(FILES).join("v4_end_grace"))?.starts_with('Y') {
            ensure!(begun.elapsed() < LIMIT, "the server's grace does not end");
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Nfs {
    fn drop(&mut self) {
        let ended = end();
        ended.unwrap_or_else(|error| println!("the NFS server: {error:#}"));
    }
}

fn end() -> Result<()> {
    if fs::read_to_string("/proc/self/mounts")?.contains(PLACE) {
        run!["umount", PLACE]?;
    }
    tell("threads", "0")?;
    // What it was taught before now.
    let soon = "2147483647";
    for cache in ["auth.unix.ip", "nfsd.export", "nfsd.fh"] {
        fs::write(Path::new(CACHES).join(cache).join("flush"), soon)?;
    }
    run!["umount", FILES]?;
    Ok(())
}

fn tell(file: &str, what: &str) -> Result<()> {
    fs::write(Path::new(FILES).join(file), format!("{what}\n"))
        .with_context(|| format!("the NFS server does not take {file}={what}"))
}

fn teach(cache: &str, line: &str) -> Result<()> {
    fs::write(
        Path::new(CACHES).join(cache).join("channel"),
        format!("{line}\n"),
    )
    .with_context(|| format!("the cache {cache} does not take `{line}`"))
}

/// There is no other interface, and nobody else to switch this one on.
fn loopback_up() -> Result<()> {
    // SAFETY: A socket of a kind that there is; the request is zeros but for a name that ends, and flags; both are
    // there during the calls.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        if socket < 0 {
            bail!(std::io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = zeroed();
        let name = CString::new("lo")?;
        for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) < 0 {
            bail!(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
