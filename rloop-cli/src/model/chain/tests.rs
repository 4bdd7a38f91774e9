use super::*;
use crate::sample::{Times, Traces};

fn request(id: u64, op: Op, start_ns: u64, done_ns: u64) -> Request {
    Request {
        id,
        op: op as u8,
        offset_bytes: id * 4096,
        bytes: 4096,
        flushes: op == Op::Flush,
        times: Times {
            start_ns,
            done_ns,
            ..Times::default()
        },
        ..Request::default()
    }
}

fn commit(id: u64, start_ns: u64, end_ns: u64, flush_ns: u64) -> Commit {
    Commit {
        id,
        start_ns,
        end_ns,
        flush_ns: Some(flush_ns),
        ..Commit::default()
    }
}

fn chains(requests: Vec<Request>, commits: Vec<Commit>) -> Chains {
    let device = DeviceSample {
        extents: Arc::new(vec![
            Extent {
                start_bytes: 0,
                len_bytes: 8192,
                ..Extent::default()
            },
            Extent {
                start_bytes: 8192,
                len_bytes: 8192,
                disk_offset_bytes: Some(1 << 20),
                ..Extent::default()
            },
        ]),
        traces: Traces { requests, commits },
        ..DeviceSample::default()
    };
    let mut old = device.clone();
    Arc::make_mut(&mut old.extents)[1].state = State::Hole;
    let newer = Sample {
        wall_ns: 1_000_000,
        monotonic_ns: 10_000,
        ..Sample::default()
    };
    Chains::of(&newer, &old, &device)
}

fn durable(chains: &Chains, id: u64) -> Option<Durable> {
    chains.request(id).expect("is kept").durable
}

#[test]
fn a_write_is_durable_with_the_first_flush_that_began_after_it() {
    let chains = chains(
        vec![
            request(1, Op::Write, 100, 200),
            request(2, Op::Write, 100, 250),
            // Began while the second write was under way.
            request(3, Op::Flush, 210, 400),
            request(4, Op::Flush, 300, 600),
            request(5, Op::Write, 300, 700),
            request(6, Op::Read, 100, 150),
        ],
        vec![commit(1, 260, 380, 220)],
    );
    let first = durable(&chains, 1).expect("is durable");
    assert_eq!(first.flush, Some((3, 210, 400)));
    assert_eq!(first.commit, Some((1, 260, 380)));
    assert!(first.at_ns == 400 && first.derived);
    // Its flush needed no commit.
    let second = durable(&chains, 2).expect("is durable");
    assert_eq!((second.flush, second.commit), (Some((4, 300, 600)), None));
    assert_eq!((durable(&chains, 5), durable(&chains, 6)), (None, None));
    let of = |requests: Vec<&Arc<Traced>>| {
        let ids = requests.iter().map(|traced| traced.request.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(of(chains.of_flush(3).collect()), [1]);
    assert_eq!(of(chains.of_commit(1).collect()), [1]);
}

#[test]
fn what_failed_makes_nothing_durable_and_what_asked_for_it_is() {
    let mut flush = request(2, Op::Flush, 300, 400);
    flush.failed = true;
    let mut own = request(3, Op::Write, 100, 220);
    own.durable = true;
    let chains = chains(vec![request(1, Op::Write, 100, 200), flush, own], vec![]);
    assert_eq!(durable(&chains, 1), None);
    let own = durable(&chains, 3).expect("is durable");
    assert!(own.at_ns == 220 && !own.derived && own.flush.is_none());
}

#[test]
fn a_fill_on_disk_waits_for_the_commit_that_names_it() {
    let fill = Request {
        fills: true,
        route: Route::Disk,
        ..request(2, Op::Write, 100, 200)
    };
    let layout = |id, ranges, failed| Commit {
        kind: CommitKind::Layout,
        flush_ns: None,
        ranges,
        failed,
        ..commit(id, 310, 390, 0)
    };
    let flush = request(3, Op::Flush, 300, 400);
    let commits = vec![
        layout(1, vec![(0, 8192)], false),
        layout(2, vec![(8192, 4096)], true),
        layout(3, vec![(0, 4096), (8192, 4096)], false),
    ];
    let all = chains(vec![fill.clone(), flush], commits);
    let found = durable(&all, 2).expect("is durable");
    assert_eq!(found.commit, Some((3, 310, 390)));
    assert_eq!(found.flush, Some((3, 300, 400)));
    assert!(!found.derived && found.at_ns == 390);
    // A flush alone names nothing.
    let alone = chains(vec![fill, request(3, Op::Flush, 300, 400)], vec![]);
    assert_eq!(durable(&alone, 2), None);
}

#[test]
fn a_sync_that_nobody_waits_for_makes_durable_too() {
    let sync = Commit {
        kind: CommitKind::Sync,
        flush_ns: None,
        ..commit(1, 500, 600, 0)
    };
    let chains = chains(
        vec![
            request(1, Op::Write, 100, 200),
            request(2, Op::Flush, 700, 900),
        ],
        vec![sync],
    );
    let found = durable(&chains, 1).expect("is durable");
    assert_eq!((found.at_ns, found.flush), (600, None));
    assert_eq!(found.commit, Some((1, 500, 600)));
}

#[test]
fn links_reach_over_intervals_and_stay() {
    let mut later = chains(vec![request(2, Op::Flush, 300, 400)], vec![]);
    later.follow(&chains(vec![request(1, Op::Write, 100, 200)], vec![]));
    assert_eq!(
        durable(&later, 1).and_then(|found| found.flush),
        Some((2, 300, 400))
    );
    assert_eq!(later.fresh_requests().len(), 1);
    // The flush is forgotten some time, and what it did is not.
    let mut last = later;
    for round in 0..4 {
        let many = (0..200).map(|i| {
            let id = 3 + round * 200 + i;
            request(id, Op::Write, 1000 * id, 1000 * id + 10)
        });
        let mut next = chains(many.collect(), vec![]);
        next.follow(&last);
        assert_eq!(next.fresh_requests().len(), 200);
        last = next;
    }
    assert_eq!(last.requests().len(), REQUESTS_MAX + SLOWEST_MAX);
    // It is one of the slowest, so it is kept.
    assert_eq!(
        durable(&last, 1).and_then(|found| found.flush),
        Some((2, 300, 400))
    );
    let mut quiet = chains(vec![], vec![]);
    quiet.follow(&last);
    assert!(quiet.fresh_requests().is_empty() && quiet.fresh_commits().is_empty());
}

#[test]
fn a_request_has_its_extent_and_what_was_there_before() {
    let chains = chains(
        vec![
            request(1, Op::Write, 100, 200),
            request(2, Op::Write, 100, 200),
            request(9, Op::Write, 100, 200),
        ],
        vec![],
    );
    let of = |id| {
        let traced = chains.request(id).expect("is kept");
        (
            traced.extent.map(|extent| extent.start_bytes),
            traced.before,
        )
    };
    assert_eq!(of(1), (Some(0), None));
    assert_eq!(of(2), (Some(8192), Some(State::Hole)));
    assert_eq!(of(9), (None, None));
    // 9,900 ns before the sample.
    let traced = chains.request(1).expect("is kept");
    assert_eq!(traced.wall_ns, 1_000_000 - 9_900);
}

fn parts(request: Request, found: Option<Durable>) -> [Vec<(Part, u64, u64, bool)>; 2] {
    let traced = Traced {
        request,
        wall_ns: 0,
        extent: None,
        before: None,
        durable: found,
    };
    links(&traced).map(|links| {
        let plain = |link: &Link| (link.part, link.from_ns, link.to_ns, link.derived);
        links.iter().map(plain).collect()
    })
}

#[test]
fn parts_follow_each_other_without_gaps() {
    let mut whole = request(1, Op::Write, 100, 200);
    whole.times = Times {
        issue_ns: Some(110),
        filesystem_ns: Some(130),
        disk_start_ns: Some(140),
        disk_end_ns: Some(190),
        ..whole.times
    };
    let found = Durable {
        at_ns: 400,
        flush: Some((2, 300, 400)),
        commit: Some((1, 310, 390)),
        derived: true,
    };
    let [request_parts, durable_parts] = parts(whole.clone(), Some(found));
    assert_eq!(
        request_parts,
        [
            (Part::Queue, 0, 10, false),
            (Part::Worker, 10, 30, false),
            (Part::Filesystem, 30, 40, false),
            (Part::Disk, 40, 90, false),
            (Part::Completion, 90, 100, false),
        ]
    );
    assert_eq!(
        durable_parts,
        [
            (Part::Wait, 100, 200, false),
            (Part::Flush, 200, 300, true),
            (Part::Commit, 210, 290, true),
        ]
    );
    // Through the page cache the disk is not seen, and the worker's end is derived.
    let mut buffered = whole.clone();
    buffered.times.filesystem_derived = true;
    buffered.times.disk_start_ns = None;
    buffered.times.disk_end_ns = None;
    assert_eq!(
        parts(buffered, None)[0],
        [
            (Part::Queue, 0, 10, false),
            (Part::Worker, 10, 30, true),
            (Part::Filesystem, 30, 100, true),
        ]
    );
    // Nothing is known of one that was not split.
    let bare = request(1, Op::Write, 100, 200);
    assert_eq!(parts(bare, None)[0], [(Part::Unknown, 0, 100, false)]);
    let mut issued = request(1, Op::Write, 100, 200);
    issued.times.issue_ns = Some(150);
    assert_eq!(
        parts(issued, None)[0],
        [(Part::Queue, 0, 50, false), (Part::Unknown, 50, 100, false)]
    );
    let flush = request(1, Op::Flush, 100, 200);
    assert_eq!(parts(flush, None)[0], [(Part::Flush, 0, 100, false)]);
}
