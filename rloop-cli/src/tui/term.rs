//! The terminal: taken over, and given back whatever happens.

use std::{
    io::{self, BufWriter, Stdout, Write as _, stdout},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute, queue,
        terminal::{
            BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen,
            LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
        },
    },
};

/// Enough for a frame of a large terminal: one write a frame, which is what makes ssh quick.
const BUFFER_BYTES: usize = 64 << 10;

/// The terminal is on our screen.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What is drawn on.
type Screen = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// The terminal in our hands; dropping it gives it back.
pub struct Term {
    terminal: Screen,
}

impl Term {
    /// Takes the terminal over.
    pub fn take() -> io::Result<Self> {
        restore_on_panic();
        match Self::enter() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    fn enter() -> io::Result<Screen> {
        TAKEN.store(true, Ordering::Relaxed);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(BUFFER_BYTES, stdout()));
        Terminal::new(backend)
    }

    /// Draws one frame, shown by the terminal at once.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Stops the program as the shell's Ctrl-Z does, and takes the terminal again when it goes on.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        // The whole group, as the terminal does it: a program in front (such as cargo) stops too.
        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
        // A new one, which remembers nothing of a screen that is gone. To clear the old one, ratatui
        // would ask the terminal for its cursor, and our own reader of keys would swallow the answer.
        self.terminal = Self::enter()?;
        Ok(())
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        // What a failed or panicked draw left in the buffer must not reach the restored screen.
        let _ = self.terminal.backend_mut().flush();
        restore();
    }
}

/// Gives the terminal back, once: to leave a screen twice moves the cursor to where it was before what
/// was printed since. The terminal may be gone: then there is nothing to restore and nobody to tell.
fn restore() {
    if !TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), EndSynchronizedUpdate, LeaveAlternateScreen, Show);
    let _ = stdout().flush();
}

/// A panic's text must be seen, on a terminal that works.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            print(info);
        }));
    });
}
