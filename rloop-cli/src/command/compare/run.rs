//! One run of a load on one of the two devices.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::blocks::Blocks;
use super::contents;
use super::engine::{self, Order, Outcome};
use super::image::Image;
use super::interruption::Interruption;
use super::load::Operation;
use super::machine::Machine;
use super::plan::Plan;
use super::subject::failed;
use super::target::{Drivers, How, Side, Target, between};
use crate::program::Stop;

/// What all runs have in common.
pub(super) struct Bench<'a> {
    /// The file.
    pub(super) image: &'a Image,
    /// Its holes, where it is a copy.
    pub(super) holes: &'a Blocks,
    /// Who attaches it.
    pub(super) drivers: &'a Drivers,
    /// How long a run takes.
    pub(super) length: Duration,
    /// In how many parts of it latencies are counted.
    pub(super) parts: usize,
    /// Ends it early.
    pub(super) interruption: &'a Interruption,
}

/// What one run came to.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Its I/Os.
    pub(super) outcome: Outcome,
    /// What the machine did meanwhile.
    pub(super) machine: Machine,
    /// Which way they went.
    pub(super) how: How,
    /// Where something was read that was not written, bytes.
    pub(super) wrong_at: Option<u64>,
}

impl Bench<'_> {
    /// What is to be done in a round.
    pub(super) fn order<'a>(&'a self, plan: &'a Plan, round: u32, side: Side) -> Order<'a> {
        Order {
            plan,
            round,
            tag: u64::from(round) * 2 + u64::from(side == Side::Rloop),
            length: self.length,
            parts: self.parts,
            stop: self.interruption.flag(),
        }
    }

    /// Attaches the file, does the load, and detaches it.
    pub(super) fn run(&self, plan: &Plan, round: u32, side: Side) -> Result<Run, Stop> {
        let of_image = |error| failed(self.image.path().display(), error);
        if plan.load.operation() == Operation::Fill {
            self.image.punch(self.holes).map_err(of_image)?;
        }
        self.image.refuse_if_used()?;
        let order = self.order(plan, round, side);
        let only_reads = plan.load.only_reads();
        let target = Target::attach(self.drivers, side, self.image, only_reads)?;
        let mut run = self.measure(&target, &order)?;
        target.detach()?;
        if self.interruption.flag().load(Ordering::Relaxed) {
            return Err(Stop::Interrupted);
        }
        if !only_reads && run.wrong_at.is_none() {
            // What the device gave back has to be in the file, too.
            let found = contents::verify(self.image.file(), &order, &run.outcome);
            run.wrong_at = found.map_err(of_image)?;
            self.image.forget_pages();
        }
        Ok(run)
    }

    fn measure(&self, target: &Target<'_>, order: &Order<'_>) -> Result<Run, Stop> {
        let device = target.path();
        let of_device = |error| failed(device.display(), error);
        let disk = self.image.disk()?;
        let machine = || Machine::now(disk).map_err(|error| failed("/proc/stat", error));
        let (how, before) = (target.how(self.image)?, machine()?);
        let outcome = engine::run(&device, order).map_err(of_device)?;
        let (after, how) = (machine()?, between(how, target.how(self.image)?));
        let wrong_at = if order.plan.load.only_reads() {
            None
        } else {
            let from = engine::open(&device, false).map_err(of_device)?;
            contents::verify(&from, order, &outcome).map_err(of_device)?
        };
        Ok(Run {
            outcome,
            machine: after.since(before),
            how,
            wrong_at,
        })
    }
}
