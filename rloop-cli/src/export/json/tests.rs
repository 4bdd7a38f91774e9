use super::*;
use crate::model::RloopFrame;

fn schema() -> jsonschema::Validator {
    let text = include_str!("../../../../docs/json-schema.json");
    jsonschema::validator_for(&serde_json::from_str(text).expect("is JSON")).expect("is a schema")
}

fn frame() -> Frame {
    let mut device = DeviceFrame {
        name: "loop0".into(),
        mode_measured: true,
        bypass_ratio: Some(0.5),
        ..DeviceFrame::default()
    };
    device.touched = vec![ExtentFrame {
        reads: 3,
        ..ExtentFrame::default()
    }];
    device.findings = vec![Finding {
        id: "nested",
        severity: crate::model::Severity::Info,
        what: "w".into(),
        remedy: "r".into(),
    }];
    device.unavailable = vec![Unavailable {
        what: "x".into(),
        why: "y".into(),
    }];
    device.split.requests = 1;
    let of_rloop = DeviceFrame {
        name: "rloop0".into(),
        kind: Kind::Rloop,
        mode: Mode::Bmap,
        rloop: Some(RloopFrame {
            why: "best".into(),
            fill: "vfs".into(),
            commit: "each".into(),
            errno: 5,
            recallers: vec![sample::Submitter::default()],
            fills_per_commit: Some(2.5),
            ..RloopFrame::default()
        }),
        ..DeviceFrame::default()
    };
    Frame {
        wall_ns: 1_700_000_000_000_000_000,
        devices: vec![device, DeviceFrame::default(), of_rloop],
        ..Frame::default()
    }
}

#[test]
fn what_nothing_tells_of_is_null_and_not_0() {
    let mut frame = frame();
    let holes = |frame: &Frame| -> serde_json::Value {
        let line: serde_json::Value = serde_json::from_str(&line(frame)).expect("is JSON");
        assert!(schema().is_valid(&line));
        line["devices"][0]["holes"].clone()
    };
    assert_eq!(
        (&holes(&frame)["fills"], &holes(&frame)["commits"]),
        (&0.into(), &0.into())
    );
    frame.unavailable.push(Unavailable {
        what: "holes and commits".into(),
        why: "y".into(),
    });
    for name in [
        "fills",
        "fill_bytes",
        "conversions",
        "punched_bytes",
        "commits",
    ] {
        assert!(holes(&frame)[name].is_null(), "{name}");
    }
}

#[test]
fn a_line_is_what_the_schema_says() {
    let line: serde_json::Value = serde_json::from_str(&line(&frame())).expect("is JSON");
    let errors: Vec<String> = schema()
        .iter_errors(&line)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(line["time"], "2023-11-14T22:13:20Z");
}

#[test]
fn the_schema_refuses_what_is_not_a_line() {
    let mut value: serde_json::Value = serde_json::from_str(&line(&frame())).expect("is JSON");
    value["devices"][0]["io"]["read"]["ops"] = "many".into();
    assert!(!schema().is_valid(&value));
    let mut value: serde_json::Value = serde_json::from_str(&line(&frame())).expect("is JSON");
    value["surprise"] = 1.into();
    assert!(!schema().is_valid(&value));
}

#[test]
fn a_real_recording_gives_what_the_schema_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/demo.rloop");
    let mut reader = crate::record::Reader::open(path.as_ref()).expect("opens");
    let mut older = None;
    let mut lines = 0;
    while let Some(sample) = reader.next_sample().expect("reads") {
        if let Some(older) = &older {
            let line = line(&crate::model::derive(older, &sample));
            let value = serde_json::from_str(&line).expect("is JSON");
            assert!(schema().is_valid(&value), "{line}");
            assert!(!line.contains('\n'));
            lines += 1;
        }
        older = Some(sample);
    }
    assert!(lines > 0 && !reader.torn());
}
