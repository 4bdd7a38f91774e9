//! The rate of a saturated device with and without a watcher, and the watcher's own processor time.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::device::Devices;
use super::load::Load;
use super::process::cpu_ns;
use super::watcher::{Watcher, Way};
use super::{Probe, median};

/// Size of the saturated device.
const MIB: u64 = 1024;
/// Devices, and extents of each, of the second part.
const DEVICES: usize = 8;
const EXTENTS: u64 = 10_000;
/// Reads a second on each of them.
const RATE: u32 = 1000;

/// What was seen of one way of watching, by round.
#[derive(Default)]
struct Seen {
    ratios: Vec<f64>,
    cpu: Vec<f64>,
    probe_ns: Vec<f64>,
    probe_runs: Vec<f64>,
}

/// One saturated device: pairs of runs, with and without.
pub(super) fn saturated(probe: &Probe, program: &Path) -> Result<()> {
    let devices = Devices::written(&probe.folder, MIB)?;
    println!(
        "A saturated device: 4k random reads, 32 in flight, io_uring, direct, on ext4; {} rounds of {} s",
        probe.pairs, probe.seconds
    );
    let load = || Load::start(&devices.paths, probe.seconds, None);
    // What is slow only once, is slow here.
    load()?.iops()?;
    let mut all: Vec<(Way, Seen)> = Way::all()
        .into_iter()
        .map(|way| (way, Seen::default()))
        .collect();
    // What else the machine does changes with time: so each round has every way.
    let mut before = load()?.iops()?;
    for round in 1..=probe.pairs {
        for (way, seen) in &mut all {
            let watcher = Watcher::start(*way, program, &devices.paths)?;
            let (started, used) = (Instant::now(), cpu_ns(watcher.process)?);
            let with = load()?.iops()?;
            let cpu =
                (cpu_ns(watcher.process)? - used) as f64 / started.elapsed().as_nanos() as f64;
            let accounted = watcher.probe_per_request();
            drop(watcher);
            let after = load()?.iops()?;
            let ratio = with / ((before + after) / 2.0);
            print!(
                "{:<22} round {round}: {before:.0} -> {with:.0} -> {after:.0} IOPS, ratio {ratio:.3}, \
                 processor {:.2} %",
                way.name(),
                cpu * 100.0
            );
            seen.ratios.push(ratio);
            seen.cpu.push(cpu * 100.0);
            if let Some((ns, runs)) = accounted {
                seen.probe_ns.push(ns);
                seen.probe_runs.push(runs);
                print!(", {ns:.0} ns in {runs:.1} probe runs a request");
            }
            println!();
            before = after;
        }
    }
    all.iter().try_for_each(|(way, seen)| seen.print(*way))
}

impl Seen {
    fn print(&self, way: Way) -> Result<()> {
        print!(
            "{:<22} median: ratio {:.3}, processor {:.2} % of one",
            way.name(),
            median(&self.ratios)?,
            median(&self.cpu)?
        );
        if !self.probe_ns.is_empty() {
            print!(
                ", {:.0} ns in {:.1} probe runs a request",
                median(&self.probe_ns)?,
                median(&self.probe_runs)?
            );
        }
        println!();
        Ok(())
    }
}

/// Many devices with many extents: what the program itself takes.
pub(super) fn many_devices(probe: &Probe, program: &Path) -> Result<()> {
    let devices = Devices::fragmented(&probe.folder, DEVICES, EXTENTS)?;
    println!("\n{DEVICES} devices with {EXTENTS} extents each");
    for way in Way::all().into_iter().filter(|way| *way != Way::Bpftrace) {
        let watcher = Watcher::start(way, program, &devices.paths)?;
        let used_by = |seconds: u32| -> Result<f64> {
            let before = cpu_ns(watcher.process)?;
            let started = Instant::now();
            thread::sleep(Duration::from_secs(seconds.into()));
            let used = cpu_ns(watcher.process)? - before;
            Ok(used as f64 / started.elapsed().as_nanos() as f64 * 100.0)
        };
        let idle = used_by(probe.seconds)?;
        let load = Load::start(&devices.paths, probe.seconds + 4, Some(RATE))?;
        // The first reads of every extent are over by then.
        thread::sleep(Duration::from_secs(2));
        let busy = used_by(probe.seconds)?;
        let iops = load.iops()?;
        println!(
            "{:<22} {idle:.2} % of a processor idle, {busy:.2} % at {iops:.0} IOPS in all",
            way.name()
        );
    }
    Ok(())
}
