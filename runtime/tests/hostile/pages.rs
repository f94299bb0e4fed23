//! Pages without an end, and cursor values that go where they please.

use serde_json::{Value as Json, json};

use super::run::{Input, Ran};
use super::server::{Answer, Asked, Server, json as reply_json};

fn paged(strategy: Json) -> Json {
    let option =
        json!({"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"});
    json!({"retriever": {"paginator": {
        "type": "DefaultPaginator", "pagination_strategy": strategy, "page_token_option": option}}})
}

fn read(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static, stream: &Json) -> (Ran, usize) {
    let server = Server::new(answer);
    let ran = Input::of(&server.url(), stream).read();
    (ran, server.asked().len())
}

#[test]
fn a_page_that_comes_for_ever_is_an_error() {
    let by_token = json!({"type": "CursorPagination", "cursor_value": "{{ response.next }}"});
    let by_number = json!({"type": "PageIncrement", "page_size": 1});
    let by_offset = json!({"type": "OffsetIncrement", "page_size": 1});
    let body = r#"{"data": [{"id": 1}], "next": "same"}"#;
    for (strategy, most) in [(by_token, 10), (by_number, 110), (by_offset, 110)] {
        let (ran, requests) = read(move |_| reply_json(body), &paged(strategy));
        ran.fails(
            1,
            &["stream `things`", "paging has no end", "stop condition"],
        );
        assert!(requests <= most, "{requests} requests");
    }
}

#[test]
fn pages_in_a_circle_are_an_error() {
    let strategy = json!({"type": "CursorPagination", "cursor_value": "{{ response.next }}"});
    let answer = |asked: &Asked| {
        let page = asked.number("page");
        let next = (page + 1) % 7 + 7;
        reply_json(json!({"data": [{"id": page}], "next": next}).to_string())
    };
    let (ran, requests) = read(answer, &paged(strategy));
    ran.fails(1, &["paging has no end"]);
    assert!(requests < 100, "{requests} requests");
}

#[test]
fn an_empty_page_with_a_token_for_the_next_goes_on_to_the_end() {
    let strategy = json!({"type": "CursorPagination", "cursor_value": "{{ response.next }}"});
    let answer = |asked: &Asked| {
        let page = asked.number("page");
        let next = (page < 50).then_some(page + 1);
        reply_json(json!({"data": [], "next": next}).to_string())
    };
    let (ran, requests) = read(answer, &paged(strategy));
    ran.succeeds();
    assert_eq!(requests, 51);
}

fn by_day(more: Json) -> Json {
    let mut cursor = json!({
        "type": "DatetimeBasedCursor",
        "cursor_field": "at",
        "datetime_format": "%Y-%m-%d",
        "start_datetime": "2024-01-01",
        "end_datetime": "2024-01-31",
    });
    for (name, value) in more.as_object().unwrap() {
        cursor[name] = value.clone();
    }
    json!({"incremental_sync": cursor})
}

fn days(days: &'static [&'static str]) -> impl Fn(&Asked) -> Answer + Send + Sync {
    move |_| {
        let records = days.iter().enumerate();
        let records: Vec<_> = records
            .map(|(id, day)| json!({"id": id, "at": day}))
            .collect();
        reply_json(json!({"data": records}).to_string())
    }
}

#[test]
fn a_state_is_the_newest_record_however_they_come() {
    let (ran, _) = read(
        days(&["2024-01-20", "2024-01-25", "2024-01-03"]),
        &by_day(json!({})),
    );
    ran.succeeds();
    assert_eq!(ran.records().len(), 3);
    assert_eq!(ran.state, json!({"at": "2024-01-25"}));
}

#[test]
fn a_state_does_not_go_back() {
    for more in [
        json!({}),
        json!({"step": "P5D", "cursor_granularity": "P1D"}),
    ] {
        let server = Server::new(days(&["2024-01-03", "2024-01-02"]));
        let input = Input::of(&server.url(), &by_day(more));
        let ran = input.with_state(&json!({"at": "2024-01-20"})).read();
        ran.succeeds();
        assert_eq!(ran.state, json!({"at": "2024-01-20"}));
    }
}

#[test]
fn a_number_that_counts_does_not_go_back() {
    let cursor = json!({"incremental_sync": {
        "type": "IncrementingCountCursor", "cursor_field": "id", "start_value": 0}});
    let body = r#"{"data": [{"id": 7}, {"id": 3}]}"#;
    let server = Server::new(move |_| reply_json(body));
    let ran = Input::of(&server.url(), &cursor)
        .with_state(&json!({"id": 40}))
        .read();
    ran.succeeds();
    assert_eq!(ran.state["id"], json!(40));
}

#[test]
fn a_cursor_value_that_is_no_date_loses_no_record() {
    let (ran, _) = read(
        days(&[
            "2024-01-20",
            "soon",
            "",
            "2024-13-77",
            "99999999999999999999",
        ]),
        &by_day(json!({})),
    );
    ran.succeeds();
    assert_eq!(ran.records().len(), 5);
    assert_eq!(ran.state, json!({"at": "2024-01-20"}));
}

#[test]
fn a_cursor_value_of_another_type_loses_no_record() {
    let body = r#"{"data": [{"at": "2024-01-20"}, {"at": null}, {}, {"at": [1]}, {"at": {"x": 1}}, {"at": true}, {"at": 77777777777777777777777}]}"#;
    for more in [
        json!({}),
        json!({"is_client_side_incremental": true}),
        json!({"is_data_feed": true}),
    ] {
        let (ran, _) = read(move |_| reply_json(body), &by_day(more.clone()));
        ran.succeeds();
        assert_eq!(ran.records().len(), 7, "{more}");
        assert_eq!(ran.state, json!({"at": "2024-01-20"}), "{more}");
    }
}

#[test]
fn a_state_of_the_wrong_type_is_an_error_and_stays_as_it_was() {
    for state in [
        json!({"at": "yesterday"}),
        json!({"at": [1]}),
        json!({"at": {"x": 1}}),
        json!({"state_type": "date-range", "slices": "all"}),
        json!({"state_type": "date-range", "slices": [{"start": 1, "end": null}]}),
    ] {
        let server = Server::new(days(&["2024-01-20"]));
        let ran = Input::of(&server.url(), &by_day(json!({})))
            .with_state(&state)
            .read();
        ran.fails(1, &["things", "state"]);
        assert_eq!(ran.state, state);
        assert_eq!(server.asked().len(), 0, "{state}");
    }
}
