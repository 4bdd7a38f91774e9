//! Little memory: a filesystem on a device on a filesystem, and more written than there is memory for.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{output_of, run};
use crate::filesystem::{Filesystem, Kind};
use crate::guest::Guest;
use crate::rloop_device::{Mode, RloopDevice};
use crate::test::Test;

/// How much is left to all others.
const LEFT_MIB: u64 = 160;

pub(super) fn tests() -> Vec<Test> {
    let limit = Duration::from_secs(300);
    let of = |name: &str, kind, mode| {
        let body = move |guest: &mut Guest| super::with_module(|| little_memory(guest, kind, mode));
        Test::new(name, body).within(limit)
    };
    vec![
        of(
            "memory_is_scarce/xfs",
            Kind::Xfs,
            Mode {
                fill: "layout",
                commit: "flush",
            },
        ),
        of("memory_is_scarce/ext4", Kind::Ext4, Mode::DEFAULT),
    ]
}

fn little_memory(guest: &mut Guest, kind: Kind, mode: Mode) -> Result<()> {
    let mib = if guest.is_long() { 2200 } else { 400 };
    let below = Filesystem::make(kind, guest.scratch(0)?)?;
    let file = below.sparse_file("disk.img", 3 << 30)?;
    let attached = RloopDevice::attach(&file, mode)?;
    let options = ["-E", "lazy_itable_init=1"];
    let inner = Filesystem::make_with(Kind::Ext4, attached.device(), &options, "defaults")?;
    ensure!(
        fs::read_to_string("/proc/swaps")?.lines().count() == 1,
        "there is swap"
    );
    let hog = Hog::leaving(LEFT_MIB)?;
    let times = if guest.is_long() { 20 } else { 1 };
    for time in 0..times {
        let job = |name: &str, words: &[&str]| {
            let mut fio = Command::new("fio");
            fio.args([
                "--minimal",
                "--bs=64k",
                "--verify=crc32c",
                "--verify_fatal=1",
                "--end_fsync=1",
            ])
            .arg(format!("--name={name}"))
            .arg(format!("--directory={}", inner.path().display()))
            .arg(format!("--size={mib}m"))
            .arg(format!("--randseed={}", guest.seed() + time))
            .args(words);
            output_of(&mut fio).context("with little memory")
        };
        job(
            "verify",
            &["--rw=write", "--ioengine=psync", "--do_verify=0"],
        )?;
        // From the disk, and not from memory.
        run!["sysctl", "-q", "vm.drop_caches=3"]?;
        job(
            "verify",
            &["--rw=write", "--ioengine=psync", "--verify_only"],
        )?;
        job(
            "random",
            &[
                "--rw=randwrite",
                "--bs=4k",
                "--size=32m",
                "--ioengine=psync",
                "--do_verify=1",
            ],
        )?;
    }
    drop(hog);
    inner.unmount_and_check()?;
    let error = attached.attribute("error")?;
    ensure!(error == "0", "the device has an error: {error}");
    attached.detach()?;
    below.unmount_and_check()
}

/// A process that has taken most of the memory, and keeps it.
struct Hog(Child);

impl Hog {
    fn leaving(mebibytes: u64) -> Result<Self> {
        const LIMIT: Duration = Duration::from_secs(60);
        const SOURCE: &str = "import mmap,sys,time\nopen('/proc/self/oom_score_adj','w').write('-1000')\n\
                              n=int(sys.argv[1])<<20\nm=mmap.mmap(-1,n,mmap.MAP_PRIVATE|mmap.MAP_ANONYMOUS)\n\
                              for i in range(0,n,4096): m[i]=1\ntime.sleep(100000)";
        let take = available_mib()?.saturating_sub(mebibytes);
        let hog = Command::new("python3")
            .args(["-c", SOURCE, &take.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("could not start what takes the memory")?;
        let hog = Self(hog);
        let begun = Instant::now();
        while available_mib()? > mebibytes + mebibytes / 4 {
            if begun.elapsed() > LIMIT {
                bail!("{} MiB are still available", available_mib()?);
            }
            sleep(Duration::from_millis(50));
        }
        Ok(hog)
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn available_mib() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("/proc/meminfo has no MemAvailable")?.parse()?;
    Ok(kib >> 10)
}
