//! The view of chains: where keys lead, and what each list and request shows.

use std::collections::BTreeSet;

use rloop_common::Op;

use super::*;

/// The title's line of what is open in the view of chains.
fn heading_of(app: &App) -> String {
    let text = text(&draw(app, 100, 40));
    text.lines().nth(3).unwrap_or_default().to_owned()
}

fn press(app: &mut App, actions: &[Action]) {
    actions.iter().for_each(|action| app.update(*action));
}

#[test]
fn from_a_device_one_gets_to_a_chain_and_back() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    press(&mut app, &[Action::View(2), Action::Open]);
    assert!(heading_of(&app).contains("requests, slowest first"));
    // A write: of those, something makes them durable.
    for _ in 0..100 {
        press(&mut app, &[Action::Move(1), Action::Open]);
        if heading_of(&app).starts_with("write of") {
            break;
        }
        press(&mut app, &[Action::Close]);
    }
    for (width, height) in [(80, 24), (200, 60)] {
        insta::assert_snapshot!(
            format!("Chain_write_{width}x{height}"),
            text(&draw(&app, width, height))
        );
    }
    press(&mut app, &[Action::Open]);
    assert!(heading_of(&app).contains("requests that commit"));
    press(&mut app, &[Action::Close]);
    assert!(heading_of(&app).starts_with("write of"));
    press(&mut app, &[Action::Close, Action::Close]);
    assert_eq!(app.view, View::Latency);
}

#[test]
fn from_an_extent_one_gets_to_its_requests() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    press(&mut app, &[Action::View(1), Action::Open]);
    assert!(
        heading_of(&app).contains("requests of the extent at"),
        "{}",
        heading_of(&app)
    );
    let frame = app.history.current().expect("a frame");
    let device = app.device(frame).expect("a device");
    let extent = app.touched(frame, device, 0).expect("an extent");
    let inside = extent.start_bytes..extent.start_bytes + extent.len_bytes;
    let rows = app.trail.rows(device, false);
    assert!(!rows.is_empty());
    for id in rows {
        let request = &device.chains.request(id).expect("is kept").request;
        assert!(inside.contains(&request.offset_bytes));
    }
    press(&mut app, &[Action::Close]);
    assert_eq!(app.view, View::Extents);
}

#[test]
fn from_holes_one_gets_to_commits_and_what_they_made_durable() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    press(&mut app, &[Action::View(3), Action::Open]);
    for (width, height) in [(80, 24), (200, 60)] {
        insta::assert_snapshot!(
            format!("Chain_commits_{width}x{height}"),
            text(&draw(&app, width, height))
        );
    }
    press(&mut app, &[Action::Move(1), Action::Open]);
    assert!(heading_of(&app).contains("requests that commit"));
    // Another device has other chains.
    press(&mut app, &[Action::Device(1)]);
    assert!(heading_of(&app).contains("requests, slowest first"));
}

/// The operations in the list of requests in front.
fn operations(app: &App) -> BTreeSet<usize> {
    let frame = app.history.current().expect("a frame");
    let device = app.device(frame).expect("a device");
    let rows = app.trail.rows(device, false).into_iter();
    let requests = rows.map(|id| device.chains.request(id).expect("is kept"));
    requests.map(|traced| traced.request.op().index()).collect()
}

#[test]
fn a_list_of_requests_can_have_one_operation() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    // It is a key of this view alone.
    press(&mut app, &[Action::Operation, Action::View(6)]);
    let all = operations(&app);
    assert!(all.len() > 1);
    for op in &all {
        press(&mut app, &[Action::Operation]);
        assert_eq!(operations(&app), BTreeSet::from([*op]));
    }
    assert!(heading_of(&app).contains(" flushes, slowest first"));
    // What a flush made durable is writes, whatever the list has that it was opened from.
    press(&mut app, &[Action::Open, Action::Open]);
    assert!(heading_of(&app).contains("requests that flush"));
    assert!(!operations(&app).contains(&Op::Flush.index()));
    press(&mut app, &[Action::Close, Action::Close]);
    assert_eq!(operations(&app), BTreeSet::from([Op::Flush.index()]));
    press(&mut app, &[Action::Operation]);
    assert_eq!(operations(&app), all);
    press(&mut app, &[Action::Operation, Action::Device(1)]);
    assert_eq!(operations(&app), BTreeSet::from([Op::Read.index()]));
    insta::assert_snapshot!("Chain_reads_80x24", text(&draw(&app, 80, 24)));
    press(&mut app, &[Action::Close]);
    assert!(heading_of(&app).contains(" requests, slowest first"));
}

/// Another interval, without the requests of the one before.
fn push_without_requests(app: &mut App) {
    let mut frame = Frame::clone(app.history.current().expect("a frame"));
    for device in &mut frame.devices {
        device.chains = Default::default();
    }
    app.push(Arc::new(frame));
}

#[test]
fn an_open_request_stays_when_the_device_no_longer_keeps_it() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    press(&mut app, &[Action::View(6), Action::Open]);
    let body = |app: &App| {
        let text = text(&draw(app, 100, 40));
        let lines = text.lines().skip(2).map(str::to_owned);
        lines.collect::<Vec<_>>().join("\n")
    };
    let before = body(&app);
    assert!(before.contains("Esc: back") && !before.contains("as last seen"));
    push_without_requests(&mut app);
    assert_eq!(
        body(&app),
        before.replace("Esc: back", "Esc: back  (as last seen)")
    );
    press(&mut app, &[Action::Close]);
    assert!(heading_of(&app).starts_with("0 requests"));
}

#[test]
fn what_is_open_is_never_another_devices() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    press(&mut app, &[Action::View(6), Action::Open]);
    let opened = heading_of(&app);
    // Whatever becomes the first of them, the device stays in front.
    press(
        &mut app,
        &[
            Action::Reverse,
            Action::Turn(1),
            Action::Sort,
            Action::Turn(-1),
        ],
    );
    assert_eq!(heading_of(&app), opened);
    // It is gone, and another one has a request of the same number.
    let mut frame = Frame::clone(app.history.current().expect("a frame"));
    frame.devices.remove(0);
    app.push(Arc::new(frame));
    assert!(
        heading_of(&app).contains(" requests, "),
        "{}",
        heading_of(&app)
    );
}

#[test]
fn a_flush_shows_its_commit_and_an_empty_list_why_it_is_empty() {
    let mut app = app(Theme::new(ThemeName::Dark, Depth::True, false));
    press(&mut app, &[Action::View(6)]);
    for _ in 0..400 {
        press(&mut app, &[Action::Open]);
        if heading_of(&app).starts_with("flush") {
            break;
        }
        press(&mut app, &[Action::Close, Action::Move(1)]);
    }
    for (width, height) in [(80, 24), (200, 60)] {
        insta::assert_snapshot!(
            format!("Chain_flush_{width}x{height}"),
            text(&draw(&app, width, height))
        );
    }
    // With nothing open, Esc drops the filter as everywhere.
    press(&mut app, &[Action::Close, Action::Close]);
    app.filter = "loop".into();
    press(&mut app, &[Action::Close]);
    assert!(app.filter.is_empty() && app.view == View::Chain);
    // The last device does nothing.
    press(&mut app, &[Action::Device(9)]);
    let shown = text(&draw(&app, 80, 24));
    assert!(shown.contains("No request was told of yet"), "{shown}");
}
