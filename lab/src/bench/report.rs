//! The table: a row for each load and target, each beside the kernel's loop device past the page cache.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Options;
use super::load::{Load, Measured};
use super::target::Target;

/// What was measured so far.
#[derive(Default)]
pub(crate) struct Report {
    runs: BTreeMap<(Load, Target), Vec<Measured>>,
}

impl Report {
    pub(crate) fn add(&mut self, load: &Load, target: Target, measured: Measured) {
        self.runs.entry((*load, target)).or_default().push(measured);
    }

    /// The table.
    pub(crate) fn text(&self, options: &Options) -> String {
        let mut text = String::new();
        let mut last = None;
        for ((load, target), runs) in &self.runs {
            if last != Some(load.name) {
                let unit = if options.instructions {
                    "instructions"
                } else {
                    "IOPS"
                };
                let _ = writeln!(text, "\n{:<28} {unit:>12} {:>7}", load.name, "/ loop");
                last = Some(load.name);
            }
            let _ = self.row(&mut text, load, *target, runs, options);
        }
        text
    }

    fn row(
        &self,
        text: &mut String,
        load: &Load,
        target: Target,
        runs: &[Measured],
        options: &Options,
    ) -> std::fmt::Result {
        let value = |m: &Measured| {
            if options.instructions {
                m.instructions
            } else {
                m.iops
            }
        };
        let of_loop = self.runs.get(&(*load, Target::LoopDirect));
        let (own, other) = (
            median(runs, value),
            of_loop.map_or(f64::NAN, |runs| median(runs, value)),
        );
        write!(text, "  {target:<26} {own:>12.0} {:>7.2}", own / other)?;
        if !options.instructions {
            write!(text, "  {:>9.1} us", median(runs, |m| m.mean_ns) / 1e3)?;
            write!(text, "  {:>7.1} us busy", median(runs, |m| m.cpu_ns) / 1e3)?;
        }
        writeln!(text)
    }
}

fn median(runs: &[Measured], value: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
