//! Comma-separated values, read as Python's `csv.DictReader` reads them.

use std::collections::VecDeque;

use crate::value::{Object, Value};

use super::text::Text;

/// The field that holds what a row has more than the header; Python's `None`, written.
const REST: &str = "null";
/// A row longer than this is no row: a quote was left open.
const LONGEST_ROW: usize = 64 * 1024 * 1024;

/// How a file's rows are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Dialect {
    pub delimiter: char,
    /// Values that stand for nothing.
    pub nothing: Vec<String>,
}

/// Rows of a text, each a list of its fields; an empty line has none.
pub struct Rows {
    text: Text,
    row: RowReader,
    ready: VecDeque<Vec<String>>,
    piece: String,
    ended: bool,
}

impl Rows {
    pub fn new(text: Text, delimiter: char) -> Rows {
        Rows {
            text,
            row: RowReader::new(delimiter),
            ready: VecDeque::new(),
            piece: String::new(),
            ended: false,
        }
    }

    fn read(&mut self) -> Result<(), String> {
        self.piece.clear();
        self.ended = !self.text.read(&mut self.piece)?;
        for letter in self.piece.chars() {
            self.ready.extend(self.row.take(letter));
        }
        if self.row.length > LONGEST_ROW {
            return Err(format!("a row is longer than {LONGEST_ROW} bytes"));
        }
        if self.ended {
            self.ready.extend(self.row.finish());
        }
        Ok(())
    }
}

impl Iterator for Rows {
    type Item = Result<Vec<String>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.ended {
            if let Err(problem) = self.read() {
                self.ended = true;
                return Some(Err(problem));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// The rows after the first as objects, by the names in the first.
pub fn records(
    mut rows: Rows,
    nothing: Vec<String>,
) -> impl Iterator<Item = Result<Value, String>> + Send {
    let mut header = None;
    std::iter::from_fn(move || {
        if header.is_none() {
            match rows.next()? {
                Ok(row) => header = Some(row),
                Err(problem) => return Some(Err(problem)),
            }
        }
        let row = rows.find(|row| !matches!(row, Ok(row) if row.is_empty()))?;
        let header = header.as_deref().unwrap_or_default();
        Some(row.map(|row| record(header, row, &nothing)))
    })
}

fn record(header: &[String], row: Vec<String>, nothing: &[String]) -> Value {
    let value = |text: String| match nothing.contains(&text) {
        true => Value::Null,
        false => Value::String(text),
    };
    let mut row = row.into_iter();
    let names = header.iter();
    let fields = names.map(|name| (name.clone(), row.next().map_or(Value::Null, value)));
    let mut fields: Object = fields.collect();
    let rest: Vec<Value> = row.map(Value::String).collect();
    if !rest.is_empty() {
        fields.insert(REST.to_owned(), Value::Array(rest));
    }
    Value::Object(fields)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    RowStart,
    FieldStart,
    Field,
    Quoted,
    QuoteInQuoted,
}

/// One row from letters; every end of line is read as `\n`.
struct RowReader {
    delimiter: char,
    at: At,
    row: Vec<String>,
    field: String,
    /// Bytes of this row so far.
    length: usize,
    after_return: bool,
}

impl RowReader {
    fn new(delimiter: char) -> RowReader {
        RowReader {
            delimiter,
            at: At::RowStart,
            row: Vec::new(),
            field: String::new(),
            length: 0,
            after_return: false,
        }
    }

    /// The row this letter ends.
    fn take(&mut self, letter: char) -> Option<Vec<String>> {
        let second_half = self.after_return && letter == '\n';
        self.after_return = letter == '\r';
        match letter {
            _ if second_half => None,
            '\r' => self.step('\n'),
            letter => self.step(letter),
        }
    }

    fn step(&mut self, letter: char) -> Option<Vec<String>> {
        self.length += letter.len_utf8();
        match (self.at, letter) {
            (At::RowStart, '\n') => return Some(self.end_row()),
            (At::Quoted, '"') => self.at = At::QuoteInQuoted,
            (At::Quoted, letter) => self.field.push(letter),
            (At::QuoteInQuoted, '"') => {
                self.field.push('"');
                self.at = At::Quoted;
            }
            (At::RowStart | At::FieldStart, '"') => self.at = At::Quoted,
            (_, '\n') => {
                self.end_field();
                return Some(self.end_row());
            }
            (_, letter) if letter == self.delimiter => {
                self.end_field();
                self.at = At::FieldStart;
            }
            (_, letter) => {
                self.field.push(letter);
                self.at = At::Field;
            }
        }
        None
    }

    /// The row that the end of the text ends.
    fn finish(&mut self) -> Option<Vec<String>> {
        if self.at == At::RowStart {
            return None;
        }
        self.end_field();
        Some(self.end_row())
    }

    fn end_field(&mut self) {
        self.row.push(std::mem::take(&mut self.field));
    }

    fn end_row(&mut self) -> Vec<String> {
        self.at = At::RowStart;
        self.length = 0;
        std::mem::take(&mut self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Charset;
    use super::*;

    fn rows(text: &'static str, delimiter: char, nothing: &[&str]) -> String {
        let nothing = nothing.iter().map(|text| (*text).to_owned());
        let text = Text::new(Box::new(text.as_bytes()), Charset::Utf8);
        let records = records(Rows::new(text, delimiter), nothing.collect());
        let records: Vec<Value> = records.map(|row| row.unwrap()).collect();
        serde_json::to_string(&Value::Array(records)).unwrap()
    }

    #[test]
    fn quotes_and_ends_of_lines_are_pythons() {
        assert_eq!(
            rows("a,b\r\n1,\"x, \"\"y\"\"\r\nz\"\r\"2\"3,4\"5\"\n", ',', &[]),
            r#"[{"a":"1","b":"x, \"y\"\nz"},{"a":"23","b":"4\"5\""}]"#
        );
        assert_eq!(rows("a\n\n\"open\n1", ',', &[]), r#"[{"a":"open\n1"}]"#);
        assert_eq!(rows("", ',', &[]), "[]");
        assert_eq!(rows("a\n", ',', &[]), "[]");
    }

    #[test]
    fn short_rows_end_in_nulls_and_long_ones_in_a_list() {
        assert_eq!(
            rows("a;b\n1\n2;3;4;5\n;\n", ';', &[]),
            r#"[{"a":"1","b":null},{"a":"2","b":"3","null":["4","5"]},{"a":"","b":""}]"#
        );
    }

    #[test]
    fn named_values_are_nothing() {
        assert_eq!(
            rows("a,b\nN/A,\n", ',', &["", "N/A"]),
            r#"[{"a":null,"b":null}]"#
        );
    }
}
