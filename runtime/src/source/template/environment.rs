//! The template engine, set up to speak Python. The only file that compiles and renders.

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};

use super::{arithmetic, comparison, filters, formatting, json, macros, methods, objects};

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // A template's name is its source: compiled at its first use, then kept.
    environment.set_loader(|source| Ok(Some(source.to_owned())));
    environment.set_auto_reload(false);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(|out, _, value| {
        let written = match value.as_str() {
            Some(text) => out.write_str(text),
            None if value.is_undefined() => Ok(()),
            None => out.write_str(&objects::text(value)),
        };
        written.map_err(|error| Error::new(ErrorKind::WriteFailure, error.to_string()))
    });
    // The reference takes `range` away, as it can run for ever.
    environment.remove_global("range");
    environment.remove_global("debug");
    macros::add(&mut environment);
    filters::add(&mut environment);
    arithmetic::add(&mut environment);
    comparison::add(&mut environment);
    formatting::add(&mut environment);
    json::add(&mut environment);
    environment
}

/// Variables that some template has.
const VARIABLES: [&str; 18] = [
    "config",
    "parameters",
    "stream_slice",
    "stream_partition",
    "stream_interval",
    "next_page_token",
    "record",
    "response",
    "headers",
    "last_record",
    "last_page_size",
    "creation_response",
    "polling_response",
    "download_target",
    "components_values",
    "stream_template_config",
    "resolved_components",
    "raw_schema",
];

/// Compiles `source` and names the variables it reads.
pub fn compile(source: &str) -> Result<Vec<String>, String> {
    let template = ENVIRONMENT
        .get_template(source)
        .map_err(|error| problem(&error))?;
    let mut variables: Vec<String> = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !ENVIRONMENT.globals().any(|(global, _)| global == name))
        .collect();
    // The engine does not look into slices (`a[b:c]`) for variables.
    if source.contains('[') && source.contains(':') {
        let named = VARIABLES.iter().filter(|name| source.contains(**name));
        variables.extend(named.map(|name| (*name).to_owned()));
    }
    variables.sort();
    variables.dedup();
    Ok(variables)
}

pub fn render(source: &str, context: Value) -> Result<String, Error> {
    ENVIRONMENT.get_template(source)?.render(context)
}

/// The error without the template's name, which is its whole source.
pub fn problem(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
