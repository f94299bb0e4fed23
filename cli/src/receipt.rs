//! What a removal came to, kept for those who ask later.

use jiff::Timestamp;
use serde::Serialize;

use crate::apply::{ApplyError, Observer};
use crate::cloud::Cloud;
use crate::plan::document::{Action, StepDocument};
use crate::plan::{Change, Plan, Step};
use crate::resource::Address;

/// What was deleted, what was kept, and what is still to do.
#[derive(Debug, Clone, Serialize)]
pub struct Receipt {
    version: u32,
    client: String,
    project: String,
    region: String,
    /// RFC 3339.
    at: Timestamp,
    deleted: Vec<StepDocument>,
    kept: Vec<StepDocument>,
    /// Not deleted, as something failed.
    left: Vec<StepDocument>,
}

impl Receipt {
    pub fn of(cloud: &Cloud, plan: &Plan, done: &[Address]) -> Receipt {
        let that = |holds: &dyn Fn(&Step) -> bool| {
            let steps = plan.steps.iter().filter(|step| holds(step));
            steps.map(StepDocument::of).collect()
        };
        let is_kept = |step: &Step| Action::of(&step.change) == Action::Keep;
        let is_done = |step: &Step| done.contains(&step.address);
        Receipt {
            version: 1,
            client: cloud.client.clone(),
            project: cloud.project.clone(),
            region: cloud.region.clone(),
            at: Timestamp::now(),
            deleted: that(&|step| is_done(step)),
            kept: that(&|step| is_kept(step)),
            left: that(&|step| !is_done(step) && !is_kept(step)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.left.is_empty()
    }

    /// `acme-20240131T020000Z.json`
    pub fn file_name(&self) -> String {
        format!(
            "{}-{}.json",
            self.client,
            self.at.strftime("%Y%m%dT%H%M%SZ")
        )
    }
}

/// Notes which steps were done, and passes all on.
pub struct Recorder<'a> {
    next: Box<dyn Observer + 'a>,
    done: Vec<Address>,
}

impl<'a> Recorder<'a> {
    pub fn new(next: Box<dyn Observer + 'a>) -> Recorder<'a> {
        Recorder {
            next,
            done: Vec::new(),
        }
    }

    pub fn into_done(self) -> Vec<Address> {
        self.done
    }
}

impl Observer for Recorder<'_> {
    fn started(&mut self, steps: usize) {
        self.next.started(steps);
    }

    fn step_started(&mut self, step: &Step) {
        self.next.step_started(step);
    }

    fn step_waits(&mut self, step: &Step, why: &str) {
        self.next.step_waits(step, why);
    }

    fn step_finished(&mut self, step: &Step) {
        if matches!(step.change, Change::Delete { .. }) {
            self.done.push(step.address.clone());
        }
        self.next.step_finished(step);
    }

    fn step_failed(&mut self, step: &Step, error: &ApplyError) {
        self.next.step_failed(step, error);
    }

    fn stopping(&mut self) {
        self.next.stopping();
    }

    fn finished(&mut self) {
        self.next.finished();
    }
}
