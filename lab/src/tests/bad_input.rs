//! Requests that nobody should make are refused, each with the errno that says why, and leave nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::control::{Control, abi, attach_of, command, devices};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![
        super::of_module("bad_attach_is_refused", bad_attach),
        super::of_module("bad_descriptor_is_refused", bad_descriptor),
        super::of_module("bad_request_is_refused", bad_request),
        super::of_module("nobody_else_may_control", nobody_else),
    ]
}

const MIB: u64 = 1 << 20;

/// Fails unless a request was refused in this way.
fn refused(what: &str, result: io::Result<()>, errno: i32) -> Result<()> {
    let got = result.err().and_then(|error| error.raw_os_error());
    ensure!(
        got == Some(errno),
        "{what}: errno {got:?} instead of {errno}"
    );
    Ok(())
}

fn bad_attach(guest: &mut Guest) -> Result<()> {
    type Spoil = fn(&mut abi::Attach);
    let cases: [(&str, i32, Spoil); 20] = [
        ("version 0", libc::EPROTO, |a| a.version = 0),
        ("version 2", libc::EPROTO, |a| a.version = 2),
        ("flag 4", libc::EINVAL, |a| a.flags = 4),
        ("all flags", libc::EINVAL, |a| a.flags = u32::MAX),
        ("block size 1", libc::EINVAL, |a| a.block_size = 1),
        ("block size 256", libc::EINVAL, |a| a.block_size = 256),
        ("block size 513", libc::EINVAL, |a| a.block_size = 513),
        ("block size 8192", libc::EINVAL, |a| a.block_size = 8192),
        ("largest block size", libc::EINVAL, |a| {
            a.block_size = u32::MAX
        }),
        ("offset 1", libc::EINVAL, |a| a.offset = 1),
        ("offset within a block", libc::EINVAL, |a| {
            (a.block_size, a.offset) = (4096, 512)
        }),
        ("negative offset", libc::EINVAL, |a| {
            a.offset = u64::MAX - 511
        }),
        ("offset at the end", libc::ENOSPC, |a| a.offset = 4 * MIB),
        ("offset beyond the end", libc::ENOSPC, |a| {
            a.offset = 1 << 62
        }),
        ("size limit below a block", libc::ENOSPC, |a| {
            a.size_limit = 511
        }),
        ("fill 2", libc::EINVAL, |a| a.fill = 2),
        ("commit 2", libc::EINVAL, |a| a.commit = 2),
        ("index", libc::EINVAL, |a| a.index = 1),
        ("reserved", libc::EINVAL, |a| a.reserved = 1),
        ("negative descriptor", libc::EBADF, |a| a.fd = -1),
    ];
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let file = File::open(below.sparse_file("disk.img", 4 * MIB)?)?;
    let control = Control::open()?;
    for (what, errno, spoil) in cases {
        let mut attach = attach_of(&file);
        spoil(&mut attach);
        refused(what, control.ask(abi::ATTACH, &mut attach), errno)?;
        ensure!(devices()?.is_empty(), "{what}: it left a device");
        ensure!(
            attach.version == abi::VERSION || errno != libc::EPROTO,
            "it does not tell its version"
        );
    }
    // What is odd, but allowed.
    let allowed: [(&str, u64, Spoil); 4] = [
        ("limit beyond the end", 4 * MIB, |a| a.size_limit = u64::MAX),
        ("odd limit", 1024, |a| a.size_limit = 1025),
        ("last sector", 512, |a| a.offset = 4 * MIB - 512),
        ("large blocks", MIB, |a| {
            (a.block_size, a.offset) = (4096, 3 * MIB)
        }),
    ];
    for (what, bytes, spoil) in allowed {
        let mut attach = attach_of(&file);
        spoil(&mut attach);
        control.ask(abi::ATTACH, &mut attach).context(what)?;
        let size = control.status(attach.index)?.size;
        control.detach(attach.index)?;
        ensure!(size == bytes, "{what}: the device has {size} bytes");
    }
    drop(file);
    below.unmount_and_check()
}

fn bad_descriptor(guest: &mut Guest) -> Result<()> {
    let disk = guest.scratch(0)?.to_owned();
    let below = Filesystem::make(Kind::Xfs, &disk)?;
    let path = below.sparse_file("disk.img", 4 * MIB)?;
    let (fifo, empty) = (below.path().join("fifo"), below.sparse_file("empty", 0)?);
    crate::command::run!["mkfifo", &fifo]?;
    let control = Control::open()?;
    let open =
        |path: &Path, flags: i32| OpenOptions::new().read(true).custom_flags(flags).open(path);
    let cases = [
        ("a directory", libc::EINVAL, open(below.path(), 0)?),
        ("a disk", libc::EINVAL, open(&disk, 0)?),
        (
            "a character device",
            libc::EINVAL,
            open(Path::new("/dev/zero"), 0)?,
        ),
        ("a pipe", libc::EINVAL, open(&fifo, libc::O_NONBLOCK)?),
        ("a path only", libc::EBADF, open(&path, libc::O_PATH)?),
        ("an empty file", libc::ENOSPC, open(&empty, 0)?),
        (
            "a file for writing only",
            libc::EBADF,
            File::options().write(true).open(&path)?,
        ),
    ];
    for (what, errno, file) in &cases {
        refused(what, control.attach(file).map(drop), *errno)?;
    }
    let mut closed = attach_of(&File::open(&path)?);
    refused(
        "a closed descriptor",
        control.ask(abi::ATTACH, &mut closed),
        libc::EBADF,
    )?;
    let mut itself = attach_of(&File::open("/dev/rloop-control")?);
    itself.fd = File::open("/dev/rloop-control")?.as_raw_fd();
    ensure!(
        control.ask(abi::ATTACH, &mut itself).is_err(),
        "the control device was attached"
    );
    ensure!(devices()?.is_empty(), "a device was left");
    drop(cases);
    below.unmount_and_check()
}

fn bad_request(guest: &mut Guest) -> Result<()> {
    let below = Filesystem::make(Kind::Xfs, guest.scratch(0)?)?;
    let path = below.written_file("disk.img", 4 * MIB)?;
    let attached = RloopDevice::attach(&path, Mode::DEFAULT)?;
    attached.wait_for_provider("layout")?;
    // The map has something to tell.
    crate::command::run![
        "dd",
        format!("if={}", attached.device().display()),
        "of=/dev/null",
        "iflag=direct",
        "bs=1M"
    ]?;
    let index = devices()?.first().copied().context("there is no device")?;
    let control = Control::open()?;
    bad_maps(&control, index)?;
    for index in [index + 1, 1 << 20, u32::MAX] {
        let mut map = abi::Map {
            index,
            ..map_of(index)
        };
        refused(
            "the map of no device",
            control.ask(abi::MAP, &mut map),
            libc::ENXIO,
        )?;
        refused(
            "the status of no device",
            control.status(index).map(drop),
            libc::ENXIO,
        )?;
        refused("detach of no device", control.detach(index), libc::ENXIO)?;
        let mut device = abi::Device {
            version: abi::VERSION,
            index,
        };
        refused(
            "resize of no device",
            control.ask(abi::RESIZE, &mut device),
            libc::ENXIO,
        )?;
    }
    let mut old = abi::Device { version: 0, index };
    refused(
        "detach of another version",
        control.ask(abi::DETACH, &mut old),
        libc::EPROTO,
    )?;
    refused(
        "a null pointer",
        control.raw(command(abi::STATUS, size_of::<abi::Status>()), 0),
        libc::EFAULT,
    )?;
    let kernel = 0xffff_8880_0000_0000;
    refused(
        "a kernel's pointer",
        control.raw(command(abi::STATUS, size_of::<abi::Status>()), kernel),
        libc::EFAULT,
    )?;
    for bad in [
        0,
        1,
        command(5, 8),
        command(abi::DETACH, 4),
        command(abi::ATTACH, 8),
        0x5401,
    ] {
        let mut bytes = [0_u8; 1024];
        refused(
            &format!("command {bad:#x}"),
            control.raw(bad, bytes.as_mut_ptr() as u64),
            libc::ENOTTY,
        )?;
    }
    attached.detach()?;
    below.unmount_and_check()
}

fn map_of(index: u32) -> abi::Map {
    abi::Map {
        version: abi::VERSION,
        index,
        ..Default::default()
    }
}

fn bad_maps(control: &Control, index: u32) -> Result<()> {
    let mut room = vec![abi::Extent::default(); 16];
    let extents = room.as_mut_ptr() as u64;
    let mut good = abi::Map {
        extents,
        count: 16,
        ..map_of(index)
    };
    control.ask(abi::MAP, &mut good)?;
    ensure!(
        good.count > 0 && good.start == u64::MAX,
        "the map is empty or has no end: {good:?}"
    );
    let cases = [
        (
            "too many",
            libc::EINVAL,
            abi::Map {
                extents,
                count: abi::MAP_MOST + 1,
                ..map_of(index)
            },
        ),
        (
            "reserved",
            libc::EINVAL,
            abi::Map {
                extents,
                count: 1,
                reserved: 1,
                ..map_of(index)
            },
        ),
        (
            "a null pointer",
            libc::EFAULT,
            abi::Map {
                count: 1,
                ..map_of(index)
            },
        ),
        (
            "a kernel's pointer",
            libc::EFAULT,
            abi::Map {
                extents: 1 << 63,
                count: 1,
                ..map_of(index)
            },
        ),
        (
            "a pointer that wraps",
            libc::EFAULT,
            abi::Map {
                extents: u64::MAX - 8,
                count: 16,
                ..map_of(index)
            },
        ),
    ];
    for (what, errno, mut map) in cases {
        refused(
            &format!("a map: {what}"),
            control.ask(abi::MAP, &mut map),
            errno,
        )?;
    }
    for start in [1, 4 * MIB, 1 << 62, u64::MAX - 1, u64::MAX] {
        let mut map = abi::Map {
            extents,
            count: 16,
            start,
            ..map_of(index)
        };
        control
            .ask(abi::MAP, &mut map)
            .with_context(|| format!("a map from {start} on"))?;
        ensure!(
            start < 4 * MIB || map.count == 0,
            "a map from {start} on has {} extents",
            map.count
        );
    }
    let mut none = map_of(index);
    control.ask(abi::MAP, &mut none)?;
    ensure!(
        none.count == 0 && none.start == 0,
        "a map with no room: {none:?}"
    );
    Ok(())
}

/// Without CAP_SYS_ADMIN nothing can be asked, whoever opened the control device.
fn nobody_else(_guest: &mut Guest) -> Result<()> {
    let control = Control::open()?;
    let ask_all = move || -> Result<()> {
        drop_sys_admin()?;
        for number in abi::ATTACH..=abi::RESIZE + 1 {
            let mut bytes = [0_u8; 1024];
            for size in [
                8,
                size_of::<abi::Attach>(),
                size_of::<abi::Status>(),
                size_of::<abi::Map>(),
            ] {
                let asked = control.raw(command(number, size), bytes.as_mut_ptr() as u64);
                refused(&format!("command {number}"), asked, libc::EPERM)?;
            }
        }
        Ok(())
    };
    thread::spawn(ask_all)
        .join()
        .map_err(|_| anyhow!("the thread panicked"))??;
    let mode = std::fs::metadata("/dev/rloop-control")?
        .permissions()
        .mode();
    ensure!(
        mode & 0o077 == 0,
        "others may open the control device: mode {mode:o}"
    );
    Ok(())
}

/// Takes the capability away from this thread.
fn drop_sys_admin() -> Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_ADMIN: u32 = 21;
    let header = [VERSION_3, 0];
    // Effective, permitted, inheritable, of the capabilities from 0 and from 32 on.
    let mut sets = [0_u32; 6];
    // SAFETY: The two structures are as capget(2) and capset(2) have them.
    let done = unsafe {
        let got = libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr());
        sets[0] &= !(1 << SYS_ADMIN);
        if got < 0 {
            got
        } else {
            libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr())
        }
    };
    ensure!(
        done == 0,
        "could not drop a capability: {}",
        io::Error::last_os_error()
    );
    Ok(())
}
