//! The links of one chain, as stretches of time.

use rloop_common::Op;

use super::{Durable, Traced};
use crate::sample::{Request, Route};

/// What happened in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It waited to be given to the driver.
    Queue,
    /// It waited for a worker.
    Worker,
    /// The filesystem had it, and the disk did not.
    Filesystem,
    /// The disk had it.
    Disk,
    /// The disk was done with it, and it was not done.
    Completion,
    /// It was answered with zeros.
    Zeros,
    /// It was under way, and nothing is known of where.
    Unknown,
    /// It was done, and nothing made it durable yet.
    Wait,
    /// A flush was under way that made it durable.
    Flush,
    /// The commit that made it durable.
    Commit,
}

impl Part {
    /// As on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Worker => "worker",
            Self::Filesystem => "filesystem",
            Self::Disk => "disk",
            Self::Completion => "completion",
            Self::Zeros => "zeros",
            Self::Unknown => "not told",
            Self::Wait => "wait",
            Self::Flush => "flush",
            Self::Commit => "commit",
        }
    }
}

/// A stretch of time of a chain, nanoseconds from when the request began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What happened.
    pub part: Part,
    /// From when.
    pub from_ns: u64,
    /// Until when.
    pub to_ns: u64,
    /// It is concluded, and not told.
    pub derived: bool,
}

/// The parts of a request, one after the other, and then what made it durable.
pub fn links(traced: &Traced) -> [Vec<Link>; 2] {
    let start_ns = traced.request.times.start_ns;
    let request = of_request(&traced.request);
    let durable = traced.durable.map(|durable| of_durable(traced, durable));
    let relative = |links: Vec<Link>| {
        let since = |ns: u64| ns.saturating_sub(start_ns);
        let links = links.into_iter().map(|link| Link {
            from_ns: since(link.from_ns),
            to_ns: since(link.to_ns),
            ..link
        });
        links.collect()
    };
    [relative(request), relative(durable.unwrap_or_default())]
}

fn of_request(request: &Request) -> Vec<Link> {
    let times = &request.times;
    let whole = |part| Link {
        part,
        from_ns: times.start_ns,
        to_ns: times.done_ns,
        derived: false,
    };
    if request.op() == Op::Flush {
        return vec![whole(Part::Flush)];
    }
    if request.route == Route::Zeros {
        return vec![whole(Part::Zeros)];
    }
    // Where each part begins; one that was not seen is in the one before.
    let begins = [
        (Part::Queue, times.issue_ns.map(|_| times.start_ns)),
        (Part::Worker, times.issue_ns),
        (Part::Filesystem, times.filesystem_ns),
        (Part::Disk, times.disk_start_ns),
        (Part::Completion, times.disk_end_ns),
    ];
    let mut links = vec![whole(Part::Unknown)];
    for (part, begin_ns) in begins {
        let Some(begin_ns) = begin_ns else { continue };
        let before = links.len() - 1;
        // Nothing begins before what it follows.
        let from_ns = begin_ns.clamp(links[before].from_ns, times.done_ns);
        links[before].to_ns = from_ns;
        links.push(Link {
            part,
            from_ns,
            to_ns: times.done_ns,
            derived: times.filesystem_derived && part == Part::Filesystem,
        });
    }
    for place in 1..links.len() {
        // It ends when the next one begins.
        links[place - 1].derived |= links[place].derived;
    }
    if let Some(last) = links.last_mut()
        && last.part == Part::Worker
    {
        // What came after the driver had it was not seen.
        last.part = Part::Unknown;
    }
    links.retain(|link| link.to_ns > link.from_ns);
    links
}

fn of_durable(traced: &Traced, durable: Durable) -> Vec<Link> {
    let done_ns = traced.request.times.done_ns;
    let mut links = Vec::new();
    let first_ns = [durable.flush, durable.commit]
        .iter()
        .flatten()
        .map(|found| found.1)
        .min();
    if let Some(first_ns) = first_ns
        && first_ns > done_ns
    {
        links.push(Link {
            part: Part::Wait,
            from_ns: done_ns,
            to_ns: first_ns,
            derived: false,
        });
    }
    let stretches = [(Part::Flush, durable.flush), (Part::Commit, durable.commit)];
    links.extend(stretches.iter().filter_map(|&(part, found)| {
        let (_, from_ns, to_ns) = found?;
        Some(Link {
            part,
            from_ns,
            to_ns,
            derived: durable.derived,
        })
    }));
    links
}
