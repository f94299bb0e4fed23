//! Whatever a record holds, its columns and `_xetl_rescued` together hold the same.

#![allow(clippy::unwrap_used)]

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::*;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use xetl_runtime::batch::Stamp;
use xetl_runtime::parts::PartWriter;
use xetl_runtime::schema::evolution::{Existing, reconciled};
use xetl_runtime::schema::{Column, Kind, TableSchema, declared};
use xetl_runtime::value::{Borrowed, Value};

fn schema() -> TableSchema {
    let line = json!({"type": "object", "properties": {
        "a": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    }});
    let properties = json!({
        "a": {"type": "integer"},
        "b": {"type": "number"},
        "c": {"type": "string"},
        "d": {"type": "boolean"},
        "e": {"type": "string", "format": "date-time"},
        "f": {"type": "number", "xetl_type": "NUMERIC"},
        "g": {},
        "h": line,
        "i": {"type": "array", "items": line},
        "j": {"type": "array", "items": {"type": "integer"}},
        "k": {"type": "string", "format": "date", "xetl_format": "%d/%m/%Y"},
    });
    declared::table_schema(&json!({ "properties": properties })).unwrap()
}

/// As declared, with objects as text, and beside a table whose types are others.
fn schemas() -> [TableSchema; 3] {
    let table = json!({
        "a": {"type": "string"},
        "b": {"type": "integer"},
        "c": {"type": "integer"},
        "h": {"type": "object", "properties": {"a": {"type": "string"}}},
        "i": {"type": "array", "items": {"type": "string"}},
        "j": {"type": "integer"},
    });
    let table = declared::table_schema(&json!({ "properties": table })).unwrap();
    let fields = table.bigquery();
    let existing = Existing {
        fields: &fields,
        widens: false,
        fixed: &[],
    };
    let (reconciled, _) = reconciled(&schema(), Some(existing));
    [schema(), schema().as_text(), reconciled]
}

/// Any JSON, often of the type its field should have.
fn any_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-1000..1000i64).prop_map(Json::from),
        (-1000..1000i32).prop_map(|n| json!(f64::from(n) / 8.0)),
        "[a-z~/é\"]{0,5}".prop_map(Json::from),
        "[0-3][0-9]/[01][0-9]/20[0-9][0-9]".prop_map(Json::from),
        (0..4_000_000_000_000_000i64).prop_map(|micros| jiff::Timestamp::from_microsecond(micros)
            .unwrap()
            .to_string()
            .into()),
    ];
    leaf.prop_recursive(3, 30, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            any_object(inner).prop_map(Json::from),
        ]
    })
}

fn any_object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Map<String, Json>> {
    let field = prop_oneof!["[a-k]", Just("tags".to_owned()), Just("x/y~z".to_owned())];
    proptest::collection::vec((field, value), 0..8).prop_map(|fields| fields.into_iter().collect())
}

fn written(schema: &TableSchema, records: &[Json]) -> RecordBatch {
    let stamp = Stamp {
        run_id: "r1".into(),
        extracted_at: 0,
    };
    let mut writer = PartWriter::new(schema.clone(), stamp);
    for record in records {
        assert_eq!(
            writer.push(&Borrowed::from(&Value::from(record))).unwrap(),
            None
        );
    }
    let part = writer.finish().unwrap().unwrap();
    assert_eq!(part.rows, records.len() as u64);
    let reader = ParquetRecordBatchReaderBuilder::try_new(part.bytes).unwrap();
    reader.build().unwrap().next().unwrap().unwrap()
}

/// The record a row came from, out of its columns and what was rescued.
fn read_back(schema: &TableSchema, batch: &RecordBatch, row: usize) -> Json {
    let mut record = Map::new();
    for column in &schema.columns {
        let array = batch.column_by_name(&column.name).unwrap();
        record.insert(column.field.clone(), cell(column, array.as_ref(), row));
    }
    let mut record = Json::from(record);
    let rescued = batch
        .column_by_name("_xetl_rescued")
        .unwrap()
        .as_string::<i32>();
    if rescued.is_valid(row) {
        let rescued: Map<String, Json> = serde_json::from_str(rescued.value(row)).unwrap();
        for (pointer, value) in rescued {
            put_back(&mut record, &pointer, value);
        }
    }
    record
}

fn cell(column: &Column, array: &dyn Array, row: usize) -> Json {
    if array.is_null(row) {
        return Json::Null;
    }
    if column.repeated {
        let items = array.as_list::<i32>().value(row);
        let item = Column {
            repeated: false,
            ..column.clone()
        };
        return (0..items.len())
            .map(|at| cell(&item, items.as_ref(), at))
            .collect();
    }
    match &column.kind {
        Kind::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        Kind::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        Kind::Bool => array.as_boolean().value(row).into(),
        Kind::String => array.as_string::<i32>().value(row).into(),
        Kind::Text => serde_json::from_str(array.as_string::<i32>().value(row)).unwrap(),
        Kind::Numeric => (array.as_primitive::<Decimal128Type>().value(row) as f64 / 1e9).into(),
        Kind::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            jiff::Timestamp::from_microsecond(micros)
                .unwrap()
                .to_string()
                .into()
        }
        Kind::Date => {
            let days = array.as_primitive::<Date32Type>().value(row);
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
            date.strftime("%d/%m/%Y").to_string().into()
        }
        Kind::Struct(columns) => {
            let array = array.as_struct();
            let field = |column: &Column| {
                let values = array.column_by_name(&column.name).unwrap();
                (column.field.clone(), cell(column, values.as_ref(), row))
            };
            columns.iter().map(field).collect::<Map<_, _>>().into()
        }
        kind => panic!("not in this schema: {kind:?}"),
    }
}

/// Items are rescued in the order of their array: each finds the ones before it in place.
fn put_back(record: &mut Json, pointer: &str, value: Json) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match record.pointer_mut(parent).unwrap() {
        Json::Object(fields) => {
            fields.insert(key.replace("~1", "/").replace("~0", "~"), value);
        }
        Json::Array(items) => items.insert(key.parse().unwrap(), value),
        other => panic!("{pointer} is in {other}"),
    }
}

/// Fields in order, none null, whole numbers as doubles: what JSON calls the same.
fn canonical(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let mut fields: Vec<_> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .collect();
            fields.sort_by_key(|(name, _)| *name);
            fields
                .into_iter()
                .map(|(name, value)| (name.clone(), canonical(value)))
                .collect::<Map<_, _>>()
                .into()
        }
        Json::Array(items) => items.iter().map(canonical).collect(),
        Json::Number(number) => number.as_f64().unwrap().into(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(records in proptest::collection::vec(any_object(any_value()), 1..20)) {
        let records: Vec<Json> = records.into_iter().map(Json::from).collect();
        for schema in schemas() {
            let batch = written(&schema, &records);
            for (row, record) in records.iter().enumerate() {
                prop_assert_eq!(canonical(&read_back(&schema, &batch, row)), canonical(record));
            }
        }
    }

    #[test]
    fn the_same_records_give_the_same_bytes(records in proptest::collection::vec(any_object(any_value()), 1..5)) {
        let bytes = || {
            let mut writer = PartWriter::new(schema(), Stamp { run_id: "r".into(), extracted_at: 1 });
            for record in &records {
                writer.push(&Borrowed::from(&Value::from(&Json::from(record.clone())))).unwrap();
            }
            writer.finish().unwrap().unwrap().bytes
        };
        prop_assert_eq!(bytes(), bytes());
    }
}

/// BigQuery's list inference wants the three levels of the Parquet specification.
#[test]
fn lists_have_the_standard_form() {
    let stamp = Stamp {
        run_id: "r1".into(),
        extracted_at: 0,
    };
    let mut writer = PartWriter::new(schema(), stamp);
    writer
        .push(&Borrowed::from(&Value::from(&json!({"j": [1]}))))
        .unwrap();
    let part = writer.finish().unwrap().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(part.bytes).unwrap();
    let columns = reader.parquet_schema().columns();
    let paths: Vec<String> = columns
        .iter()
        .map(|column| column.path().string())
        .collect();
    assert!(paths.contains(&"j.list.element".to_owned()), "{paths:?}");
    assert!(
        paths.contains(&"i.list.element.tags.list.element".to_owned()),
        "{paths:?}"
    );
}
