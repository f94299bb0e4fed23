//! How a table's columns grow with the records: what is added, relaxed and widened, and what
//! fits no more and is rescued.
//!
//! Pure. `reconciled` settles the columns of a run before anything is written; `evolved` says
//! what the table lacks of them when they are loaded.

use std::fmt;

use serde_json::Value as Json;

use super::bigquery::{Mismatch, canonical, described, find, mode, name, nested};
use super::{Column, Kind, TableSchema};

/// BigQuery holds no more columns in a table, those in structs counted.
const MOST_COLUMNS: usize = 10_000;
/// xetl's own.
const OWN: usize = 3;

/// A change of a table's columns, or of what goes into them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Add {
        column: String,
        kind: String,
    },
    /// REQUIRED no more.
    Relax {
        column: String,
    },
    Widen {
        column: String,
        from: String,
        to: String,
    },
    /// The table's type stays, and values of another are rescued.
    Rescue {
        column: String,
        table: String,
        ours: String,
    },
    /// The table has no room for the column: its values are rescued.
    NoRoom {
        column: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Add { column, kind } => write!(f, "add {column} {kind}"),
            Change::Relax { column } => write!(f, "relax {column} to NULLABLE"),
            Change::Widen { column, from, to } => write!(f, "widen {column} from {from} to {to}"),
            Change::Rescue {
                column,
                table,
                ours,
            } => write!(f, "keep {column} {table}, rescue what is {ours}"),
            Change::NoRoom { column } => {
                write!(
                    f,
                    "rescue {column}: a table has {MOST_COLUMNS} columns at most"
                )
            }
        }
    }
}

/// A table that rows are added to.
#[derive(Debug, Clone, Copy)]
pub struct Existing<'t> {
    /// Its fields, in the API's JSON.
    pub fields: &'t [Json],
    /// Whether a column can become wider: not in files that are there already.
    pub widens: bool,
    /// Columns that keep their type: the table is kept by them.
    pub fixed: &'t [String],
}

/// The columns to write these records with, and what that changes.
///
/// `table` is the one that rows are added to; none where the table is made or replaced.
pub fn reconciled(ours: &TableSchema, table: Option<Existing<'_>>) -> (TableSchema, Vec<Change>) {
    let fields = table.map_or(&[][..], |table| table.fields);
    let taken = table.map_or(OWN, |table| size_of_fields(table.fields).max(OWN));
    let mut work = Reconciliation {
        table,
        room: MOST_COLUMNS.saturating_sub(taken),
        changes: Vec::new(),
    };
    let columns = work.columns("", &ours.columns, fields, table.is_some());
    (TableSchema { columns }, work.changes)
}

struct Reconciliation<'t> {
    table: Option<Existing<'t>>,
    room: usize,
    changes: Vec<Change>,
}

impl Reconciliation<'_> {
    fn columns(
        &mut self,
        path: &str,
        ours: &[Column],
        fields: &[Json],
        is_there: bool,
    ) -> Vec<Column> {
        let mut columns = Vec::with_capacity(ours.len());
        for our in ours {
            let at = format!("{path}{}", our.name);
            match find(fields, &our.name) {
                Some(field) => columns.extend(self.both(at, our, field)),
                None => columns.extend(self.added(at, our, is_there)),
            }
        }
        for field in fields.iter().filter(|field| mode(field) == "REQUIRED") {
            let column = format!("{path}{}", name(field));
            self.changes.push(Change::Relax { column });
        }
        columns
    }

    fn added(&mut self, column: String, our: &Column, is_there: bool) -> Option<Column> {
        let size = size(our);
        if size > self.room {
            self.changes.push(Change::NoRoom { column });
            return None;
        }
        self.room -= size;
        if is_there {
            let kind = told(our);
            self.changes.push(Change::Add { column, kind });
        }
        Some(our.clone())
    }

    /// The column in the table's type, or in ours where the table takes that.
    fn both(&mut self, at: String, our: &Column, field: &Json) -> Option<Column> {
        let (from, to) = (described(field), told(our));
        let Some(theirs) = column_of(field, &our.field) else {
            self.changes.push(Change::Rescue {
                column: at,
                table: from,
                ours: "any value".to_owned(),
            });
            return None;
        };
        let mut column = Column {
            name: our.name.clone(),
            format: our.format.clone(),
            ..theirs
        };
        let is_same = column.repeated == our.repeated;
        match (&column.kind, &our.kind) {
            (Kind::Struct(_), Kind::Struct(ours)) if is_same => {
                let columns = self.columns(&format!("{at}."), ours, nested(field), true);
                column.kind = Kind::Struct(columns);
            }
            (theirs, ours) if is_same && same_in_bigquery(theirs, ours) => {
                column.kind = ours.clone();
            }
            (theirs, ours) if is_same && holds(ours, theirs) && self.may_widen(&at) => {
                column.kind = ours.clone();
                self.changes.push(Change::Widen {
                    column: at,
                    from,
                    to,
                });
            }
            (theirs, ours) if is_same && holds(theirs, ours) => {}
            _ => self.changes.push(Change::Rescue {
                column: at,
                table: from,
                ours: to,
            }),
        }
        Some(column)
    }

    fn may_widen(&self, at: &str) -> bool {
        // BigQuery changes the type of a field in a struct only with the struct's.
        let fixed = |table: &Existing<'_>| table.fixed.iter().any(|it| it.eq_ignore_ascii_case(at));
        !at.contains('.')
            && self
                .table
                .is_some_and(|table| table.widens && !fixed(&table))
    }
}

/// Whether a column of the one type can become the other: BigQuery's own rules for
/// `ALTER COLUMN SET DATA TYPE`, without those that lose digits of a decimal.
fn holds(wide: &Kind, narrow: &Kind) -> bool {
    match narrow {
        Kind::Int64 => matches!(wide, Kind::Numeric | Kind::BigNumeric | Kind::Float64),
        Kind::Numeric => matches!(wide, Kind::BigNumeric),
        _ => false,
    }
}

fn same_in_bigquery(left: &Kind, right: &Kind) -> bool {
    left.sql() == right.sql() && !matches!(left, Kind::Struct(_))
}

/// The wider of two types, if one can become the other.
pub fn wider(left: &Kind, right: &Kind) -> Option<Kind> {
    holds(right, left).then(|| right.clone())
}

/// A column of the table as one of ours; `None` for a type a Parquet load cannot fill.
fn column_of(field: &Json, record_field: &str) -> Option<Column> {
    let kind = match canonical(field) {
        "BOOLEAN" => Kind::Bool,
        "INTEGER" => Kind::Int64,
        "FLOAT" => Kind::Float64,
        "NUMERIC" => Kind::Numeric,
        "BIGNUMERIC" => Kind::BigNumeric,
        "STRING" => Kind::String,
        "TIMESTAMP" => Kind::Timestamp,
        "DATE" => Kind::Date,
        "DATETIME" => Kind::Datetime,
        "TIME" => Kind::Time,
        "BYTES" => Kind::Bytes,
        "GEOGRAPHY" => Kind::Geography,
        "RECORD" => {
            let fields = nested(field).iter();
            Kind::Struct(
                fields
                    .filter_map(|field| column_of(field, name(field)))
                    .collect(),
            )
        }
        _ => return None,
    };
    Some(Column {
        field: record_field.to_owned(),
        name: name(field).to_owned(),
        kind,
        repeated: mode(field) == "REPEATED",
        format: None,
    })
}

fn told(column: &Column) -> String {
    match column.repeated {
        true => format!("REPEATED {}", column.kind.sql()),
        false => column.kind.sql().to_owned(),
    }
}

fn size(column: &Column) -> usize {
    match &column.kind {
        Kind::Struct(columns) => 1 + columns.iter().map(size).sum::<usize>(),
        _ => 1,
    }
}

fn size_of_fields(fields: &[Json]) -> usize {
    fields
        .iter()
        .map(|field| 1 + size_of_fields(nested(field)))
        .sum()
}

/// What a table becomes for a load.
#[derive(Debug, Clone, PartialEq)]
pub struct Evolution {
    /// Its fields with ours added: what to PATCH it to.
    pub fields: Vec<Json>,
    /// Columns to widen before that, each to a type by its name in SQL.
    pub widened: Vec<(String, &'static str)>,
}

/// The table's fields with ours added, REQUIRED no more.
///
/// BigQuery drops a file's column that a load's schema does not name, and refuses one the
/// table does not have: the table and the load get the same list.
pub fn evolved(table: &[Json], ours: &[Json]) -> Result<Evolution, Mismatch> {
    let mut widened = Vec::new();
    let fields = union("", table, ours, &mut widened)?;
    Ok(Evolution { fields, widened })
}

/// The fields that a Parquet load can fill.
pub fn loadable(fields: &[Json]) -> Vec<Json> {
    let mut loadable = Vec::with_capacity(fields.len());
    for field in fields.iter().filter(|it| column_of(it, "").is_some()) {
        let mut field = field.clone();
        if canonical(&field) == "RECORD" {
            field["fields"] = self::loadable(nested(&field)).into();
        }
        loadable.push(field);
    }
    loadable
}

/// The statement that widens a column.
pub fn widening(table: &str, column: &str, kind: &str) -> String {
    format!("ALTER TABLE `{table}` ALTER COLUMN `{column}` SET DATA TYPE {kind}")
}

fn union(
    path: &str,
    table: &[Json],
    ours: &[Json],
    widened: &mut Vec<(String, &'static str)>,
) -> Result<Vec<Json>, Mismatch> {
    let mut fields = Vec::with_capacity(table.len());
    for field in table {
        let mut field = field.clone();
        if let Some(our) = find(ours, name(&field)) {
            field = union_of(&format!("{path}{}", name(&field)), &field, our, widened)?;
        }
        if mode(&field) == "REQUIRED" {
            field["mode"] = "NULLABLE".into();
        }
        fields.push(field);
    }
    let new = ours.iter().filter(|our| find(table, name(our)).is_none());
    fields.extend(new.cloned());
    Ok(fields)
}

fn union_of(
    path: &str,
    table: &Json,
    ours: &Json,
    widened: &mut Vec<(String, &'static str)>,
) -> Result<Json, Mismatch> {
    let both_repeat = (mode(table) == "REPEATED") == (mode(ours) == "REPEATED");
    let mut field = table.clone();
    if both_repeat && canonical(table) == canonical(ours) {
        if canonical(table) == "RECORD" {
            field["fields"] =
                union(&format!("{path}."), nested(table), nested(ours), widened)?.into();
        }
        return Ok(field);
    }
    let kinds = (column_of(table, ""), column_of(ours, ""));
    match kinds {
        (Some(theirs), Some(ours))
            if both_repeat && !path.contains('.') && holds(&ours.kind, &theirs.kind) =>
        {
            widened.push((path.to_owned(), ours.kind.sql()));
            Ok(field)
        }
        _ => Err(Mismatch::Type {
            column: path.to_owned(),
            table: described(table),
            ours: described(ours),
        }),
    }
}

#[cfg(test)]
mod tests;
