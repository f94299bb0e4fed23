//! How a plan looks: a line a resource, what an update changes below it, a sum at the end.

use std::io;

use anstyle::Style;
use serde_json::{Value, json};

use super::{BOLD, DIM, GREEN, RED, View, YELLOW};
use crate::plan::{Change, Plan, Step, Summary};

/// A plan, and what stands in its way.
pub struct PlanPicture<'a> {
    pub client: &'a str,
    pub plan: &'a Plan,
    /// Secrets without a value, each with the command that sets it.
    pub missing: &'a [MissingValue],
}

/// A secret that a job needs and that holds nothing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MissingValue {
    pub secret: String,
    /// Dotted path of the config's field.
    pub path: String,
    /// How to set it.
    pub command: String,
}

impl View {
    pub fn plan(&mut self, picture: &PlanPicture<'_>) -> io::Result<()> {
        if self.is_json() {
            return self.json(&as_json(picture));
        }
        for line in lines(picture) {
            self.line(line)?;
        }
        Ok(())
    }
}

impl View {
    /// A plan that is about to be carried out: for people, as JSON has one document.
    pub fn proposal(&mut self, picture: &PlanPicture<'_>) -> io::Result<()> {
        match self.is_json() {
            true => Ok(()),
            false => self.plan(picture),
        }
    }

    /// A plan that was carried out, in `done` steps.
    pub fn applied(&mut self, picture: &PlanPicture<'_>, done: usize) -> io::Result<()> {
        if self.is_json() {
            let mut value = as_json(picture);
            value["applied"] = json!(done);
            return self.json(&value);
        }
        match done {
            0 => Ok(()),
            1 => self.line("Done: 1 step."),
            done => self.line(format!("Done: {done} steps.")),
        }
    }
}

fn lines(picture: &PlanPicture<'_>) -> Vec<String> {
    let mut lines: Vec<String> = picture.plan.steps.iter().flat_map(step_lines).collect();
    for missing in picture.missing {
        let MissingValue {
            secret, command, ..
        } = missing;
        lines.push(format!(
            "{YELLOW}!{YELLOW:#} secret {secret} has no value: `{command}`"
        ));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(format!("{BOLD}{}{BOLD:#}", sum(picture.plan)));
    lines
}

fn step_lines(step: &Step) -> Vec<String> {
    let (sign, style) = sign(&step.change);
    let mut line = format!(
        "{style}{sign:>3}{style:#} {:<10} {}",
        step.address.kind.word(),
        step.address.name
    );
    match &step.change {
        Change::Keep { .. } => line.push_str(&format!(" {DIM}(kept: it holds data){DIM:#}")),
        Change::Refuse { reason } => line.push_str(&format!(" {RED}{reason}{RED:#}")),
        _ => {}
    }
    let changes = step.field_changes();
    let width = changes
        .iter()
        .map(|change| change.field.len())
        .max()
        .unwrap_or(0);
    let shown = changes.iter().map(|change| {
        let before = change.before.as_deref().unwrap_or("(none)");
        let after = change.after.as_deref().unwrap_or("(none)");
        format!(
            "{:15}{:width$}  {DIM}{before}{DIM:#} -> {after}",
            "", change.field
        )
    });
    std::iter::once(line).chain(shown).collect()
}

fn sign(change: &Change) -> (&'static str, Style) {
    match change {
        Change::Create { .. } => ("+", GREEN),
        Change::Update { .. } => ("~", YELLOW),
        Change::Delete { .. } => ("-", RED),
        Change::Keep { .. } => ("=", DIM),
        Change::Refuse { .. } => ("!", RED),
    }
}

fn sum(plan: &Plan) -> String {
    if plan.is_empty() && plan.steps.is_empty() {
        return "No changes.".to_owned();
    }
    let Summary {
        create,
        update,
        delete,
        keep,
        refuse,
    } = plan.summary();
    let parts: Vec<String> = [
        (create, "to create"),
        (update, "to change"),
        (delete, "to delete"),
        (keep, "kept"),
        (refuse, "refused"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    format!("{}.", parts.join(", "))
}

fn as_json(picture: &PlanPicture<'_>) -> Value {
    let steps: Vec<Value> = picture.plan.steps.iter().map(step_json).collect();
    json!({
        "client": picture.client,
        "empty": picture.plan.is_empty(),
        "summary": picture.plan.summary(),
        "steps": steps,
        "missing_secrets": picture.missing,
    })
}

fn step_json(step: &Step) -> Value {
    let mut value = json!({
        "action": action(&step.change),
        "kind": step.address.kind,
        "name": step.address.name,
    });
    if let Change::Update { .. } = &step.change {
        value["changes"] = json!(step.field_changes());
    }
    if let Change::Refuse { reason } = &step.change {
        value["reason"] = json!(reason.to_string());
    }
    value
}

/// The word for what a step does.
pub(super) fn action(change: &Change) -> &'static str {
    match change {
        Change::Create { .. } => "create",
        Change::Update { .. } => "update",
        Change::Delete { .. } => "delete",
        Change::Keep { .. } => "keep",
        Change::Refuse { .. } => "refuse",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Address, Kind, Owner, Resource, Resources};

    fn secret(client: Option<&str>) -> Resource {
        Resource::Secret {
            owner: client.map(Owner::client).unwrap_or_default(),
        }
    }

    fn shown(actual: &Resources, desired: &Resources) -> String {
        let missing = [MissingValue {
            secret: "s1".to_owned(),
            path: "key".to_owned(),
            command: "xetl secrets set".to_owned(),
        }];
        let plan = Plan::between(actual, desired);
        let missing = &missing[..usize::from(!plan.is_empty())];
        let picture = PlanPicture {
            client: "acme",
            plan: &plan,
            missing,
        };
        anstream::adapter::strip_str(&lines(&picture).join("\n")).to_string()
    }

    #[test]
    fn a_plan_shows_a_line_a_resource_and_what_an_update_changes() {
        let address = |name: &str| Address::new(Kind::Secret, name);
        let actual = Resources::from([
            (address("s2"), secret(None)),
            (address("s3"), secret(Some("acme"))),
            (address("s4"), secret(Some("globex"))),
        ]);
        let desired = Resources::from([
            (address("s1"), secret(Some("acme"))),
            (address("s2"), secret(Some("acme"))),
            (address("s4"), secret(Some("acme"))),
        ]);
        insta::assert_snapshot!(shown(&actual, &desired), @r"
          + secret     s1
          ~ secret     s2
                       xetl-client  (none) -> acme
          ! secret     s4 it belongs to client `globex`
          - secret     s3
        ! secret s1 has no value: `xetl secrets set`

        1 to create, 1 to change, 1 to delete, 1 refused.
        ");
        assert_eq!(shown(&actual, &actual), "No changes.");
    }
}
