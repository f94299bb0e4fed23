//! How a plan looks: a line a resource, what an update changes below it, a sum at the end.

use std::io;

use anstyle::Style;
use serde_json::json;

use super::{BOLD, DIM, GREEN, RED, View, YELLOW};
use crate::plan::document::{MissingValue, PlanDocument};
use crate::plan::{Change, Plan, Step, Summary};

/// A plan, and what stands in its way.
pub struct PlanPicture<'a> {
    pub client: &'a str,
    pub plan: &'a Plan,
    /// Whether each step says why it is there.
    pub why: bool,
    /// Secrets without a value, each with the command that sets it.
    pub missing: &'a [MissingValue],
    /// Limits of Google's that it would go beyond.
    pub warnings: &'a [String],
}

impl PlanPicture<'_> {
    fn document(&self) -> PlanDocument {
        PlanDocument {
            warnings: self.warnings.to_vec(),
            ..PlanDocument::of(self.client, self.plan, self.missing)
        }
    }
}

impl View {
    pub fn plan(&mut self, picture: &PlanPicture<'_>) -> io::Result<()> {
        if self.is_json() {
            return self.json(&picture.document());
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
            let mut value = json!(picture.document());
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
    let steps = picture.plan.steps.iter();
    let mut lines: Vec<String> = steps
        .flat_map(|step| step_lines(step, picture.why))
        .collect();
    for missing in picture.missing {
        let MissingValue {
            secret, command, ..
        } = missing;
        lines.push(format!(
            "{YELLOW}!{YELLOW:#} secret {secret} has no value: `{command}`"
        ));
    }
    lines.extend(warnings(picture.warnings));
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(format!("{BOLD}{}{BOLD:#}", sum(picture.plan)));
    lines
}

/// A line each.
pub(super) fn warnings(warnings: &[String]) -> impl Iterator<Item = String> {
    let told = warnings.iter();
    told.map(|warning| format!("{YELLOW}!{YELLOW:#} {warning}"))
}

fn step_lines(step: &Step, why: bool) -> Vec<String> {
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
        let (before, after) = (value(&change.before), value(&change.after));
        format!(
            "{:15}{:width$}  {DIM}{before}{DIM:#} -> {after}",
            "", change.field
        )
    });
    let why = why.then(|| format!("{:15}{DIM}{}{DIM:#}", "", step.why()));
    std::iter::once(line).chain(why).chain(shown).collect()
}

/// On one line, and without what a terminal would take for orders.
fn value(text: &Option<String>) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    match text.as_deref() {
        None => "(none)".to_owned(),
        Some("") => "\"\"".to_owned(),
        Some(text) => text.chars().map(shown).collect(),
    }
}

fn sign(change: &Change) -> (&'static str, Style) {
    match change {
        Change::Create { .. } => ("+", GREEN),
        Change::Update { .. } => ("~", YELLOW),
        Change::Replace { .. } => ("-/+", YELLOW),
        Change::Delete { .. } => ("-", RED),
        Change::Keep { .. } => ("=", DIM),
        Change::Refuse { .. } => ("!", RED),
    }
}

fn sum(plan: &Plan) -> String {
    if plan.is_empty() && plan.steps.is_empty() {
        return format!("No changes. {} unchanged.", plan.unchanged);
    }
    format!("{}.", counts(&plan.summary()))
}

/// `1 to create, 3 unchanged`
pub(super) fn counts(summary: &Summary) -> String {
    let Summary {
        create,
        update,
        replace,
        delete,
        keep,
        refuse,
        unchanged,
    } = *summary;
    let parts: Vec<String> = [
        (create, "to create"),
        (update, "to change"),
        (replace, "to make anew"),
        (delete, "to delete"),
        (keep, "kept"),
        (refuse, "refused"),
        (unchanged, "unchanged"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Address, Kind, Owner, Resource, Resources, Secret};

    fn secret(client: Option<&str>) -> Resource {
        Resource::from(Secret {
            owner: client.map(Owner::client).unwrap_or_default(),
            ..Secret::default()
        })
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
            why: false,
            missing,
            warnings: &[],
        };
        anstream::adapter::strip_str(&lines(&picture).join("\n")).to_string()
    }

    #[test]
    fn a_value_stays_on_its_line() {
        let told = [Some("a\n\u{1b}[2Jé"), Some(""), None].map(|it| value(&it.map(str::to_owned)));
        assert_eq!(told, [r"a\n\u{1b}[2Jé", "\"\"", "(none)"]);
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
        assert_eq!(shown(&actual, &actual), "No changes. 3 unchanged.");
    }
}
