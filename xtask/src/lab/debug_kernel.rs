//! `cargo xtask lab kernel`: a kernel that finds mistakes, from the stock kernel's source.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use super::chroot::{Chroot, succeed};
use super::folder::Folder;
use super::kernel::{Kernel, debug_make};

/// What is switched on. What the guest boots from is built in: its disk has only the stock
/// kernel's modules.
const ON: &[&str] = &[
    "DEBUG_ATOMIC_SLEEP",
    "DEBUG_INFO_NONE",
    "DEBUG_KMEMLEAK",
    "DEBUG_LIST",
    "DEBUG_OBJECTS",
    "DEBUG_OBJECTS_FREE",
    "DEBUG_OBJECTS_RCU_HEAD",
    "DEBUG_OBJECTS_WORK",
    "FAILSLAB",
    "FAIL_IO_TIMEOUT",
    "FAIL_MAKE_REQUEST",
    "FAIL_PAGE_ALLOC",
    "FAULT_INJECTION",
    "FAULT_INJECTION_DEBUG_FS",
    "KASAN",
    "KASAN_GENERIC",
    "KERNEL_GZIP",
    "PROVE_LOCKING",
    "VIRTIO_BLK",
];

/// What is switched off: hardware and uses that the guest does not have, which would take most of
/// the time to build; and what needs keys that only Debian has.
const OFF: &[&str] = &[
    "AGP",
    "ATA",
    "CPU_FREQ",
    "CRASH_DUMP",
    "CXL_BUS",
    "DEBUG_INFO_BTF",
    "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT",
    "DRM",
    "EDAC",
    "EFI",
    "FB",
    "GPIOLIB",
    "HIBERNATION",
    "HID_SUPPORT",
    "HOTPLUG_PCI",
    "HWMON",
    "HYPERV",
    "I2C",
    "IMA",
    "EVM",
    "INTEGRITY",
    "IOMMU_SUPPORT",
    "IPV6",
    "KERNEL_ZSTD",
    "KEXEC",
    "KEXEC_FILE",
    "KEXEC_SIG",
    "LIBNVDIMM",
    "MEDIA_SUPPORT",
    "MEMORY_HOTPLUG",
    "MODULE_SIG",
    "NETDEVICES",
    "NETFILTER",
    "NET_SCHED",
    "PCCARD",
    "PINCTRL",
    "POWERCAP",
    "SECURITY_APPARMOR",
    "SECURITY_LANDLOCK",
    "SECURITY_LOCKDOWN_LSM",
    "SECURITY_SELINUX",
    "SECURITY_SMACK",
    "SECURITY_TOMOYO",
    "SOUND",
    "STAGING",
    "SUSPEND",
    "THERMAL",
    "USB_SUPPORT",
    "VFIO",
    "WIRELESS",
    "X86_MCE",
    "X86_PLATFORM_DEVICES",
    "XEN",
    "XFRM",
];

/// The modules of the stock configuration that the tests need; the others are not built.
const MODULES: &[&str] = &[
    "btrfs",
    "configfs",
    "dm_delay",
    "dm_flakey",
    "dm_log_writes",
    "dm_mod",
    "loop",
    "nfsd",
    "null_blk",
    "nvme_loop",
    "nvmet",
    "overlay",
    "scsi_debug",
    "virtio_blk",
    "xfs",
];

/// Configures and builds it. What was built before is taken up again.
pub(super) fn build(folder: &Folder) -> Result<Kernel> {
    let (build, chroot) = folder.for_debug_kernel()?;
    let (configured, options) = (build.join("configured"), options());
    if fs::read_to_string(&configured).ok().as_ref() != Some(&options) {
        eprintln!("xtask: configuring the debug kernel");
        configure(folder, &build, &chroot)?;
        fs::write(configured, options)?;
    }
    eprintln!("xtask: building the debug kernel");
    let mut install = debug_make(&chroot);
    install.args([
        "INSTALL_MOD_PATH=/lab/kernel/installed",
        "INSTALL_MOD_STRIP=1",
        "modules_install",
    ]);
    succeed(debug_make(&chroot).args(["bzImage", "modules"]))
        .and_then(|()| succeed(&mut install))
        .context("the debug kernel does not build")?;
    Kernel::debug(&build)
}

/// What it is configured with, so that it is configured again when that changes.
fn options() -> String {
    let lines = |sign, options: &[&str]| -> String {
        options
            .iter()
            .map(|option| format!("{sign}{option}\n"))
            .collect()
    };
    [lines('+', ON), lines('-', OFF), lines('m', MODULES)].concat()
}

/// The stock configuration without what the tests do not need, and with what finds mistakes.
fn configure(folder: &Folder, build: &Path, chroot: &Chroot) -> Result<()> {
    let config = build.join(".config");
    let stock = chroot.outside(&folder.kernel().headers());
    fs::copy(stock.join(".config"), &config)?;
    // As lsmod prints it.
    let lines = MODULES.iter().map(|module| format!("{module} 1 0\n"));
    let loaded: String = lines.collect();
    fs::write(
        build.join("modules"),
        format!("Module Size Used by\n{loaded}"),
    )?;
    let mut trim = debug_make(chroot);
    // It asks about each new option, and takes the end of input for the default.
    trim.args(["LSMOD=/lab/kernel/modules", "localmodconfig"]);
    succeed(trim.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let mut change = chroot.command("/lab/source/scripts/config");
    change.args(["--file", "/lab/kernel/.config"]);
    for option in OFF {
        change.args(["--disable", option]);
    }
    for option in ON {
        change.args(["--enable", option]);
    }
    succeed(change.args(["--set-str", "LOCALVERSION", "-rloop-debug"]))?;
    succeed(debug_make(chroot).arg("olddefconfig"))?;
    check(&fs::read_to_string(&config)?)
}

/// What cannot be switched on is left out without a word.
fn check(config: &str) -> Result<()> {
    let lacks = |option: &&&str| {
        !config
            .lines()
            .any(|line| line == format!("CONFIG_{option}=y"))
    };
    let missing: Vec<&str> = ON.iter().chain(&["RUST"]).filter(lacks).copied().collect();
    ensure!(
        missing.is_empty(),
        "this kernel cannot have {} together with the rest",
        missing.join(", ")
    );
    Ok(())
}
