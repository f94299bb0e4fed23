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
    8:59: error: syntax error: unexpected `}`, expected `]`
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
fn text_that_is_no_yaml_is_one_finding() {
    insta::assert_snapshot!(shown("a: [1\nb: 2"), @"2:2: error: illegal placement of ':' indicator");
}
