//! The dashboard: keys and frames in, pictures out.

pub mod app;
pub mod bindings;
pub mod order;
pub mod term;
pub mod theme;
pub mod trail;
pub mod units;
pub mod view;
pub mod widget;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use ratatui::crossterm::{
    event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    style::force_color_output,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use self::{
    app::App,
    bindings::{Action, action},
    term::Term,
    theme::{Theme, ThemeName},
};
use crate::model::Frame;

/// How long a key may wait for the reader to see that it shall stop.
const POLL: Duration = Duration::from_millis(100);

/// What the collector tells the dashboard.
#[derive(Debug)]
pub enum FrameMessage {
    /// A new interval.
    Frame(Arc<Frame>),
    /// There will be no more, because of this.
    End(String),
}

/// How the dashboard looks at the start.
#[derive(Clone, Debug, Default)]
pub struct TuiOptions {
    /// Frames come from a recording.
    pub replay: bool,
    /// The terminal can show nothing but ASCII.
    pub ascii: bool,
    /// Colours: always, never, or what the environment says.
    pub color: Option<bool>,
    /// The set of colours, or what the environment says.
    pub theme: Option<ThemeName>,
}

/// How the dashboard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The user had seen enough.
    Quit,
    /// By Ctrl-C or a signal.
    Interrupted,
}

/// Draws what comes until the user quits, a signal comes or the terminal goes.
pub async fn run(
    mut frames: mpsc::Receiver<FrameMessage>,
    options: TuiOptions,
) -> io::Result<Exit> {
    // The theme decides. Left to itself, crossterm sees NO_COLOR as well and turns each colour into a
    // code that takes bold and reverse away.
    force_color_output(true);
    let mut app = App::new(
        Theme::detect(options.theme, options.color, options.ascii),
        options.replay,
    );
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut term = Term::take()?;
    let mut input = Input::start();
    loop {
        term.draw(|frame| view::render(&app, frame.area(), frame.buffer_mut()))?;
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(Exit::Interrupted),
            _ = terminate.recv() => return Ok(Exit::Interrupted),
            _ = hang_up.recv() => return Ok(Exit::Interrupted),
            event = input.events.recv() => match event {
                None => return Ok(Exit::Interrupted),
                Some(event) => match handle(&mut app, &event) {
                    Some(Leave::For(exit)) => return Ok(exit),
                    Some(Leave::ForNow) => term.suspend()?,
                    None => {}
                },
            },
            message = frames.recv(), if app.ended.is_none() => match message {
                Some(FrameMessage::Frame(frame)) => app.push(frame),
                Some(FrameMessage::End(why)) => app.ended = Some(why),
                None => app.ended = Some("no more frames".to_owned()),
            },
        }
    }
}

/// What a key asks of the loop.
enum Leave {
    /// To end.
    For(Exit),
    /// To stop until the shell says go on.
    ForNow,
}

fn handle(app: &mut App, event: &Event) -> Option<Leave> {
    let Event::Key(key) = event else { return None };
    if key.kind != KeyEventKind::Press {
        return None;
    }
    if app.typing && type_filter(app, *key) {
        app.follow();
        return None;
    }
    match action(*key)? {
        Action::Quit => Some(Leave::For(Exit::Quit)),
        Action::Interrupt => Some(Leave::For(Exit::Interrupted)),
        Action::Suspend => Some(Leave::ForNow),
        action => {
            app.update(action);
            None
        }
    }
}

/// Takes a key into the filter; false if it is not for the filter.
fn type_filter(app: &mut App, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char(_) if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Char(letter) => app.filter.push(letter),
        KeyCode::Backspace => drop(app.filter.pop()),
        KeyCode::Enter => app.typing = false,
        KeyCode::Esc => {
            app.typing = false;
            app.filter.clear();
        }
        _ => return false,
    }
    true
}

/// Keys, read by a thread of their own until dropped.
struct Input {
    events: mpsc::UnboundedReceiver<Event>,
    stop: Arc<AtomicBool>,
}

impl Input {
    fn start() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            // An error means that the terminal is gone: dropping the sender tells.
            while !stopped.load(Ordering::Relaxed) {
                match event::poll(POLL) {
                    Ok(false) => {}
                    Ok(true) => {
                        let Ok(event) = event::read() else { return };
                        if sender.send(event).is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                }
            }
        });
        Self { events, stop }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
