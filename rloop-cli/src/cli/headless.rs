//! Frames as lines on standard output.

use std::io::{self, Write as _};
use std::pin::pin;

use tokio::io::{Interest, unix::AsyncFd};
use tokio::signal::unix::{SignalKind, signal};

use super::run::{Collector, Output};
use super::{Stop, say};
use crate::export;

/// Prints until there are no more frames, a signal comes, or nobody reads.
pub(super) async fn print(mut collector: Collector, output: Output) -> Result<(), Stop> {
    let unheard = |error| Stop::Failed(format!("could not listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(unheard)?;
    let mut unread = pin!(unread());
    let mut out = io::stdout().lock();
    let mut is_first = true;
    if output == Output::Plain {
        writeln!(out, "{}", export::plain::header())?;
    }
    loop {
        let frame = tokio::select! {
            biased;
            _ = interrupt.recv() => return Err(Stop::Interrupted),
            _ = terminate.recv() => return Err(Stop::Interrupted),
            _ = hang_up.recv() => return Err(Stop::Interrupted),
            () = &mut unread => return Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
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
        match output {
            Output::Json => writeln!(out, "{}", export::json::line(&frame))?,
            Output::Plain | Output::Dashboard => write!(out, "{}", export::plain::lines(&frame))?,
        }
        // Whoever reads wants each interval when it is over, not when a buffer is full.
        out.flush()?;
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
