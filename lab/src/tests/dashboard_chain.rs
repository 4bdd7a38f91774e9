//! The chains of rloop's requests are complete: from the request to the commit that made it durable.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::rloop_device::Mode;
use crate::watcher::{Extent, Told};

const SECTOR: u64 = 512;

/// Everything of one kind that was told of a device.
fn all<'a>(told: &'a Told, device: &'a str, what: &'a str) -> Vec<&'a Value> {
    let lists = told
        .each(device)
        .filter_map(move |line| line[what].as_array());
    lists.flatten().collect()
}

/// Every fill that was traced has its chain: it went where `map` has it now, and one commit, or the write itself, made
/// it durable.
pub(super) fn fills_are_whole(told: &Told, device: &str, map: &[Extent], mode: Mode) -> Result<()> {
    let (chains, commits) = (all(told, device, "chains"), all(told, device, "commits"));
    let writes: Vec<&Value> = chains
        .iter()
        .copied()
        .filter(|chain| chain["op"] == "write")
        .collect();
    ensure!(!writes.is_empty(), "no write was traced");
    let of_us = writes
        .iter()
        .filter(|write| write["pid"] == std::process::id());
    ensure!(
        of_us.count() * 2 > writes.len(),
        "it is not told who wrote: {}",
        writes[0]
    );
    for &write in &writes {
        went_its_way(write, map, mode).with_context(|| format!("{write}"))?;
        is_durable(write, &commits, mode).with_context(|| format!("{write}"))?;
    }
    if mode.commit == "flush" {
        flushes_wait(&chains, &commits, kind_of_commits(mode))?;
    }
    Ok(())
}

fn kind_of_commits(mode: Mode) -> &'static str {
    if mode.fill == "layout" {
        "layout"
    } else {
        "sync"
    }
}

fn went_its_way(write: &Value, map: &[Extent], mode: Mode) -> Result<()> {
    ensure!(write["fills"] == true, "it is no fill");
    let on_disk = mode.fill == "layout";
    let way = if on_disk { "disk" } else { "direct" };
    ensure!(write["route"] == way, "it went another way");
    let began = if on_disk {
        "disk_start_ns"
    } else {
        "filesystem_ns"
    };
    let times = ["start_ns", began, "done_ns"].map(|name| write[name].as_u64());
    ensure!(
        times.iter().all(Option::is_some) && times.is_sorted(),
        "times are missing or out of order"
    );
    if !on_disk {
        return Ok(());
    }
    let offset = write["offset_bytes"].as_u64().context("an offset")?;
    let extent = map
        .iter()
        .find(|extent| (extent.start..extent.start + extent.len).contains(&offset));
    let extent = extent.context("it is nowhere in the map")?;
    let disk = extent.disk.context("the map has no block for it")?;
    let sector = (disk + offset - extent.start) / SECTOR;
    ensure!(
        write["sector"].as_u64() == Some(sector),
        "the map has it at sector {sector}"
    );
    Ok(())
}

/// The commit that made it durable names it, and it is the right kind of commit.
fn is_durable(write: &Value, commits: &[&Value], mode: Mode) -> Result<()> {
    // The commit's interval may be over before the write is, or the write's before the commit.
    let of_it = |commit: &&&Value| {
        let requests = commit["requests"].as_array();
        requests.is_some_and(|requests| requests.contains(&write["id"]))
            || commit["id"] == write["durable"]["commit"]
    };
    let found: Vec<&&Value> = commits.iter().filter(of_it).collect();
    if mode.fill == "vfs" && mode.commit == "each" {
        let itself = &write["durable"];
        ensure!(found.is_empty(), "a commit claims it");
        ensure!(
            itself["at_ns"] == write["done_ns"] && itself["derived"] == false,
            "it is not durable by itself"
        );
        return Ok(());
    }
    ensure!(found.len() == 1, "{} commits claim it", found.len());
    let kind = kind_of_commits(mode);
    ensure!(found[0]["kind"] == kind, "it is {}", found[0]);
    let (end, start) = (found[0]["end_ns"].as_u64(), write["start_ns"].as_u64());
    ensure!(end > start, "the commit was over before it began");
    // A later interval tells of the commit alone.
    if !write["durable"].is_null() {
        ensure!(
            write["durable"]["derived"] == (kind == "sync"),
            "it says wrongly how sure that is"
        );
    }
    Ok(())
}

/// What made fills durable was waited for by a flush.
fn flushes_wait(chains: &[&Value], commits: &[&Value], kind: &str) -> Result<()> {
    for commit in commits.iter().filter(|commit| {
        let requests = commit["requests"].as_array();
        commit["kind"] == kind && requests.is_some_and(|requests| !requests.is_empty())
    }) {
        let waits = chains.iter().any(|chain| {
            let waited = chain["flush"]["commits"].as_array();
            waited.is_some_and(|waited| waited.contains(&commit["id"]))
        });
        ensure!(waits, "no flush waited for {commit}");
    }
    Ok(())
}

/// What goes through a filesystem that does not say where it puts things says just that.
pub(super) fn goes_through_the_filesystem(told: &Told, device: &str) -> Result<()> {
    let chains = all(told, device, "chains");
    for op in ["read", "write"] {
        let of_op: Vec<_> = chains.iter().filter(|chain| chain["op"] == op).collect();
        ensure!(!of_op.is_empty(), "no {op} was traced");
        for chain in of_op {
            ensure!(
                (chain["route"] == "direct" || chain["route"] == "buffered")
                    && chain["sector"].is_null()
                    && chain["fills"] == false
                    && chain["filesystem_ns"].is_u64(),
                "{chain}"
            );
        }
    }
    Ok(())
}
