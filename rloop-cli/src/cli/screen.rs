//! Frames on the dashboard.

use std::sync::Arc;

use tokio::sync::mpsc::{self, Sender};

use super::Stop;
use super::args::{Args, ColorWhen};
use super::run::Collector;
use crate::tui::{self, Exit, FrameMessage, TuiOptions};

/// Frames that may wait to be drawn; then collecting waits.
const WAITING: usize = 4;

/// Draws until the user has seen enough, or collecting fails.
pub(super) async fn show(collector: Collector, args: &Args) -> Result<(), Stop> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let options = TuiOptions {
        replay: collector.is_replay(),
        ascii: args.ascii,
        theme: args.theme,
        color: match args.color {
            ColorWhen::Auto => None,
            ColorWhen::Always => Some(true),
            ColorWhen::Never => Some(false),
        },
    };
    tokio::select! {
        ended = tui::run(receiver, options) => match ended {
            Ok(Exit::Quit) => Ok(()),
            Ok(Exit::Interrupted) => Err(Stop::Interrupted),
            Err(error) => Err(Stop::Failed(format!("could not draw: {error}"))),
        },
        stop = collect(collector, sender) => Err(stop),
    }
}

/// Sends frames; after the last one the dashboard stays, so this ends only with a failure.
async fn collect(mut collector: Collector, sender: Sender<FrameMessage>) -> Stop {
    loop {
        let message = match collector.next().await {
            Err(stop) => return stop,
            Ok(Some(frame)) => FrameMessage::Frame(Arc::new(frame)),
            Ok(None) => FrameMessage::End(collector.warning().unwrap_or("that was all").to_owned()),
        };
        let last = matches!(message, FrameMessage::End(_));
        if sender.send(message).await.is_err() || last {
            // The demo's device and the probes stay until the user leaves.
            std::future::pending::<()>().await;
        }
    }
}
