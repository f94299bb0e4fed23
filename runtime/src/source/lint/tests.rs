use super::*;

const GOOD: &str = r##"version: 7.39.1
type: DeclarativeSource
check: {type: CheckStream, stream_names: [users]}
definitions:
  requester:
    type: HttpRequester
    url: "https://example.test"
    authenticator: {type: BearerAuthenticator, api_token: "{{ config['token'] }}"}
streams:
  - type: DeclarativeStream
    name: users
    $parameters: {path: users}
    retriever:
      requester: {$ref: "#/definitions/requester", http_method: GET}
      record_selector:
        extractor: {field_path: [data]}
      paginator:
        type: DefaultPaginator
        pagination_strategy: {type: PageIncrement, page_size: 100}
"##;

fn shown(text: &str) -> String {
    let lines = lint(text).into_iter().map(|it| {
        let severity = match it.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("{}:{}: {severity}: {}", it.line, it.column, it.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_sound_manifest_has_no_findings() {
    assert_eq!(shown(GOOD), "");
}

#[test]
fn every_built_in_source_is_sound() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sources");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let errors: Vec<_> = lint(&text)
            .into_iter()
            .filter(|it| it.severity == Severity::Error)
            .collect();
        assert_eq!(errors, [], "{}", path.display());
    }
}

#[test]
fn findings_say_where_and_what() {
    let bad = GOOD
        .replace("http_method: GET", "htp_method: GET")
        .replace("stream_names: [users]", "stream_names: [user]")
        .replace("type: PageIncrement, page_size: 100", "type: PageIncrment")
        .replace("config['token'] }}", "config['token' }}")
        .replace("field_path: [data]", "field_path: {a: b}")
        .replace("streams:\n", "  lost: {type: NoAuth}\nstreams:\n");
    insta::assert_snapshot!(shown(&bad), @"
    3:43: error: there is no stream `user`; did you mean `users`?
    8:78: error: syntax error: unexpected `}`, expected `]`
    9:3: warning: nothing refers to `lost`
    15:52: error: HttpRequester has no `htp_method`; did you mean `http_method`?
    17:33: error: DpathExtractor.field_path is a mapping; expected a list of text
    20:37: error: there is no component `PageIncrment`; did you mean `PageIncrement`?
    ");
}

#[test]
fn what_is_missing_may_come_from_parameters() {
    let text = GOOD.replace("    name: users\n", "");
    insta::assert_snapshot!(shown(&text), @"3:43: error: there is no stream `users`");
    let text = text.replace("{path: users}", "{path: users, name: users}");
    assert_eq!(shown(&text), "");
}

#[test]
fn another_runtimes_code_and_a_dangling_reference_are_told() {
    let text = GOOD
        .replace("#/definitions/requester", "#/definitions/requestor")
        .replace(
            "extractor: {field_path: [data]}",
            "extractor: {type: CustomRecordExtractor, class_name: source_x.components.Records}",
        );
    insta::assert_snapshot!(shown(&text), @"
    5:3: warning: nothing refers to `requester`
    14:25: error: the reference `#/definitions/requestor` leads nowhere
    16:62: error: CustomRecordExtractor `source_x.components.Records` is code of another runtime; xetl has its own components (`xetl.<Name>`)
    ");
}

#[test]
fn streams_under_conditions_are_known() {
    let text = GOOD.replace(
        "streams:\n  - type: DeclarativeStream",
        "streams:\n  - {type: ConditionalStreams, condition: \"{{ config.x }}\", streams: ['#/definitions/extra']}\n  - type: DeclarativeStream",
    );
    let text = text.replace(
        "streams: ['#/definitions/extra']",
        "streams: [{$ref: '#/streams/1'}]",
    );
    assert_eq!(shown(&text), "");
}

#[test]
fn a_sessions_authenticators_go_by_their_short_names() {
    let session = |kind: &str| {
        let login = "{type: HttpRequester, url: 'https://a.test/login'}";
        let session = format!(
            "{{type: SessionTokenAuthenticator, session_token_path: [t], login_requester: {login}, request_authentication: {{type: {kind}}}}}"
        );
        GOOD.replace(
            "{type: BearerAuthenticator, api_token: \"{{ config['token'] }}\"}",
            &session,
        )
    };
    assert_eq!(shown(&session("Bearer")), "");
    assert!(shown(&session("Bearr")).contains("no component `Bearr`"));
}

#[test]
fn text_that_is_no_yaml_is_one_finding() {
    insta::assert_snapshot!(shown("a: [1\nb: 2"), @"2:2: error: illegal placement of ':' indicator");
}

#[test]
fn names_that_templates_do_not_know_are_told_where_they_stand() {
    let text = r#"version: 7.39.1
type: DeclarativeSource
check: {type: CheckStream, stream_names: [users]}
streams:
  - type: DeclarativeStream
    name: users
    retriever:
      requester:
        type: HttpRequester
        url: 'https://a.test/{{ response[''next''] }}/{{ confg.x }}'
        request_headers:
          a: "\"{{ nowutc() }}\" \
            {{ config.a | hsah('md5') }}"
          b: {{ x }}
          c: >-
            {{ config.list | map('upper')
               | base64encod }}

            {% if config.a is defind %}{{ stream_state.x }}{% endif %}
      record_selector:
        extractor: {field_path: [data]}
        record_filter:
          condition: |
            {% set at = record.at %}
            {% for x in record.list %}{{ x + at + xs }}{% endfor %}
            {{ at[: lenght] }}
"#;
    let text = text.replace("          b: {{ x }}\n", "");
    insta::assert_snapshot!(shown(&text), @"
    10:33: error: HttpRequester.url cannot read `response`, only `config`, `parameters`, `stream_slice`, `stream_partition`, `stream_interval`, `next_page_token`, `creation_response`, `polling_response`, `download_target` or `query_properties`
    10:58: error: there is no variable `confg` in templates; did you mean `config`?
    12:20: error: there is no function `nowutc` in templates; did you mean `now_utc`?
    13:27: error: there is no filter `hsah` in templates; did you mean `hash`?
    16:18: error: there is no filter `base64encod` in templates; did you mean `base64encode`?
    18:31: error: there is no test `defind` in templates; did you mean `defined`?
    18:43: error: `stream_state` is no more; `stream_interval` has the bounds of the slice
    24:51: error: there is no variable `xs` in templates
    25:21: error: there is no variable `lenght` in templates
    ");
}

#[test]
fn what_a_template_sets_and_what_others_fill_in_is_known() {
    let text = GOOD.replace(
        "    $parameters: {path: users}\n",
        "    primary_key: \"{% macro k(a) %}{{ a }}{% endmacro %}{% for a in parameters.b %}{{ k(a) ~ loop.index }}{% endfor %}\"\n",
    );
    assert_eq!(shown(&text), "");
    let spec = "spec:\n  type: Spec\n  connection_specification: {title: '{{ anything }}'}\n  advanced_auth:\n    oauth_config_specification:\n      oauth_connector_input_specification: {consent_url: '{{ client_id_key }}', access_token_url: '{{ x }}'}\n";
    assert_eq!(shown(&format!("{GOOD}{spec}")), "");
}

#[test]
fn a_template_that_does_not_compile_is_told_where_it_breaks() {
    let text = GOOD.replace(
        "\"{{ config['token'] }}\"",
        "\"a {{ config['x'] }} {{ config['token' }}\"",
    );
    insta::assert_snapshot!(shown(&text), @"8:98: error: syntax error: unexpected `}`, expected `]`");
}

#[test]
fn hostile_text_is_linted_in_a_time_that_grows_with_its_length() {
    let lines = |line: &dyn Fn(usize) -> String| (0..400).map(line).collect::<String>();
    for text in [
        lines(&|n| format!("k{n}: 1\n")),
        lines(&|_| "a: 1\n".to_owned()),
        format!(
            "definitions:\n{}",
            lines(&|n| format!(" d{n}: '#/definitions/d{}'\n", n + 1))
        ),
        format!("{}: 1\n", "s".repeat(15_000)),
    ] {
        assert!(!lint(&text).is_empty());
    }
}
