//! Templates: whether they compile, and whether there is what they name.

use super::super::template::{self, Name, Role};
use super::components::listed;
use super::document::Document;
use super::nearest::nearest;
use super::{Findings, Severity, variables};

/// Checks a text of the manifest; `place` is the component and field where it stands.
pub fn check(document: &Document, place: &str, pointer: &str, text: &str, findings: &mut Findings) {
    let (component, field) = place.split_once('.').unwrap_or((place, ""));
    if !variables::is_read(component) {
        return;
    }
    let problems: Vec<(usize, String)> = match template::inspect(text) {
        Ok(names) => {
            let problems = names.iter().filter_map(|name| {
                let problem = problem(name, component, field)?;
                Some((name.offset, problem))
            });
            problems.collect()
        }
        Err(misprint) => vec![(misprint.offset, misprint.problem)],
    };
    let offsets: Vec<usize> = problems.iter().map(|(offset, _)| *offset).collect();
    let places = document.inside(pointer, text, &offsets);
    for (place, (_, message)) in places.into_iter().zip(problems) {
        findings.add(Severity::Error, pointer, place, message);
    }
}

/// What is wrong with a name, if anything is.
fn problem(name: &Name, component: &str, field: &str) -> Option<String> {
    let text = name.text.as_str();
    let known = match name.role {
        Role::Variable | Role::Function => template::is_function(text),
        Role::Filter => template::is_filter(text),
        Role::Test => template::is_test(text),
    };
    match (known, name.role) {
        (true, _) => None,
        (_, Role::Filter) => Some(unknown(
            "filter",
            text,
            template::filter_names().iter().copied(),
        )),
        (_, Role::Test) => Some(unknown(
            "test",
            text,
            template::test_names().iter().copied(),
        )),
        (_, Role::Function) if !variables::all().contains(&text) => {
            Some(unknown("function", text, template::function_names()))
        }
        _ => variable(text, component, field),
    }
}

fn unknown<'n>(kind: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let near = nearest(name, known);
    format!("there is no {kind} `{name}` in templates{near}")
}

fn variable(name: &str, component: &str, field: &str) -> Option<String> {
    let seen = variables::of(component, field);
    if seen.contains(&name) {
        return None;
    }
    Some(match name {
        "stream_state" => {
            "`stream_state` is no more; `stream_interval` has the bounds of the slice".to_owned()
        }
        name if variables::all().contains(&name) => {
            let names = seen.iter().map(|name| format!("`{name}`"));
            let names: Vec<String> = names.collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!(
                "{component}.{field} cannot read `{name}`, only {}",
                listed(&names)
            )
        }
        name => {
            let near = nearest(name, seen.into_iter());
            format!("there is no variable `{name}` in templates{near}")
        }
    })
}
