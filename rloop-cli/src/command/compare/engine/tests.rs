use super::*;
use crate::command::compare::blocks::Blocks;
use crate::command::compare::contents::{difference, verify};

const MIB: u64 = 1 << 20;

/// A file of 2 MiB, the first of them written; as good as a device here.
fn file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let block = vec![7; MIB as usize];
    file.as_file().write_all_at(&block, 0).expect("written");
    file.as_file().set_len(2 * MIB).expect("lengthened");
    file.as_file().sync_all().expect("synced");
    file
}

fn plan(load: Load) -> Plan {
    let of = |start: u64, end: u64| Blocks::within(std::slice::from_ref(&(start..end)));
    Plan::new(load, 2 * MIB, &of(0, MIB), &of(MIB, 2 * MIB)).expect("fits")
}

fn order<'a>(plan: &'a Plan, tag: u64, stop: &'a AtomicBool) -> Order<'a> {
    Order {
        plan,
        round: 1,
        tag,
        length: Duration::from_millis(200),
        parts: 4,
        stop,
    }
}

#[test]
fn what_two_runs_read_is_the_same_until_it_changes() {
    let (file, stop) = (file(), AtomicBool::new(false));
    for load in [Load::Read, Load::ReadDeep, Load::Scan] {
        let plan = plan(load);
        let order = order(&plan, 0, &stop);
        let one = run(file.path(), &order).expect("read");
        let other = run(file.path(), &order).expect("read");
        assert!(one.ios() >= load.depth() as u64);
        let counted: u64 = one.parts.iter().flatten().sum();
        assert_eq!(counted, one.ios());
        let sums: usize = one.sums.iter().map(Vec::len).sum();
        assert_eq!(sums as u64, one.ios());
        assert_eq!(difference(&order, &one, &other), None, "{load:?}");
        // Another byte at a place that both have read.
        let at = plan.steps(1, 0).next().expect("a place");
        let mut byte = [0];
        file.as_file().read_exact_at(&mut byte, at).expect("read");
        let changed = [byte[0] ^ 1];
        file.as_file().write_all_at(&changed, at).expect("written");
        file.as_file().sync_all().expect("synced");
        let other = run(file.path(), &order).expect("read");
        assert_eq!(difference(&order, &one, &other), Some(at), "{load:?}");
    }
}

#[test]
fn what_a_run_wrote_is_there_until_it_changes() {
    let (file, stop) = (file(), AtomicBool::new(false));
    for (load, places) in [
        (Load::Write, 0..MIB),
        (Load::WriteDeep, 0..MIB),
        (Load::WriteFlush, 0..MIB),
        (Load::Fill, MIB..2 * MIB),
        (Load::FillDeep, MIB..2 * MIB),
        (Load::FillFlush, MIB..2 * MIB),
    ] {
        let plan = plan(load);
        let order = order(&plan, 3, &stop);
        let outcome = run(file.path(), &order).expect("written");
        assert!(outcome.ios() > 0);
        let verified = || verify(file.as_file(), &order, &outcome).expect("read");
        assert_eq!(verified(), None, "{load:?}");
        let at = plan.steps(1, 0).next().expect("a place");
        assert!(places.contains(&at), "{load:?}");
        file.as_file()
            .write_all_at(&[1], at + 4095)
            .expect("written");
        assert_eq!(verified(), Some(at), "{load:?}");
        // What the run before this one would have written there.
        let older = Order { tag: 2, ..order };
        assert_eq!(
            verify(file.as_file(), &older, &outcome).expect("read"),
            Some(at)
        );
    }
}

#[test]
fn holes_are_filled_once_and_then_it_ends() {
    let (file, stop) = (file(), AtomicBool::new(false));
    let plan = plan(Load::FillDeep);
    let length = Duration::from_secs(600);
    let order = Order {
        length,
        ..order(&plan, 1, &stop)
    };
    let outcome = run(file.path(), &order).expect("written");
    assert_eq!(outcome.ios(), 256);
}

#[test]
fn it_stops_when_it_is_told_to_and_says_what_failed() {
    let file = file();
    let stop = AtomicBool::new(true);
    let plan = plan(Load::ReadDeep);
    let outcome = run(file.path(), &order(&plan, 0, &stop)).expect("read");
    assert_eq!(outcome.ios(), 0);
    let stop = AtomicBool::new(false);
    file.as_file().set_len(0).expect("cut");
    let error = run(file.path(), &order(&plan, 0, &stop)).expect_err("is too short");
    assert!(error.to_string().contains("at byte"), "{error}");
}
