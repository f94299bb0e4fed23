use serde_json::json;

use super::*;

fn specification() -> Value {
    json!({
        "type": "object",
        "required": ["credentials", "start_date", "region"],
        "properties": {
            "start_date": {
                "type": "string", "title": "Start date", "order": 2, "format": "date",
                "description": "Records from <b>this day</b> on.", "default": "2020-01-01"},
            "page_size": {"type": "integer", "minimum": 1, "maximum": 1000, "order": 3},
            "region": {"type": "string", "enum": ["au", "nz"], "order": 0},
            "tenants": {"type": ["null", "array"], "items": {"type": "string"}, "order": 4},
            "credentials": {
                "title": "Sign in", "type": "object", "order": 1,
                "oneOf": [
                    {"title": "Custom connection", "required": ["auth_type", "client_id", "client_secret"],
                     "properties": {
                        "auth_type": {"const": "client_credentials"},
                        "client_id": {"type": "string", "pattern": "^[A-F0-9]{4}$",
                                      "pattern_descriptor": "four hex digits"},
                        "client_secret": {"type": "string", "airbyte_secret": true,
                                          "pattern": "^s-"}}},
                    {"title": "OAuth", "required": ["auth_type", "refresh_token"],
                     "properties": {
                        "auth_type": {"const": "refresh"},
                        "refresh_token": {"type": "string", "airbyte_secret": true}}},
                ]},
        },
    })
}

fn interview(specification: &Value) -> Interview<'_> {
    Interview::new(specification, Map::new(), BTreeSet::new())
}

fn text(path: &str, value: &str) -> (String, Given) {
    (path.to_owned(), Given::Text(value.to_owned()))
}

fn secret(path: &str, value: &str) -> (String, Given) {
    (path.to_owned(), Given::Secret(value.into()))
}

fn paths(fields: &[Field]) -> Vec<&str> {
    fields.iter().map(|field| field.path.as_str()).collect()
}

#[test]
fn questions_come_in_their_order_and_a_choice_opens_its_own() {
    let specification = specification();
    let mut interview = interview(&specification);
    assert_eq!(
        paths(&interview.open()),
        [
            "region",
            "credentials.auth_type",
            "start_date",
            "page_size",
            "tenants"
        ]
    );
    let choice = interview.open().remove(1);
    interview.answer(&choice, "refresh").unwrap();
    assert_eq!(interview.next().unwrap().path, "region");
    assert_eq!(
        paths(&interview.open()),
        [
            "region",
            "credentials.refresh_token",
            "start_date",
            "page_size",
            "tenants"
        ]
    );
}

#[test]
fn answers_given_ahead_come_in_any_order() {
    let specification = specification();
    let mut interview = interview(&specification);
    interview
        .take(vec![
            secret("credentials.client_secret", "s-1"),
            text("credentials.client_id", "00FF"),
            text("region", "nz"),
            text("tenants", "a, b"),
        ])
        .unwrap();
    assert!(interview.settle_defaults().is_empty());
    let (config, secrets) = interview.finish();
    insta::assert_json_snapshot!(config, @r#"
    {
      "region": "nz",
      "tenants": [
        "a",
        "b"
      ],
      "credentials": {
        "auth_type": "client_credentials",
        "client_id": "00FF"
      },
      "start_date": "2020-01-01"
    }
    "#);
    assert_eq!(secrets["credentials.client_secret"].expose_secret(), "s-1");
}

#[test]
fn what_is_missing_is_what_has_no_default() {
    let specification = specification();
    let mut interview = interview(&specification);
    interview
        .take(vec![text("credentials.auth_type", "refresh")])
        .unwrap();
    let missing = interview.settle_defaults();
    assert_eq!(paths(&missing), ["region", "credentials.refresh_token"]);
}

#[test]
fn what_is_known_is_not_asked_again() {
    let specification = specification();
    let config = json!({"region": "au", "start_date": "2024-01-01",
                        "credentials": {"auth_type": "refresh"}});
    let stored = BTreeSet::from(["credentials.refresh_token".to_owned()]);
    let config = config.as_object().unwrap().clone();
    let interview = Interview::new(&specification, config, stored);
    assert_eq!(interview.next(), None);
}

#[test]
fn a_wrong_answer_says_what_is_wanted() {
    let specification = specification();
    let refusals: Vec<String> = [
        text("start_date", "31/1/2024"),
        text("page_size", "many"),
        text("page_size", "5000"),
        text("region", "uk"),
        text("credentials.client_id", "xyz"),
        secret("credentials.client_secret", "hunter2"),
        text("credentials.client_secret", "s-1"),
        secret("region", "au"),
        text("start_dat", "2024-01-01"),
    ]
    .into_iter()
    .map(|given| {
        let error = interview(&specification).take(vec![given]).unwrap_err();
        match error.hint() {
            Some(hint) => format!("{error} / {hint}"),
            None => error.to_string(),
        }
    })
    .collect();
    assert!(!refusals.join("").contains("hunter2"));
    insta::assert_snapshot!(refusals.join("\n"), @"
    `start_date`: must be a date like 2024-01-31, not `31/1/2024`
    `page_size`: must be a whole number, not `many`
    `page_size`: must be at most 1000
    `region`: must be one of au, nz, not `uk`
    `credentials.client_id`: must look like four hex digits, not `xyz`
    `credentials.client_secret`: must match ^s-
    `credentials.client_secret` is a secret and does not belong into the arguments, where others see it / use `--secret-file credentials.client_secret=FILE` or the environment variable XETL_SECRET_CREDENTIALS_CLIENT_SECRET
    `region` is no secret; give it with `--config region=...`
    the source has no setting `start_dat` / did you mean `start_date`?
    ");
}

#[test]
fn help_is_words_without_markup() {
    let specification = specification();
    let fields = interview(&specification).fields();
    let start = fields.iter().find(|field| field.path == "start_date");
    assert_eq!(
        start.unwrap().help.as_deref(),
        Some("Records from this day on.")
    );
}

#[test]
fn a_part_of_an_optional_group_needs_the_rest() {
    let specification = json!({"properties": {"proxy": {
        "type": "object", "required": ["host", "port"],
        "properties": {"host": {"type": "string"}, "port": {"type": "integer"}}}}});
    let mut interview = interview(&specification);
    assert_eq!(interview.next(), None);
    interview.take(vec![text("proxy.host", "h")]).unwrap();
    assert_eq!(interview.next().unwrap().path, "proxy.port");
}
