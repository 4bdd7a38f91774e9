//! The dashboard's screen as it is after a while, for texts and pictures about it.

use anyhow::Result;
use clap::Args;

use crate::dashboard::Dashboard;

/// What is to be on the screen.
#[derive(Args)]
pub(crate) struct Options {
    /// After so many intervals of 1.1 seconds.
    #[arg(long, default_value_t = 10)]
    intervals: usize,
    /// After each of these keys, pressed at the end.
    #[arg(long, default_value = "1")]
    keys: String,
    /// With colours, as a terminal is told them.
    #[arg(long)]
    colours: bool,
}

/// Prints it, after each of the keys.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut dashboard = Dashboard::start(&["--interval", "1.1"])?;
    dashboard.wait(options.intervals)?;
    for key in options.keys.chars() {
        dashboard.press(key.encode_utf8(&mut [0; 4]), "rloop-top")?;
        println!("{}", dashboard.content(options.colours));
    }
    dashboard.quit()
}
