//! Frames as lines on standard output.

use std::io::{self, Write as _};

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
            frame = collector.next() => frame?,
        };
        let Some(frame) = frame else {
            if let Some(warning) = collector.warning() {
                say(warning);
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
