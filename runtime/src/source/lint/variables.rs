//! Which variables a field's template can read.
//!
//! Only fields of which it is certain are told apart; any other may read every variable.

/// Every template has these.
const COMMON: &[&str] = &["config", "parameters"];
const SLICE: &[&str] = &["stream_slice", "stream_partition", "stream_interval"];
const REQUEST: &[&str] = &[
    "next_page_token",
    "creation_response",
    "polling_response",
    "download_target",
    "query_properties",
];
const RECORD: &[&str] = &["record", "next_page_token"];
const PAGE: &[&str] = &[
    "response",
    "headers",
    "last_record",
    "last_page_size",
    "page_size",
];
const RESPONSE: &[&str] = &["response", "headers", "request_url"];
/// Each read by a field or two.
const OTHERS: &[&str] = &[
    "components_values",
    "json_loads",
    "path",
    "property",
    "raw_schema",
    "session_token",
    "stream_template_config",
    "value",
];

/// Components whose templates others fill in, or no one.
const UNREAD: [&str; 4] = [
    "Spec",
    "AuthFlow",
    "OAuthConfigSpecification",
    "OauthConnectorInputSpecification",
];

pub fn is_read(component: &str) -> bool {
    !UNREAD.contains(&component)
}

/// The variables of a component's field.
pub fn of(component: &str, field: &str) -> Vec<&'static str> {
    let groups: &[&[&str]] = match (component, field) {
        ("HttpRequester", _) => &[SLICE, REQUEST],
        ("RecordFilter", _) | ("AddedFieldDefinition", "value") => &[SLICE, RECORD],
        ("CursorPagination", "cursor_value" | "stop_condition") => &[PAGE],
        ("HttpResponseFilter", "predicate" | "error_message") => &[RESPONSE],
        (
            "ApiKeyAuthenticator"
            | "BasicHttpAuthenticator"
            | "BearerAuthenticator"
            | "OAuthAuthenticator"
            | "DatetimeBasedCursor"
            | "MinMaxDatetime"
            | "DpathExtractor"
            | "ListPartitionRouter",
            _,
        ) => &[],
        _ => return all(),
    };
    flat(&[&[COMMON], groups].concat())
}

/// The variables of any field.
pub fn all() -> Vec<&'static str> {
    flat(&[COMMON, SLICE, REQUEST, RECORD, PAGE, RESPONSE, OTHERS])
}

fn flat(groups: &[&[&'static str]]) -> Vec<&'static str> {
    groups.iter().copied().flatten().copied().collect()
}
