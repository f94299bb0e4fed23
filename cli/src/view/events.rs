//! What an apply does, for programs: an object of JSON a line, on stderr, while it goes on.
//!
//! `docs/plan.md` describes them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::View;
use crate::apply::{ApplyError, Observer};
use crate::plan::Step;
use crate::plan::document::Action;

/// Tells the steps of an apply.
pub struct Events<'v> {
    view: &'v mut View,
}

impl View {
    /// Who hears what an apply does: a program, or a person.
    pub fn observer(&mut self, events: bool) -> Box<dyn Observer + '_> {
        match events {
            true => Box::new(Events { view: self }),
            false => Box::new(self.progress()),
        }
    }
}

impl Events<'_> {
    fn tell(&mut self, event: Value) {
        self.view.note(timed(event).to_string());
    }
}

impl Observer for Events<'_> {
    fn started(&mut self, steps: usize) {
        self.tell(json!({"event": "started", "steps": steps}));
    }

    fn step_started(&mut self, step: &Step) {
        self.tell(of_step("step_started", step));
    }

    fn step_waits(&mut self, step: &Step, why: &str) {
        self.tell(waits(step, why));
    }

    fn step_finished(&mut self, step: &Step) {
        self.tell(of_step("step_finished", step));
    }

    fn step_failed(&mut self, step: &Step, error: &ApplyError) {
        self.tell(fails(step, error));
    }

    fn stopping(&mut self) {
        self.tell(json!({"event": "stopping"}));
    }

    fn finished(&mut self) {
        self.tell(json!({"event": "finished"}));
    }
}

pub(super) fn timed(mut event: Value) -> Value {
    event["time"] = Timestamp::now().to_string().into();
    event
}

pub(super) fn waits(step: &Step, why: &str) -> Value {
    let mut event = of_step("step_waits", step);
    event["why"] = why.into();
    event
}

pub(super) fn fails(step: &Step, error: &ApplyError) -> Value {
    let mut event = of_step("step_failed", step);
    event["error"] = error.to_string().into();
    event
}

pub(super) fn of_step(event: &str, step: &Step) -> Value {
    json!({
        "event": event,
        "action": Action::of(&step.change),
        "kind": step.address.kind,
        "name": step.address.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Change;
    use crate::resource::{Address, Kind, Resource};

    #[test]
    fn an_event_names_the_step() {
        let step = Step {
            address: Address::new(Kind::Api, "run.googleapis.com"),
            change: Change::Create {
                after: Resource::Api,
            },
        };
        insta::assert_snapshot!(
            of_step("step_started", &step).to_string(),
            @r#"{"event":"step_started","action":"create","kind":"api","name":"run.googleapis.com"}"#
        );
    }
}
