//! A program on a terminal of its own: keys in, screens out.

use std::io::{Read as _, Write};
use std::num::NonZeroU16;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long something may take to appear: this is no test of speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program says when all of a screen is drawn: the end of a synchronized update.
const DRAWN: &[u8] = b"\x1b[?2026l";

/// The program is ended when this goes.
pub(crate) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    /// How it was set before the program.
    settings: String,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    /// What has come and is not on the screen yet.
    waiting: Vec<u8>,
    screen: vt100::Parser,
    child: Box<dyn Child + Send + Sync>,
}

impl Terminal {
    /// Starts a program on a terminal of this size.
    pub(crate) fn start(program: &str, words: &[&str], columns: u16, rows: u16) -> Result<Self> {
        let size = PtySize {
            rows,
            cols: columns,
            ..PtySize::default()
        };
        let pair = native_pty_system().openpty(size)?;
        let settings = settings(&*pair.master)?;
        let mut command = CommandBuilder::new(program);
        command.args(words);
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader()?;
        let keys = pair.master.take_writer()?;
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        let cells = |number| NonZeroU16::new(number).context("a terminal without cells");
        let screen = vt100::Parser::new(cells(rows)?, cells(columns)?, 0);
        Ok(Self {
            master: pair.master,
            settings,
            keys,
            output,
            waiting: Vec::new(),
            screen,
            child,
        })
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// The screen as it is drawn next. None is left out, however late this is called.
    pub(crate) fn next(&mut self) -> Result<String> {
        let drawn = self.drawn_within(PATIENCE)?;
        drawn.with_context(|| format!("nothing is drawn after:\n{}", self.text()))
    }

    /// The same; `None` if none comes within this time.
    pub(crate) fn drawn_within(&mut self, time: Duration) -> Result<Option<String>> {
        loop {
            let mut ends = self.waiting.windows(DRAWN.len());
            if let Some(at) = ends.position(|bytes| bytes == DRAWN) {
                let drawn: Vec<u8> = self.waiting.drain(..at + DRAWN.len()).collect();
                self.screen.process(&drawn);
                return Ok(Some(self.text()));
            }
            match self.output.recv_timeout(time) {
                Ok(bytes) => self.waiting.extend(bytes),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    self.screen.process(&self.waiting);
                    bail!("the program has ended:\n{}", self.text())
                }
            }
        }
    }

    /// What is on the screen, in words.
    pub(crate) fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// The same as a terminal is told it, with colours.
    pub(crate) fn formatted(&self) -> String {
        self.screen.screen().contents_formatted()
    }

    /// Waits for the program's end, and gives its status. The terminal has to be as it was before.
    pub(crate) fn ended(mut self) -> Result<u32> {
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.waiting.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("it does not end:\n{}", self.text()),
            }
        }
        let status = self.child.wait()?;
        self.screen.process(&self.waiting);
        let screen = self.screen.screen();
        ensure!(!screen.alternate_screen(), "it left its screen behind");
        ensure!(!screen.hide_cursor(), "the cursor is still hidden");
        ensure!(
            settings(&*self.master)? == self.settings,
            "the terminal is set in another way than before"
        );
        Ok(status.exit_code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let is_over = matches!(self.child.try_wait(), Ok(Some(_)));
        if !is_over && let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            println!("could not end the program on the terminal: {error}");
        }
    }
}

/// How a terminal is set: echo, lines, signals.
fn settings(master: &dyn MasterPty) -> Result<String> {
    let settings = master.get_termios();
    let settings = settings.context("the terminal does not tell how it is set")?;
    Ok(format!("{settings:?}"))
}
