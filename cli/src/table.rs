//! A query's result, as values: BigQuery's rows with their types.
//!
//! What a binary fraction would spoil (NUMERIC, BIGNUMERIC) stays text.

use serde_json::{Map, Value};

/// Named columns and rows of JSON values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Column {
    pub name: String,
    /// BigQuery's name of the type, such as `INTEGER`.
    pub kind: String,
    pub repeated: bool,
    /// Of a STRUCT.
    pub fields: Vec<Column>,
}

impl Table {
    /// Adds a row in BigQuery's form, `{"f": [{"v": ...}]}`.
    pub fn push(&mut self, row: &Value) {
        self.rows.push(cells(&self.columns, row));
    }

    /// Rows as objects by column.
    pub fn objects(&self) -> Vec<Map<String, Value>> {
        let names = || self.columns.iter().map(|column| column.name.clone());
        let rows = self.rows.iter();
        rows.map(|row| names().zip(row.iter().cloned()).collect())
            .collect()
    }

    /// Rows as text, for tables and CSV.
    pub fn texts(&self) -> impl Iterator<Item = Vec<String>> {
        self.rows.iter().map(|row| row.iter().map(text).collect())
    }

    /// Whether a column's values are numbers, which people read right-aligned.
    pub fn is_number(&self, column: usize) -> bool {
        matches!(
            self.columns[column].kind.as_str(),
            "INTEGER" | "INT64" | "FLOAT" | "FLOAT64" | "NUMERIC" | "BIGNUMERIC"
        )
    }

    /// The table as RFC 4180 has it.
    pub fn csv(&self) -> String {
        let names = self
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let lines = std::iter::once(names).chain(self.texts());
        let line = |cells: Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
            format!("{}\r\n", cells.join(","))
        };
        lines.map(line).collect()
    }
}

fn quoted(cell: &str) -> String {
    match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cells(columns: &[Column], row: &Value) -> Vec<Value> {
    let cell = |(index, column)| value(column, &row["f"][index]["v"]);
    columns.iter().enumerate().map(cell).collect()
}

fn value(column: &Column, cell: &Value) -> Value {
    match (column.repeated, cell) {
        (_, Value::Null) => Value::Null,
        (true, Value::Array(items)) => items
            .iter()
            .map(|item| single(column, &item["v"]))
            .collect(),
        _ => single(column, cell),
    }
}

fn single(column: &Column, cell: &Value) -> Value {
    match (column.kind.as_str(), cell.as_str()) {
        ("RECORD" | "STRUCT", None) if cell.is_object() => {
            let names = column.fields.iter().map(|field| field.name.clone());
            Value::Object(names.zip(cells(&column.fields, cell)).collect())
        }
        ("INTEGER" | "INT64", Some(text)) => text.parse::<i64>().map_or(cell.clone(), Value::from),
        // NaN and infinities are no JSON numbers and stay text.
        ("FLOAT" | "FLOAT64", Some(text)) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::from(number),
            _ => cell.clone(),
        },
        ("BOOLEAN" | "BOOL", Some(text)) => Value::Bool(text.eq_ignore_ascii_case("true")),
        ("TIMESTAMP", Some(text)) => timestamp(text).map_or(cell.clone(), Value::from),
        _ => cell.clone(),
    }
}

/// Microseconds since 1970, or seconds where there is a fraction.
fn timestamp(text: &str) -> Option<String> {
    let micros = match text.parse::<i64>() {
        Ok(micros) => micros,
        Err(_) => (text.parse::<f64>().ok()? * 1e6).round() as i64,
    };
    Some(jiff::Timestamp::from_microsecond(micros).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn column(name: &str, kind: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ..Column::default()
        }
    }

    fn of(columns: Vec<Column>, cells: Value) -> Table {
        let mut table = Table {
            columns,
            rows: Vec::new(),
        };
        table.push(&json!({"f": cells}));
        table
    }

    #[test]
    fn money_keeps_its_digits_and_numbers_are_numbers() {
        let columns = vec![
            column("n", "INTEGER"),
            column("total", "NUMERIC"),
            column("ok", "BOOLEAN"),
            column("at", "TIMESTAMP"),
            column("none", "STRING"),
        ];
        let cells = json!([{"v": "3"}, {"v": "0.1000000000000000055"}, {"v": "true"}, {"v": "1500000000000000"}, {"v": null}]);
        assert_eq!(
            of(columns, cells).rows[0],
            [
                json!(3),
                json!("0.1000000000000000055"),
                json!(true),
                json!("2017-07-14T02:40:00Z"),
                json!(null)
            ]
        );
    }

    #[test]
    fn structs_and_arrays_nest() {
        let lines = Column {
            repeated: true,
            fields: vec![column("id", "STRING"), column("n", "INTEGER")],
            ..column("lines", "RECORD")
        };
        let cells = json!([{"v": [{"v": {"f": [{"v": "a"}, {"v": "1"}]}}]}]);
        assert_eq!(
            of(vec![lines], cells).rows[0],
            [json!([{"id": "a", "n": 1}])]
        );
    }

    #[test]
    fn csv_quotes_what_would_break_a_line() {
        let table = of(
            vec![column("a", "STRING"), column("b", "STRING")],
            json!([{"v": "x, \"y\""}, {"v": null}]),
        );
        assert_eq!(table.csv(), "a,b\r\n\"x, \"\"y\"\"\",\r\n");
    }
}
