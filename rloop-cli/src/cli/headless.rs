//! Frames as lines on standard output.

use std::io::{self, Write as _};
use std::pin::pin;
use std::thread;

use tokio::io::{Interest, unix::AsyncFd};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::run::{Collector, Output};
use super::{Stop, say};
use crate::export;

/// Prints until there are no more frames, a signal comes, or nobody reads.
pub(super) async fn print(mut collector: Collector, output: Output) -> Result<(), Stop> {
    let mut stopped = pin!(stopped()?);
    let mut writer = Writer::start();
    let mut is_first = true;
    if output == Output::Plain {
        writer.write(export::plain::header() + "\n");
    }
    loop {
        let frame = tokio::select! {
            biased;
            stop = &mut stopped => return Err(stop),
            frame = collector.next() => frame?,
        };
        let Some(frame) = frame else {
            if let Some(warning) = collector.warning() {
                say(warning);
            } else if is_first {
                say("the recording holds no interval");
            }
            return Ok(());
        };
        if is_first && frame.devices.is_empty() {
            say("no loop device is attached; those that come will be shown");
        }
        is_first = false;
        writer.write(match output {
            Output::Json => export::json::line(&frame) + "\n",
            Output::Plain | Output::Dashboard => export::plain::lines(&frame),
        });
        tokio::select! {
            biased;
            stop = &mut stopped => return Err(stop),
            written = writer.written() => written?,
        }
    }
}

/// Waits for a signal, or until nobody reads.
fn stopped() -> Result<impl Future<Output = Stop>, Stop> {
    let unheard = |error| Stop::Failed(format!("could not listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(unheard)?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = interrupt.recv() => Stop::Interrupted,
            _ = terminate.recv() => Stop::Interrupted,
            _ = hang_up.recv() => Stop::Interrupted,
            () = unread() => io::Error::from(io::ErrorKind::BrokenPipe).into(),
        }
    })
}

/// Writes to standard output on a thread: one that has the other end of a pipe and does not read must not keep signals
/// from being heard.
struct Writer {
    texts: std::sync::mpsc::Sender<String>,
    results: mpsc::UnboundedReceiver<io::Result<()>>,
    /// Texts whose result is not there yet.
    pending: usize,
}

impl Writer {
    fn start() -> Self {
        let (texts, to_write) = std::sync::mpsc::channel::<String>();
        let (results, results_read) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for text in to_write {
                let mut out = io::stdout().lock();
                let written = out.write_all(text.as_bytes());
                // Whoever reads wants each interval when it is over, not when a buffer is full.
                if results.send(written.and_then(|()| out.flush())).is_err() {
                    return;
                }
            }
        });
        Self {
            texts,
            results: results_read,
            pending: 0,
        }
    }

    /// Begins to write a text.
    fn write(&mut self, text: String) {
        // The thread is there as long as this.
        self.pending += usize::from(self.texts.send(text).is_ok());
    }

    /// Waits until all is written. What was waited for is not lost if this is given up.
    async fn written(&mut self) -> io::Result<()> {
        while self.pending > 0 {
            let result = self.results.recv().await;
            self.pending -= 1;
            result.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))?;
        }
        Ok(())
    }
}

/// Ends when nobody is left to read standard output, also while there is nothing to print; never where that cannot be
/// known, as of a file.
async fn unread() {
    // SAFETY: Standard output keeps its descriptor as long as the program runs.
    let watched = unsafe { AsyncFd::register_with_interest(io::stdout(), Interest::ERROR) };
    let is_closed = match &watched {
        Ok(out) => out.ready(Interest::ERROR).await.is_ok(),
        Err(_) => false,
    };
    if !is_closed {
        std::future::pending().await
    }
}
