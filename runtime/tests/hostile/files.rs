//! Manifests, configs and states that are not what they should be.

use serde_json::{Value as Json, json};

use super::run::{Input, Ran, manifest};

fn text(manifest: &str) -> Ran {
    Input::new(manifest, json!({})).read()
}

fn stream(more: Json) -> Ran {
    Input::of("http://127.0.0.1:9", &more).read()
}

fn requester(more: Json) -> Ran {
    stream(json!({"retriever": {"requester": more}}))
}

#[test]
fn malformed_yaml_has_its_line_and_column() {
    text("streams:\n  - a: [1, 2\n  b: }\n").fails(2, &["manifest.yaml", "line 3", "column"]);
    text("streams:\n\t- a\n").fails(2, &["manifest.yaml", "line 2", "column"]);
    text("a: 'open\n").fails(2, &["manifest.yaml", "line", "column"]);
    text("a: *nowhere\n").fails(2, &["manifest.yaml", "line 1", "column"]);
    text("a: \0\n").fails(2, &["manifest.yaml"]);
}

#[test]
fn yaml_of_another_kind_is_an_error() {
    for manifest in ["", "null", "[]", "just text", "42"] {
        text(manifest).fails(2, &["manifest.yaml", "a manifest is a mapping"]);
    }
}

#[test]
fn yaml_that_would_fill_the_memory_is_an_error() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let ran = text(&laughs);
    ran.fails(2, &["manifest.yaml"]);
    assert!(ran.peak < 300, "{} MiB", ran.peak);
    text(&"[".repeat(100_000)).fails(2, &["manifest.yaml"]);
    text(&format!(
        "a: {}1{}",
        "{a: ".repeat(50_000),
        "}".repeat(50_000)
    ))
    .fails(2, &["manifest.yaml"]);
}

#[test]
fn references_in_a_circle_are_an_error() {
    let mut circle = manifest(&json!({"retriever": {"$ref": "#/definitions/a"}}));
    circle["definitions"] =
        json!({"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}});
    Input::new(circle, json!({}))
        .read()
        .fails(2, &["manifest.yaml", "definitions"]);
}

#[test]
fn a_malformed_template_is_found_before_anything_is_read() {
    let yaml = "
version: 6.0.0
type: DeclarativeSource
check: {type: CheckStream, stream_names: [things]}
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url_base: http://127.0.0.1:9
        path: \"/things/{{ config.id \"
      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: []}}
";
    text(yaml).fails(2, &["stream `things`", "{{ config.id", "line 13", "column"]);
}

#[test]
fn templates_that_cannot_be_are_errors() {
    for path in ["{% if %}", "{{ ", "{% for x in y %}", "{{ 1 + }}"] {
        requester(json!({"path": path})).fails(2, &["stream `things`", "requester"]);
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    requester(json!({"path": deep})).fails(2, &["stream `things`", "requester"]);
}

#[test]
fn a_template_that_runs_for_ever_is_an_error() {
    let long = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x{% endfor %}{% endfor %}{% endfor %}";
    let ran = requester(json!({"path": long}));
    assert!(matches!(ran.code, 1 | 2), "{}", ran.log);
    assert!(ran.peak < 500, "{} MiB", ran.peak);
    let huge = requester(json!({"path": "{{ 'x' * 99999999999 }}"}));
    assert!(matches!(huge.code, 1 | 2), "{}", huge.log);
    assert!(huge.peak < 500, "{} MiB", huge.peak);
}

#[test]
fn wrong_types_in_a_manifest_are_errors_that_say_where() {
    for (more, at) in [
        (json!({"retriever": 7}), "retriever"),
        (json!({"retriever": null}), "retriever"),
        (
            json!({"retriever": {"type": ["SimpleRetriever"]}}),
            "retriever",
        ),
        (json!({"retriever": {"requester": "x"}}), "requester"),
        (
            json!({"retriever": {"requester": {"path": {"a": 1}}}}),
            "requester",
        ),
        (
            json!({"retriever": {"requester": {"http_method": "GE T"}}}),
            "requester",
        ),
        (
            json!({"retriever": {"record_selector": []}}),
            "record_selector",
        ),
        (json!({"retriever": {"paginator": "next"}}), "paginator"),
        (
            json!({"retriever": {"partition_router": 1}}),
            "partition_router",
        ),
        (json!({"incremental_sync": "daily"}), "incremental_sync"),
        (json!({"transformations": ["x"]}), "transformations"),
    ] {
        let ran = stream(more.clone());
        ran.fails(2, &["stream `things`", at]);
    }
}

#[test]
fn streams_of_the_wrong_type_are_errors() {
    for streams in [
        json!({"a": 1}),
        json!("all"),
        json!([1]),
        json!([{"type": "DeclarativeStream"}]),
    ] {
        let mut manifest = manifest(&json!({}));
        manifest["streams"] = streams.clone();
        Input::new(manifest, json!({}))
            .read()
            .fails(2, &["manifest.yaml", "stream"]);
    }
}

#[test]
fn wrong_types_in_a_config_are_errors_that_say_where() {
    let cursor = |start: &str| {
        json!({"incremental_sync": {"type": "DatetimeBasedCursor", "cursor_field": "at",
            "datetime_format": "%Y-%m-%d", "start_datetime": start}})
    };
    let read = |more: Json, config: Json| Input::new(manifest(&more), config).read();
    for start in [
        json!([1]),
        json!({"a": 1}),
        json!(null),
        json!(true),
        json!("soon"),
    ] {
        let config = json!({"url": "http://127.0.0.1:9", "start": start});
        read(cursor("{{ config.start }}"), config).fails(2, &["stream `things`", "config.start"]);
    }
    for url in [
        json!(null),
        json!(7),
        json!([]),
        json!("no address"),
        json!({"a": 1}),
    ] {
        let ran = read(json!({}), json!({"url": url}));
        assert!(matches!(ran.code, 1 | 2), "{url}: {}", ran.log);
        assert!(ran.log.contains("requester"), "{url}: {}", ran.log);
    }
}

#[test]
fn a_config_or_state_that_is_no_mapping_or_list_is_an_error() {
    for config in ["[]", "null", "\"x\"", "", "{\"a\": "] {
        let ran = Input::new(manifest(&json!({})), config).read();
        ran.fails(2, &["config.json"]);
    }
    for state in ["{}", "7", "[1]", "[{\"type\": \"STREAM\"}]", "[{]"] {
        let mut input = Input::of("http://127.0.0.1:9", &json!({}));
        input.state = Some(state.to_owned());
        input.read().fails(2, &["state.json"]);
    }
    for state in [json!("x"), json!(7), json!([1])] {
        let input = Input::of("http://127.0.0.1:9", &json!({})).with_state(&state);
        input.read().fails(2, &["state.json", "things"]);
    }
}
