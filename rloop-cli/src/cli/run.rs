//! From arguments to a source, and from its samples to frames.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::args::Args;
use super::{Stop, headless, say, screen};
use crate::capability;
use crate::demo::Demo;
use crate::model::{Frame, Frames};
use crate::record::{RecordError, Recorder};
use crate::source::live::{DebugLog, Live, LiveOptions};
use crate::source::replay::Replay;
use crate::source::{Source, SourceError};

/// What everybody can look at, whatever their rights; seen from the checkout's folder.
const SHIPPED_RECORDING: &str = "docs/demo.rloop";

/// Where frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Drawn.
    Dashboard,
    /// Lines for people.
    Plain,
    /// Lines for programs.
    Json,
}

/// Watches, or replays, as the arguments say.
pub(super) fn run(args: &Args) -> Result<(), Stop> {
    let output = output(args);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Failed(format!("could not start: {error}")))?;
    runtime.block_on(async {
        let collector = Collector::new(args, output)?;
        match output {
            Output::Dashboard => screen::show(collector, args).await,
            Output::Plain | Output::Json => headless::print(collector, output).await,
        }
    })
}

fn output(args: &Args) -> Output {
    if args.json {
        Output::Json
    } else if args.plain {
        Output::Plain
    } else if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        say("not a terminal, so plain lines (--json prints JSON)");
        Output::Plain
    } else if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
        say("the terminal says that it can only print (TERM=dumb), so plain lines");
        Output::Plain
    } else {
        Output::Dashboard
    }
}

/// Where samples come from.
enum Input {
    Live(Box<Live>),
    Replay(Replay),
}

/// Asks a source for samples at the right times, keeps them if asked to, and makes frames of them.
pub(super) struct Collector {
    input: Input,
    demo: Option<Demo>,
    recorder: Option<Recorder>,
    /// `None` where samples are taken as fast as they are read.
    pace: Option<Interval>,
    frames: Frames,
    /// Frames still wanted; `None` for all.
    left: Option<u64>,
}

impl Collector {
    fn new(args: &Args, output: Output) -> Result<Self, Stop> {
        let mut demo = None;
        let input = match &args.replay {
            Some(file) => Input::Replay(Replay::open(file)?),
            None => {
                demo = start_demo(args)?;
                Input::Live(Box::new(live(args, demo.as_ref(), output)?))
            }
        };
        let recorder = args.record.as_deref().map(Recorder::create).transpose()?;
        let paced = output == Output::Dashboard || matches!(input, Input::Live(_));
        Ok(Self {
            input,
            demo,
            recorder,
            pace: paced.then(|| pace(args.interval)),
            frames: Frames::default(),
            left: args.count,
        })
    }

    /// The frames come from a recording.
    pub(super) fn is_replay(&self) -> bool {
        matches!(self.input, Input::Replay(_))
    }

    /// The next frame, when its time has come; `None` when there will be no more.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, Stop> {
        while self.left != Some(0) {
            if let Some(pace) = &mut self.pace {
                pace.tick().await;
            }
            if let Some(why) = self.demo.as_mut().and_then(Demo::workload_failure) {
                return Err(Stop::Failed(why));
            }
            let sample = match &mut self.input {
                Input::Live(live) => live.next()?,
                Input::Replay(replay) => replay.next()?,
            };
            let Some(sample) = sample else {
                break;
            };
            if let Some(recorder) = &mut self.recorder {
                recorder.append(&sample)?;
            }
            if let Some(frame) = self.frames.next(sample) {
                self.left = self.left.map(|left| left - 1);
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// What there is to say once the frames have ended.
    pub(super) fn warning(&self) -> Option<&'static str> {
        match &self.input {
            Input::Live(_) => None,
            Input::Replay(replay) => replay.warning(),
        }
    }
}

fn pace(interval: Duration) -> Interval {
    let mut pace = tokio::time::interval(interval);
    // After a stall the next interval is a whole one: two short ones would say little.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

fn start_demo(args: &Args) -> Result<Option<Demo>, Stop> {
    if !args.demo {
        return Ok(None);
    }
    capability::check_watch().map_err(offer_recording)?;
    match Demo::start() {
        Ok(demo) => {
            let file = demo.file_path().display();
            say(&format!("/dev/{} is a demo on {file}", demo.device_name()));
            Ok(Some(demo))
        }
        Err(error) => Err(offer_recording(error)),
    }
}

fn live(args: &Args, demo: Option<&Demo>, output: Output) -> Result<Live, Stop> {
    capability::check_watch().map_err(offer_recording)?;
    let devices = match demo {
        Some(demo) => vec![demo.device_name().to_owned()],
        None => args.devices.clone(),
    };
    let options = LiveOptions {
        devices,
        ..LiveOptions::default()
    };
    if !args.debug {
        return Ok(Live::new(options)?);
    }
    Ok(Live::with_debug(options, debug_log(output)?)?)
}

/// Where the probes' own messages go: the dashboard's screen must not be torn by them.
fn debug_log(output: Output) -> Result<DebugLog, Stop> {
    if output != Output::Dashboard {
        return Ok(DebugLog::Stderr);
    }
    let (log, path) = DebugLog::in_state_folder()
        .map_err(|error| Stop::Failed(format!("could not open the log of --debug: {error}")))?;
    say(&format!("the probes' messages go to {}", path.display()));
    Ok(log)
}

/// What cannot be watched here can be looked at.
fn offer_recording(why: impl std::error::Error) -> Stop {
    Stop::Failed(format!(
        "{why}\nwithout it, a recording shows what there is to see: rloop-top --replay \
         {SHIPPED_RECORDING}"
    ))
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<RecordError> for Stop {
    fn from(error: RecordError) -> Self {
        Self::Failed(error.to_string())
    }
}
