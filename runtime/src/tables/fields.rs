//! BigQuery's columns and cells as a stream's schema and records, nothing of them lost.
//!
//! JSON, INTERVAL and RANGE stay the text BigQuery writes them as: a Parquet load can fill
//! no such column.

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use crate::google::bigquery::{Datum, Row};
use crate::value::{Object, Value};

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
    pub repeated: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Bool,
    Int64,
    Float64,
    Numeric,
    BigNumeric,
    String,
    Bytes,
    Timestamp,
    Datetime,
    Date,
    Time,
    Geography,
    /// A type that is kept as text, by its name.
    Text(String),
    Struct(Vec<Field>),
}

/// A row that is not what the schema says.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("column `{column}`: {problem}")]
pub struct Misfit {
    pub column: String,
    pub problem: String,
}

/// The columns of a schema in the API's JSON.
pub fn fields(schema: &[Json]) -> Vec<Field> {
    schema.iter().map(field).collect()
}

fn field(json: &Json) -> Field {
    let word = |key: &str| json[key].as_str().unwrap_or_default();
    let nested = || json["fields"].as_array().map_or(&[][..], Vec::as_slice);
    Field {
        name: word("name").to_owned(),
        repeated: word("mode") == "REPEATED",
        kind: match word("type") {
            "BOOL" | "BOOLEAN" => Kind::Bool,
            "INT64" | "INTEGER" => Kind::Int64,
            "FLOAT64" | "FLOAT" => Kind::Float64,
            "NUMERIC" | "DECIMAL" => Kind::Numeric,
            "BIGNUMERIC" | "BIGDECIMAL" => Kind::BigNumeric,
            "STRING" => Kind::String,
            "BYTES" => Kind::Bytes,
            "TIMESTAMP" => Kind::Timestamp,
            "DATETIME" => Kind::Datetime,
            "DATE" => Kind::Date,
            "TIME" => Kind::Time,
            "GEOGRAPHY" => Kind::Geography,
            "RECORD" | "STRUCT" => Kind::Struct(fields(nested())),
            other => Kind::Text(other.to_owned()),
        },
    }
}

impl Kind {
    /// The type by BigQuery's name.
    pub fn name(&self) -> &str {
        match self {
            Kind::Bool => "BOOL",
            Kind::Int64 => "INT64",
            Kind::Float64 => "FLOAT64",
            Kind::Numeric => "NUMERIC",
            Kind::BigNumeric => "BIGNUMERIC",
            Kind::String => "STRING",
            Kind::Bytes => "BYTES",
            Kind::Timestamp => "TIMESTAMP",
            Kind::Datetime => "DATETIME",
            Kind::Date => "DATE",
            Kind::Time => "TIME",
            Kind::Geography => "GEOGRAPHY",
            Kind::Text(name) => name,
            Kind::Struct(_) => "STRUCT",
        }
    }
}

/// The JSON Schema of a record, with each column's exact type.
pub fn json_schema(fields: &[Field]) -> Json {
    let properties: Map<String, Json> = fields
        .iter()
        .map(|field| (field.name.clone(), property(field)))
        .collect();
    json!({"type": "object", "properties": properties})
}

fn property(field: &Field) -> Json {
    let one = of_kind(&field.kind);
    match field.repeated {
        true => json!({"type": ["array", "null"], "items": one}),
        false => one,
    }
}

fn of_kind(kind: &Kind) -> Json {
    let word = match kind {
        Kind::Struct(fields) => {
            let mut schema = json_schema(fields);
            schema["type"] = json!(["object", "null"]);
            return schema;
        }
        Kind::Bool => "boolean",
        Kind::Int64 => "integer",
        Kind::Float64 | Kind::Numeric | Kind::BigNumeric => "number",
        _ => "string",
    };
    let exact = match kind {
        Kind::Text(_) => "STRING",
        kind => kind.name(),
    };
    json!({"type": [word, "null"], "xetl_type": exact})
}

impl Field {
    /// Whether its values arrive in its own type.
    pub fn is_exact(&self) -> bool {
        match &self.kind {
            Kind::Text(_) => false,
            Kind::Struct(fields) => fields.iter().all(Field::is_exact),
            _ => true,
        }
    }

    pub fn value(&self, datum: Datum) -> Result<Value, Misfit> {
        value(self, datum)
    }
}

/// A row as a record.
pub fn record(fields: &[Field], row: Row) -> Result<Value, Misfit> {
    object(fields, row.f.into_iter().map(|cell| cell.v))
}

fn object(fields: &[Field], data: impl ExactSizeIterator<Item = Datum>) -> Result<Value, Misfit> {
    if data.len() != fields.len() {
        let problem = format!("{} cells for {} columns", data.len(), fields.len());
        return Err(misfit("", problem));
    }
    let mut object = Object::with_capacity_and_hasher(fields.len(), Default::default());
    for (field, datum) in fields.iter().zip(data) {
        object.insert(field.name.clone(), value(field, datum)?);
    }
    Ok(Value::Object(object))
}

fn value(field: &Field, datum: Datum) -> Result<Value, Misfit> {
    match datum {
        Datum::List(items) if field.repeated => {
            let items = items.into_iter().map(|item| single(field, item));
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        Datum::Null => Ok(Value::Null),
        datum if !field.repeated => single(field, datum),
        _ => Err(misfit(&field.name, "one value where a list should be")),
    }
}

fn single(field: &Field, datum: Datum) -> Result<Value, Misfit> {
    match (&field.kind, datum) {
        (_, Datum::Null) => Ok(Value::Null),
        (Kind::Struct(fields), Datum::Struct(data)) => object(fields, data.into_iter())
            .map_err(|inner| misfit(&join(&field.name, &inner.column), inner.problem)),
        (kind, Datum::Text(text)) => scalar(kind, text)
            .map_err(|text| misfit(&field.name, format!("`{text}` is no {}", kind.name()))),
        _ => Err(misfit(&field.name, "another form than its type has")),
    }
}

/// A scalar's text as a value; the text again where it is none.
fn scalar(kind: &Kind, text: String) -> Result<Value, String> {
    Ok(match kind {
        Kind::Bool => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(text),
        },
        Kind::Int64 => Value::Int(text.parse().map_err(|_| text)?),
        Kind::Float64 if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {
            Value::String(text)
        }
        Kind::Float64 | Kind::Numeric | Kind::BigNumeric => {
            match serde_json::from_str::<serde_json::Number>(&text) {
                Ok(_) => Value::number(&text),
                Err(_) => return Err(text),
            }
        }
        Kind::Timestamp => {
            let moment = text.parse().ok().map(Timestamp::from_microsecond);
            match moment {
                Some(Ok(moment)) => Value::String(moment.to_string()),
                _ => return Err(text),
            }
        }
        Kind::Struct(_) => return Err(text),
        _ => Value::String(text),
    })
}

fn misfit(column: &str, problem: impl Into<String>) -> Misfit {
    Misfit {
        column: column.to_owned(),
        problem: problem.into(),
    }
}

fn join(outer: &str, inner: &str) -> String {
    match inner {
        "" => outer.to_owned(),
        inner => format!("{outer}.{inner}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::google::bigquery::Rows;
    use crate::schema::{self, declared};

    fn columns() -> Vec<Field> {
        let schema = json!([
            {"name": "b", "type": "BOOLEAN"},
            {"name": "i", "type": "INTEGER"},
            {"name": "f", "type": "FLOAT"},
            {"name": "n", "type": "NUMERIC"},
            {"name": "N", "type": "BIGNUMERIC"},
            {"name": "s", "type": "STRING"},
            {"name": "y", "type": "BYTES"},
            {"name": "t", "type": "TIMESTAMP"},
            {"name": "dt", "type": "DATETIME"},
            {"name": "d", "type": "DATE"},
            {"name": "c", "type": "TIME"},
            {"name": "g", "type": "GEOGRAPHY"},
            {"name": "j", "type": "JSON"},
            {"name": "r", "type": "RANGE", "rangeElementType": {"type": "DATE"}},
            {"name": "l", "type": "INTEGER", "mode": "REPEATED"},
            {"name": "o", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "k", "type": "STRING"}, {"name": "v", "type": "NUMERIC"}]},
        ]);
        fields(schema.as_array().unwrap())
    }

    #[test]
    fn each_type_keeps_its_type() {
        let schema = declared::table_schema(&json_schema(&columns())).unwrap();
        let kinds: Vec<String> = schema
            .columns
            .iter()
            .map(|column| {
                let list = if column.repeated { "[]" } else { "" };
                format!("{} {}{list}", column.field, column.kind.sql())
            })
            .collect();
        insta::assert_snapshot!(kinds.join(", "), @"b BOOL, i INT64, f FLOAT64, n NUMERIC, N BIGNUMERIC, s STRING, y BYTES, t TIMESTAMP, dt DATETIME, d DATE, c TIME, g GEOGRAPHY, j STRING, r STRING, l INT64[], o STRUCT[]");
        assert_eq!(schema.columns[12].kind, schema::Kind::String);
    }

    #[test]
    fn a_row_is_a_record_with_every_digit() {
        let page = json!({"rows": [{"f": [
            {"v": "true"}, {"v": "9223372036854775807"}, {"v": "1.5E-9"},
            {"v": "99999999999999999999999999999.999999999"}, {"v": "0.00000000000000000000000000000000000001"},
            {"v": "é"}, {"v": "aGk="}, {"v": "1704067200123456"}, {"v": "2024-01-01T00:00:00.5"},
            {"v": "2024-01-01"}, {"v": "12:00:00"}, {"v": "POINT(1 2)"}, {"v": "{\"a\":1.10}"},
            {"v": "[2024-01-01, UNBOUNDED)"}, {"v": [{"v": "1"}]},
            {"v": [{"v": {"f": [{"v": "k"}, {"v": "0.10"}]}}]},
        ]}]});
        let page: Rows = serde_json::from_value(page).unwrap();
        let row = page.rows.into_iter().next().unwrap();
        let record = record(&columns(), row).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&record).unwrap(), @r#"{"b":true,"i":9223372036854775807,"f":1.5E-9,"n":99999999999999999999999999999.999999999,"N":0.00000000000000000000000000000000000001,"s":"é","y":"aGk=","t":"2024-01-01T00:00:00.123456Z","dt":"2024-01-01T00:00:00.5","d":"2024-01-01","c":"12:00:00","g":"POINT(1 2)","j":"{\"a\":1.10}","r":"[2024-01-01, UNBOUNDED)","l":[1],"o":[{"k":"k","v":0.10}]}"#);
    }

    #[test]
    fn a_cell_of_another_type_is_an_error_and_no_null() {
        let field = Field {
            name: "i".into(),
            kind: Kind::Int64,
            repeated: false,
        };
        let error = value(&field, Datum::Text("1.5".into())).unwrap_err();
        assert_eq!(error.to_string(), "column `i`: `1.5` is no INT64");
    }
}
