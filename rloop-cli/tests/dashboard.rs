//! The dashboard as a user meets it: the program on a terminal, keys in, a screen out.

use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

/// How long something may take to appear: this is no test of speed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal of its own.
struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Box<dyn std::io::Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    child: Box<dyn Child + Send + Sync>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        ..PtySize::default()
    }
}

fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("not 0")
}

/// The time in the header.
fn clock(screen: &vt100::Screen) -> String {
    let header = screen.contents();
    let words = header.lines().next().unwrap_or_default();
    let time = words.split_whitespace().find(|word| word.ends_with('Z'));
    time.unwrap_or_default().to_owned()
}

impl Terminal {
    /// Shows the shipped recording, started by a shell that runs `script`: `$0` is the program.
    fn start(script: &str) -> Self {
        let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/demo.rloop");
        let pair = native_pty_system()
            .openpty(size(100, 30))
            .expect("a terminal");
        let mut command = CommandBuilder::new("bash");
        command.args(["-c", &format!("echo before; {script}")]);
        command.arg(env!("CARGO_BIN_EXE_rloop-top"));
        command.args(["--interval", "0.1", "--replay"]);
        command.arg(recording);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR");
        let child = pair.slave.spawn_command(command).expect("started");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("readable");
        let keys = pair.master.take_writer().expect("writable");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            master: Some(pair.master),
            keys,
            output,
            screen: vt100::Parser::new(cells(30), cells(100), 0),
            child,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
        self.keys.flush().expect("a terminal");
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        let master = self.master.as_ref().expect("a terminal");
        master.resize(size(columns, rows)).expect("resized");
        self.screen
            .screen_mut()
            .set_size(cells(rows), cells(columns));
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the screen is as it should be.
    fn wait(&mut self, what: &str, is_there: impl Fn(&vt100::Screen) -> bool) {
        let start = Instant::now();
        while !is_there(self.screen.screen()) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => panic!("no {what} on:\n{}", self.text()),
            }
        }
    }

    fn wait_for(&mut self, words: &str) {
        self.wait(words, |screen| screen.contents().contains(words));
    }

    /// Waits for the program's end; the screen must then be as it was before.
    fn ended(mut self) -> u32 {
        let status = self.child.wait().expect("ends");
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.screen.process(&bytes);
        }
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "still on the other screen");
        assert!(!screen.hide_cursor(), "the cursor is still hidden");
        assert!(self.text().starts_with("before"), "{}", self.text());
        status.exit_code()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.process_id().expect("it runs") as i32;
        let pid = Pid::from_raw(pid).expect("a process");
        kill_process(pid, signal).expect("it runs");
    }
}

/// Whether any cell has a colour, and whether any is bold.
fn looks(screen: &vt100::Screen) -> (bool, bool) {
    let (rows, columns) = screen.size();
    let places =
        (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
    let cells: Vec<_> = places
        .filter_map(|(row, column)| screen.cell(row, column))
        .collect();
    let coloured = cells
        .iter()
        .any(|cell| cell.fgcolor() != vt100::Color::Default);
    (coloured, cells.iter().any(|cell| cell.bold()))
}

#[test]
fn no_color_is_heeded_unless_colours_are_asked_for() {
    for (options, coloured) in [("", false), ("--color always", true)] {
        let mut terminal = Terminal::start(&format!("NO_COLOR=1 exec $0 {options} \"$@\""));
        terminal.wait_for("by place");
        assert_eq!(looks(terminal.screen.screen()), (coloured, true));
        terminal.press("q");
        assert_eq!(terminal.ended(), 0);
    }
}

#[test]
fn keys_lead_through_the_views_and_q_gives_the_screen_back() {
    let mut terminal = Terminal::start("exec $0 \"$@\"");
    terminal.wait_for("REPLAY");
    terminal.wait_for("requests");
    terminal.press("3");
    terminal.wait_for("all but flush");
    terminal.wait_for("that was all");
    terminal.press(" ");
    terminal.wait_for("PAUSED");
    let paused_at = clock(terminal.screen.screen());
    terminal.press("[");
    terminal.wait("step back", |screen| clock(screen) < paused_at);
    terminal.press("]");
    terminal.wait("step forth", |screen| clock(screen) == paused_at);
    terminal.press("sr");
    terminal.wait_for("by requests, reversed");
    terminal.press("?");
    terminal.wait_for("Keys");
    terminal.press("\x1b");
    terminal.wait("screen without help", |screen| {
        !screen.contents().contains("Keys")
    });
    terminal.press(".");
    terminal.wait("newest frame", |screen| {
        !screen.contents().contains("PAUSED")
    });
    terminal.press("/nobody");
    terminal.wait_for("no device fits the filter");
    terminal.press("\x1b");
    terminal.wait_for("all but flush");
    terminal.resize(50, 10);
    terminal.wait_for("have 50x10, need 60x16");
    terminal.resize(80, 24);
    terminal.wait_for("all but flush");
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn a_terminal_that_can_only_print_gets_lines() {
    let mut terminal = Terminal::start("TERM=dumb exec $0 \"$@\"");
    terminal.wait_for("so plain lines");
    terminal.wait_for("by demo-workload");
    assert!(!terminal.screen.screen().alternate_screen());
    assert_eq!(terminal.child.wait().expect("ends").exit_code(), 0);
}

#[test]
fn signals_and_ctrl_c_give_the_screen_back() {
    for signal in [None, Some(Signal::TERM), Some(Signal::INT)] {
        let mut terminal = Terminal::start("exec $0 \"$@\"");
        terminal.wait_for("REPLAY");
        match signal {
            None => terminal.press("\x03"),
            Some(signal) => terminal.signal(signal),
        }
        assert_eq!(terminal.ended(), 130, "{signal:?}");
    }
}

#[test]
fn ctrl_z_leads_to_the_shell_and_fg_back() {
    let mut terminal = Terminal::start("set -m; $0 \"$@\"; echo stopped; read; fg");
    terminal.wait_for("REPLAY");
    terminal.press("\x1a");
    terminal.wait("shell", |screen| {
        !screen.alternate_screen() && screen.contents().contains("stopped")
    });
    terminal.press("\r");
    terminal.wait("dashboard", |screen| {
        screen.alternate_screen() && screen.contents().contains("REPLAY")
    });
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn with_the_terminal_the_program_goes() {
    let mut terminal = Terminal::start("exec $0 \"$@\"");
    terminal.wait_for("REPLAY");
    let Terminal {
        mut child,
        master,
        keys,
        output,
        ..
    } = terminal;
    drop((master, keys, output));
    let status = child.wait().expect("ends");
    assert!(!status.success());
}
