use super::*;
use crate::command::schema;
use crate::diff::percentile::Estimate;
use crate::diff::{Compared, DeviceDiff, Side};

fn estimate(ns: u64) -> Estimate {
    Estimate {
        ns,
        low_ns: ns / 10 * 9,
        high_ns: Some(ns / 10 * 11),
    }
}

/// From 100 us to that many.
fn compared(per_mille: u64, b_us: u64) -> Compared {
    let (a, b) = (estimate(100_000), estimate(b_us * 1000));
    Compared {
        per_mille,
        a: Some(a),
        b: Some(b),
        verdict: crate::diff::percentile::verdict(Some(&a), Some(&b), 0.05),
    }
}

fn row(what: What, percentiles: Vec<Compared>) -> Row {
    Row {
        what,
        a: 12_000,
        b: 11_000,
        percentiles,
    }
}

fn diff() -> Diff {
    let unknown = Compared {
        per_mille: 990,
        a: None,
        b: None,
        verdict: Verdict::TooFew,
    };
    let side = |path: &str| Side {
        path: path.into(),
        intervals: 60,
        length_ns: 60_000_000_000,
        warning: None,
    };
    Diff {
        a: side("before.rloop"),
        b: side("after.rloop"),
        threshold_percent: 5.0,
        devices: vec![DeviceDiff {
            name: "loop0".into(),
            notes: vec!["/a|b on ext4, then /c on xfs".into()],
            rows: vec![
                row(
                    What::Operation("read"),
                    vec![compared(500, 200), compared(990, 300)],
                ),
                row(What::Operation("write"), vec![compared(500, 50), unknown]),
                row(What::Range(0..1 << 20), vec![compared(500, 100)]),
                row(What::Range(1 << 20..2 << 20), vec![compared(500, 400)]),
            ],
        }],
        only_a: vec!["loop1".into()],
        only_b: Vec::new(),
    }
}

#[test]
fn the_object_is_what_the_schema_says() {
    let check = |diff: &Diff| {
        let text = json::render(diff).expect("is JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        schema::check("diff", &value);
        value
    };
    let value = check(&diff());
    assert_eq!((&value["slower"], &value["faster"]), (&3.into(), &1.into()));
    assert_eq!(value["devices"][0]["rows"][3]["end_bytes"], 2 << 20);
    let mut wrong = value;
    wrong["devices"][0]["rows"][0]["percentiles"][0]["verdict"] = "worse".into();
    assert!(schema::errors("diff", &wrong).contains("worse"));
    let nothing = Diff {
        devices: Vec::new(),
        ..diff()
    };
    check(&nothing);
}

#[test]
fn the_table_has_all_operations_and_the_ranges_that_changed() {
    insta::assert_snapshot!(text::render(&diff()));
    assert!(
        text::render(&diff())
            .lines()
            .all(|line| line.chars().count() <= 80)
    );
}

#[test]
fn the_comment_has_what_changed_and_the_worst_first() {
    insta::assert_snapshot!(markdown::render(&diff()));
}

#[test]
fn a_comment_stays_short() {
    let mut long = diff();
    let device = long.devices[0].clone();
    long.devices = vec![device; 10];
    let text = markdown::render(&long);
    assert!(text.contains("\nand 20 more\n"), "{text}");
    let none = Diff {
        devices: Vec::new(),
        only_a: Vec::new(),
        ..diff()
    };
    let text = markdown::render(&none);
    assert!(
        text.starts_with("### rloop: nothing can be said\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 3, "{text}");
}
