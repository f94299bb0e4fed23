use super::*;

fn scope() -> Scope {
    let config = super::super::json::decode(
        br#"{"start": "2024-01-01", "n": 5, "on": true, "list": [1, 2], "none": null, "s": {"k": "v"}}"#,
    )
    .unwrap();
    Scope::new(to_template(&config))
}

fn template(source: &str) -> Template {
    Template::new(source, minijinja::context! { p => "param" }).unwrap()
}

fn value(source: &str) -> String {
    python::repr(&template(source).value(&scope()).unwrap())
}

#[test]
fn renderings_are_read_as_python_literals() {
    for (source, expected) in [
        ("plain", "'plain'"),
        ("5", "5"),
        ("{{ config.n }}", "5"),
        ("{{ config['n'] }}0", "50"),
        ("'{{ config.n }}'", "'5'"),
        ("{{ config.on }}", "True"),
        ("{{ config.list }}", "[1, 2]"),
        ("{{ config.s }}", "{'k': 'v'}"),
        ("{{ config.none }}", "None"),
        ("{{ config.start }}", "'2024-01-01'"),
        ("{{ parameters.p }}", "'param'"),
        ("{{ config.n + 1 }}", "6"),
        ("{{ config.n / 2 }}", "2.5"),
        ("{{ config.get('missing', 'd') }}", "'d'"),
        ("{{ config['missing'] }}", "''"),
        ("{{ 'a,b'.split(',') }}", "['a', 'b']"),
        ("{{ config.s | string }}", "'{\"k\": \"v\"}'"),
        ("{{ config.n | string }}", "'5'"),
        ("{{ 'x' if config.on else 'y' }}", "'x'"),
        ("{{ max(2, 3) }}", "3"),
        (
            "{{ format_datetime(config.start, '%d/%m/%Y') }}",
            "'01/01/2024'",
        ),
        ("{{ format_datetime(0, '%Y') }}", "1970"),
        (
            "{{ timestamp('2024-01-01T00:00:00Z') | int }}",
            "1704067200",
        ),
        (
            "{{ (str_to_datetime('2024-03-01') - duration('P1D')).strftime('%F') }}",
            "'2024-02-29'",
        ),
        (
            "{{ str_to_datetime('2024-03-01') }}",
            "'2024-03-01 00:00:00+00:00'",
        ),
        ("{{ 'a' | hash }}", "'0cc175b9c0f1b6a831c399e269772661'"),
        ("{{ 'a' | hmac('k') | length }}", "64"),
        ("{{ 'user:pw' | base64encode | base64decode }}", "'user:pw'"),
        ("{{ 'id=12;' | regex_search('id=([0-9]+)') }}", "12"),
        (
            "{{ 'a-b' | regex_replace('(a)-(b)', '\\\\2\\\\1') }}",
            "'ba'",
        ),
        (
            "{% for x in config.list: %}{% if x > 1: %}b{% else: %}a{% endif %}{% endfor %}",
            "'ab'",
        ),
        (
            "{% if config.on %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}",
            "1",
        ),
        ("{{ now_utc() < now_utc() + duration('PT1H') }}", "True"),
    ] {
        assert_eq!(value(source), expected, "{source}");
    }
}

#[test]
fn wrong_types_leave_the_template_as_it_is() {
    assert_eq!(value("{{ config.start + 1 }}"), "'{{ config.start + 1 }}'");
}

#[test]
fn a_variable_that_is_not_there_is_an_error() {
    let problem = template("{{ record.id }}").value(&scope()).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "cannot evaluate `{{ record.id }}`: there is no variable `record` here"
    );
    assert!(template("{{ config.a.b }}").value(&scope()).is_err());
}

#[test]
fn conditions_hold_unless_false_empty_or_undefined() {
    for (source, expected) in [
        ("{{ config.on }}", true),
        ("{{ config.n > 9 }}", false),
        ("{{ config.missing }}", false),
        ("{{ config.a.b }}", false),
        ("{{ [] }}", false),
        ("0", false),
        ("x", true),
    ] {
        assert_eq!(
            template(source).condition(&scope()).unwrap(),
            expected,
            "{source}"
        );
    }
}

#[test]
fn entries_of_mappings_are_nothing_when_empty() {
    let entry = |source, accept| template(source).entry(&scope(), accept).unwrap();
    assert_eq!(entry("{{ config.missing }}", Accept::Any), Value::Null);
    assert_eq!(
        entry("{{ config.n }}", Accept::TextOrList),
        Value::from("5")
    );
    assert_eq!(entry("{{ config.n }}", Accept::Any), Value::Int(5));
    // A tuple is no list, where only text and lists count.
    assert_eq!(entry("'a','b'", Accept::TextOrList), Value::from("'a','b'"));
}

#[test]
fn values_of_different_kinds_have_no_order() {
    // As the reference does with a TypeError, the template is left as it is written.
    assert_eq!(value("{{ config.n < 'a' }}"), "\"{{ config.n < 'a' }}\"");
    assert_eq!(value("{{ 1 < config.n <= 5 }}"), "True");
    assert_eq!(
        value("{{ max(config.n, 'a') }}"),
        "\"{{ max(config.n, 'a') }}\""
    );
    let scope = scope();
    assert!(template("{{ config.nothing > 1 }}").value(&scope).is_err());
    assert!(
        template("{{ config.nothing + 'x' }}")
            .value(&scope)
            .is_err()
    );
    assert!(
        !template("{{ config.nothing > 1 }}")
            .condition(&scope)
            .unwrap()
    );
}

#[test]
fn variables_inside_of_slices_are_seen() {
    assert_eq!(value("{{ config.start[:4] }}"), "2024");
    assert_eq!(
        value("{{ (config.start if config.on else 'x')[:4] ~ '!' }}"),
        "'2024!'"
    );
}

#[test]
fn patterns_are_pythons() {
    assert_eq!(value(r"{{ 'a1b' | regex_search('(?<=a)(\d)(?=b)') }}"), "1");
    assert_eq!(
        value(r"{{ 'x-y' | regex_replace('(x)-(y)', '\\2-\\1') }}"),
        "'y-x'"
    );
}

#[test]
fn expressions_too_deep_for_the_stack_are_an_error() {
    let brackets = format!("{{{{ {}1{} }}}}", "min(".repeat(2000), ")".repeat(2000));
    let filters = format!("{{{{ x{} }}}}", "|string".repeat(2000));
    for source in [brackets, filters] {
        let error = Template::new(&source, minijinja::Value::UNDEFINED).unwrap_err();
        assert_eq!(error.problem, "an expression is nested too deep");
    }
}
