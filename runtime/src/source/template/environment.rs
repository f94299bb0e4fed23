//! The template engine, set up to speak Python. The only file that compiles and renders.

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Expression, Value};

use super::names::{Role, names};
use super::{arithmetic, comparison, filters, formatting, json, macros, methods, objects};

/// Jinja's filters and the reference's; the engine does not list its own.
const FILTERS: &str = "abs attr base64binascii_decode base64decode base64encode batch capitalize \
    center count default dictsort escape first float format groupby hash hmac indent int items \
    join last length list lower map max min pprint regex_replace regex_search reject rejectattr \
    replace reverse round safe select selectattr slice sort string sum title tojson trim truncate \
    unique upper urlencode wordcount";
const TESTS: &str = "boolean defined divisibleby eq escaped even false filter float ge gt in \
    integer iterable le lower lt mapping ne none number odd sameas sequence string test true \
    undefined upper";

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

/// Compiles `source` and names the variables it reads.
pub fn compile(source: &str) -> Result<Vec<String>, String> {
    let read = |source| {
        ENVIRONMENT.get_template(source)?;
        names(source)
    };
    let read = read(source).map_err(|error| problem(&error))?;
    let mut variables: Vec<String> = read
        .into_iter()
        .filter(|name| matches!(name.role, Role::Variable | Role::Function))
        .filter(|name| !is_function(&name.text))
        .map(|name| name.text)
        .collect();
    variables.sort();
    variables.dedup();
    Ok(variables)
}

pub fn is_function(name: &str) -> bool {
    ENVIRONMENT.globals().any(|(known, _)| known == name)
}

/// The functions a template can call.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    let names = ENVIRONMENT.globals().map(|(name, _)| name);
    // What operators are rewritten to is not for people.
    names.filter(|name| !name.starts_with('_'))
}

/// Filters to tell people of.
pub fn filter_names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let names = FILTERS.split_whitespace();
        names.filter(|name| is_filter(name)).collect()
    });
    &NAMES
}

/// Tests to tell people of.
pub fn test_names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let names = TESTS.split_whitespace();
        names.filter(|name| is_test(name)).collect()
    });
    &NAMES
}

/// The engine tells what it has to templates only.
type Question = LazyLock<Result<Expression<'static, 'static>, Error>>;

pub fn is_filter(name: &str) -> bool {
    static QUESTION: Question = LazyLock::new(|| ENVIRONMENT.compile_expression("name is filter"));
    holds(&QUESTION, name)
}

pub fn is_test(name: &str) -> bool {
    static QUESTION: Question = LazyLock::new(|| ENVIRONMENT.compile_expression("name is test"));
    holds(&QUESTION, name)
}

fn holds(question: &Question, name: &str) -> bool {
    let answer = question.as_ref().ok();
    let answer = answer.and_then(|question| question.eval(minijinja::context! { name }).ok());
    answer.is_some_and(|answer| answer.is_true())
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
