use futures::{TryStreamExt, stream};
use serde_json::{Map, json};

use super::*;
use crate::schema::declared;
use crate::value::Value;

/// One stream, `people`, of one page.
struct People {
    streams: Vec<Box<dyn Stream>>,
}

struct One {
    info: StreamInfo,
    record: Json,
}

impl Source for People {
    fn streams(&self) -> &[Box<dyn Stream>] {
        &self.streams
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        std::future::ready(Ok(())).boxed()
    }
}

impl Stream for One {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn slices<'a>(&'a self, _: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        stream::iter([Ok(Slice::default())]).boxed()
    }

    fn pages<'a>(&'a self, _: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        let page = Page {
            records: vec![Value::from(&self.record)].into(),
            cursor: Some("7".into()),
        };
        stream::iter([Ok(page)]).boxed()
    }

    fn state_after(&self, _: &State, done: &[SliceDone]) -> State {
        json!({"done": done.len()})
    }
}

fn people(schema: Json, record: Json) -> Box<dyn Source> {
    let info = StreamInfo {
        name: "people".into(),
        primary_key: vec!["Id".into()],
        cursor_field: Some("At".into()),
        schema,
        types: json!({}),
        mode: None,
    };
    Box::new(People {
        streams: vec![Box::new(One { info, record })],
    })
}

fn steps(yaml: &str) -> Vec<Step> {
    serde_saphyr::from_str(yaml).unwrap()
}

fn opened(yaml: &str, source: Box<dyn Source>) -> Result<Box<dyn Source>, SourceError> {
    let config = Map::from_iter([("country".to_owned(), json!("NZ"))]);
    let key = "salt".to_owned().into();
    let around = Around {
        config: &config,
        hash_key: Some(&key),
    };
    reshaped(source, [(&"people".to_owned(), &steps(yaml)[..])], &around)
}

async fn read(yaml: &str, record: Json) -> Json {
    let source = opened(yaml, people(json!({}), record)).unwrap();
    let slice = Slice::default();
    let pages: Vec<Page> = source.streams()[0]
        .pages(&slice)
        .try_collect()
        .await
        .unwrap();
    pages[0].records.values()[0].to_json()
}

fn refused(yaml: &str) -> String {
    match opened(yaml, people(json!({}), json!({}))) {
        Ok(_) => panic!("{yaml} was taken"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn steps_are_taken_in_their_order() {
    let yaml = "
- add: {full: \"{{ record['first'] }} {{ record['last'] }}\", land: {value: \"{{ config['country'] }}\", type: STRING}}
- rename: {full: name, address.Post Code: postcode}
- remove: [first, last]
- cast: {amount: NUMERIC, address.lines.*.n: STRING}
- mask: {fields: [card], keep_last: 4}
- time_zone: {fields: [seen], from: Europe/London}
- component: {type: KeysToSnakeCase}
";
    let record = json!({
        "first": "Ada", "last": "Byron", "amount": "1.50", "card": "4111111111111111",
        "seen": "2024-07-01T10:00:00",
        "address": {"Post Code": "EC1", "lines": [{"n": 1}, {"n": 2}]},
    });
    assert_eq!(
        read(yaml, record).await,
        json!({
            "amount": 1.5, "card": "****1111", "seen": "2024-07-01T09:00:00Z",
            "address": {"postcode": "EC1", "lines": [{"n": "1"}, {"n": "2"}]},
            "name": "Ada Byron", "land": "NZ",
        })
    );
}

#[tokio::test]
async fn a_number_made_by_a_template_stays_text_where_no_type_is_given() {
    let record = read("[{add: {code: \"007\"}}]", json!({})).await;
    assert_eq!(record, json!({"code": "007"}));
}

#[tokio::test]
async fn a_field_whose_new_name_is_taken_stays() {
    let record = read("[{rename: {a: b}}]", json!({"a": 1, "b": 2})).await;
    assert_eq!(record, json!({"a": 1, "b": 2}));
    let record = read("[{rename: {a: b}}]", json!({"a": 1, "b": null})).await;
    assert_eq!(record, json!({"b": 1}));
}

#[tokio::test]
async fn hashes_join_across_fields() {
    let record = read(
        "[{hash: [a, b, none]}]",
        json!({"a": "x", "b": "x", "c": "x"}),
    )
    .await;
    assert_eq!(record["a"], record["b"]);
    assert_ne!(record["a"], record["c"]);
    assert_eq!(record["a"].as_str().map(str::len), Some(64));
}

#[test]
fn key_and_cursor_follow_a_new_name_and_the_declared_columns_the_steps() {
    let schema = json!({"properties": {
        "Id": {"type": "integer"}, "At": {"type": "string"}, "Amount": {"type": "string"},
        "Email": {"type": "string", "format": "date"}, "Gone": {"type": "string"},
    }});
    let yaml = "
- rename: {Id: id, At: at}
- cast: {Amount: NUMERIC, at: TIMESTAMP}
- remove: [Gone]
- hash: [Email]
- add: {made: {value: \"1\", type: INT64}}
";
    let source = opened(yaml, people(schema, json!({}))).unwrap();
    let info = source.streams()[0].info();
    assert_eq!(info.primary_key, ["id"]);
    assert_eq!(info.cursor_field.as_deref(), Some("at"));
    let columns = declared::table_schema(&info.schema).unwrap().columns;
    let columns = columns
        .iter()
        .map(|it| format!("{} {:?}", it.name, it.kind));
    insta::assert_snapshot!(columns.collect::<Vec<_>>().join(", "), @"Amount Numeric, Email String, id Int64, at Timestamp, made Int64");
}

#[test]
fn where_nothing_is_declared_the_steps_types_are_kept_apart() {
    let yaml = "[{cast: {amount: NUMERIC}}, {rename: {amount: total}}]";
    let source = opened(yaml, people(json!({}), json!({}))).unwrap();
    let info = source.streams()[0].info();
    assert_eq!(info.schema, json!({}));
    assert_eq!(
        info.types,
        json!({"properties": {"total": {"xetl_type": "NUMERIC"}}})
    );
}

#[test]
fn a_step_that_cannot_be_taken_says_why() {
    insta::assert_snapshot!(refused("[{}]"), @"stream `people`, transformations[0]: a step is exactly one of add, remove, rename, cast, hash, mask, time_zone and component; give each its own `-`");
    insta::assert_snapshot!(refused("[{remove: [a], mask: {fields: [b]}}]"), @"stream `people`, transformations[0]: a step is exactly one of add, remove, rename, cast, hash, mask, time_zone and component; give each its own `-`");
    insta::assert_snapshot!(refused("[{remove: [a..b]}]"), @"stream `people`, transformations[0]: `a..b` names no field; write `a`, `a.b` or `list.*.b`");
    insta::assert_snapshot!(refused("[{rename: {a: b.c}}]"), @"stream `people`, transformations[0]: `b.c` is no name for `a`: a field keeps its place, give only its last key");
    insta::assert_snapshot!(refused("[{time_zone: {fields: [a], from: Europe/Londn}}]"), @"stream `people`, transformations[0]: there is no time zone `Europe/Londn`; name one such as Europe/London");
    insta::assert_snapshot!(refused("[{add: {a: \"{{ record[ }}\"}}]"), @"stream `people`, transformations[0].fields[0]: cannot evaluate `{{ record[ }}`: syntax error: unexpected `}`");
    insta::assert_snapshot!(refused("[{component: {type: AddFeilds}}]"), @"stream `people`, transformations[0]: AddFeilds is not supported; expected AddFields, RemoveFields, KeysToLower, KeysToSnakeCase, KeysReplace, FlattenFields or DpathFlattenFields");
}
