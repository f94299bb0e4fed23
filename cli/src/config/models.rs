//! Models: SQL over a pipeline's tables, in the order in which it can run.
//!
//! Reads the SQL to find the tables it names, gives those that are the pipeline's their
//! whole names, and leaves the running to the warehouse. Pure.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use indexmap::IndexMap;
use sqlparser::ast::{ObjectName, Query, Statement, Visit, Visitor};
use sqlparser::dialect::BigQueryDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span};
use xetl_runtime::bundle::Model;

use super::{ModelFile, nearest};

/// What a pipeline's models can name without saying where it is.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// `project.dataset`.
    pub dataset: String,
    /// The tables of its streams, with the stream of each.
    pub streams: IndexMap<String, String>,
    /// Whether its source makes more of them while it runs.
    pub is_open: bool,
}

/// Why models cannot run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    #[error("model `{model}`: {problem}")]
    Sql { model: String, problem: String },
    #[error("model `{model}` must be named in letters, digits and `_`")]
    Name { model: String },
    #[error("model `{model}` would have the name of the table of stream `{stream}`")]
    Taken { model: String, stream: String },
    #[error("model `{model}` reads `{table}`, which is no table of this pipeline")]
    Unknown {
        model: String,
        table: String,
        nearest: Option<String>,
    },
    #[error("models read each other in a circle: {}", circle.join(" -> "))]
    Circle { circle: Vec<String> },
}

impl ModelError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ModelError::Unknown {
                nearest: Some(name),
                ..
            } => Some(format!("did you mean `{name}`?")),
            ModelError::Unknown { .. } => {
                Some("write `dataset.table` for a table of another dataset".to_owned())
            }
            _ => None,
        }
    }
}

/// The models in an order in which each comes after those it reads.
pub fn settle(
    models: &IndexMap<String, ModelFile>,
    tables: &Tables,
) -> Result<Vec<Model>, ModelError> {
    let mut read = IndexMap::new();
    for (name, file) in models {
        check_name(name, tables)?;
        let known: Vec<&str> = models.keys().map(String::as_str).collect();
        read.insert(name.as_str(), Read::of(name, file, &known, tables)?);
    }
    let mut order = Vec::new();
    for name in models.keys() {
        visit(name, &read, &mut Vec::new(), &mut order)?;
    }
    let mut settled: IndexMap<&str, Model> = IndexMap::new();
    for name in order {
        let Read {
            sql,
            models: below,
            streams,
        } = &read[name];
        let inherited = below
            .iter()
            .flat_map(|it| settled[it.as_str()].streams.clone());
        let streams: BTreeSet<String> = inherited.chain(streams.iter().cloned()).collect();
        let model = Model {
            name: name.to_owned(),
            sql: sql.clone(),
            kind: models[name].kind(),
            streams: streams.into_iter().collect(),
        };
        settled.insert(name, model);
    }
    Ok(settled.into_values().collect())
}

fn check_name(model: &str, tables: &Tables) -> Result<(), ModelError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if model.is_empty() || !model.chars().all(plain) {
        return Err(ModelError::Name {
            model: model.to_owned(),
        });
    }
    // BigQuery would tell them apart by case; people would not.
    let taken = tables
        .streams
        .iter()
        .find(|(table, _)| table.eq_ignore_ascii_case(model));
    match taken {
        Some((_, stream)) => Err(ModelError::Taken {
            model: model.to_owned(),
            stream: stream.clone(),
        }),
        None => Ok(()),
    }
}

/// Depth first: what a model reads comes before it.
fn visit<'m>(
    name: &'m str,
    read: &'m IndexMap<&str, Read>,
    path: &mut Vec<&'m str>,
    order: &mut Vec<&'m str>,
) -> Result<(), ModelError> {
    if order.contains(&name) {
        return Ok(());
    }
    if let Some(start) = path.iter().position(|it| *it == name) {
        let circle = path[start..].iter().chain([&name]);
        return Err(ModelError::Circle {
            circle: circle.map(|it| (*it).to_owned()).collect(),
        });
    }
    path.push(name);
    for below in &read[name].models {
        visit(below, read, path, order)?;
    }
    path.pop();
    order.push(name);
    Ok(())
}

/// A model's SQL with whole names, and what it reads of its pipeline.
#[derive(Debug)]
struct Read {
    sql: String,
    models: BTreeSet<String>,
    streams: BTreeSet<String>,
}

impl Read {
    fn of(
        model: &str,
        file: &ModelFile,
        models: &[&str],
        tables: &Tables,
    ) -> Result<Read, ModelError> {
        let sql = file.sql().trim().trim_end_matches(';');
        let query = query(sql).map_err(|problem| ModelError::Sql {
            model: model.to_owned(),
            problem,
        })?;
        let mut found = Found::default();
        let _ = query.visit(&mut found);
        let mut read = Read {
            sql: String::new(),
            models: BTreeSet::new(),
            streams: BTreeSet::new(),
        };
        let mut places = Vec::new();
        for (table, span) in found.tables() {
            if models.contains(&table) {
                read.models.insert(table.to_owned());
            } else if let Some(stream) = tables.stream_of(table) {
                read.streams.insert(stream);
            } else {
                let known = models.iter().copied();
                let known = known.chain(tables.streams.keys().map(String::as_str));
                return Err(ModelError::Unknown {
                    model: model.to_owned(),
                    table: table.to_owned(),
                    nearest: nearest(table, known),
                });
            }
            places.push((span, format!("`{}.{table}`", tables.dataset)));
        }
        read.sql = replaced(sql, places);
        Ok(read)
    }
}

impl Tables {
    /// The stream whose rows a table or its view of the newest shows.
    fn stream_of(&self, table: &str) -> Option<String> {
        let of = |table: &str| self.streams.get(table).cloned();
        let found = of(table).or_else(|| of(table.strip_suffix("_latest")?));
        found.or_else(|| self.is_open.then(|| table.to_owned()))
    }
}

fn query(sql: &str) -> Result<Box<Query>, String> {
    let parsed = Parser::parse_sql(&BigQueryDialect {}, sql).map_err(|error| match error {
        ParserError::TokenizerError(problem) | ParserError::ParserError(problem) => problem,
        ParserError::RecursionLimitExceeded => "it is nested too deep".to_owned(),
    })?;
    let mut statements = parsed.into_iter();
    match (statements.next(), statements.next()) {
        (Some(Statement::Query(query)), None) => Ok(query),
        _ => Err("a model is one SELECT".to_owned()),
    }
}

/// The tables that a query names by one word, and the names it gives itself.
#[derive(Default)]
struct Found {
    relations: Vec<(String, Span)>,
    own: HashSet<String>,
}

impl Found {
    fn tables(&self) -> impl Iterator<Item = (&str, Span)> {
        let tables = self.relations.iter();
        tables
            .filter(|(name, _)| !self.own.contains(&name.to_lowercase()))
            .map(|(name, span)| (name.as_str(), *span))
    }
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let own = query.with.iter().flat_map(|with| &with.cte_tables);
        self.own
            .extend(own.map(|cte| cte.alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let [only] = &relation.0[..]
            && let Some(name) = only.as_ident()
        {
            self.relations.push((name.value.clone(), name.span));
        }
        ControlFlow::Continue(())
    }
}

/// The text with each place filled anew.
fn replaced(sql: &str, mut places: Vec<(Span, String)>) -> String {
    let mut text = sql.to_owned();
    places.sort_by_key(|(span, _)| std::cmp::Reverse((span.start.line, span.start.column)));
    for (span, new) in places {
        if let (Some(start), Some(end)) = (byte(sql, span.start), byte(sql, span.end)) {
            text.replace_range(start..end, &new);
        }
    }
    text
}

/// Where a line and a column, counted from 1 in letters, are in the text.
fn byte(sql: &str, at: Location) -> Option<usize> {
    let line = usize::try_from(at.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
    let start: usize = sql.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = sql.get(start..)?;
    let length = rest
        .char_indices()
        .nth(column)
        .map_or(rest.len(), |(at, _)| at);
    Some(start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        let streams = ["invoices", "contacts", "year_groups"];
        Tables {
            dataset: "p.acme".to_owned(),
            streams: streams.map(|it| (it.to_owned(), it.to_owned())).into(),
            is_open: false,
        }
    }

    fn settled(yaml: &str) -> Result<Vec<Model>, ModelError> {
        let models: IndexMap<String, ModelFile> = serde_saphyr::from_str(yaml).unwrap();
        settle(&models, &tables())
    }

    fn sql(sql: &str) -> String {
        let models = IndexMap::from([("m".to_owned(), ModelFile::Sql(sql.to_owned()))]);
        match settle(&models, &tables()) {
            Ok(models) => models[0].sql.clone(),
            Err(error) => format!("{error} ({})", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn tables_of_the_pipeline_get_their_whole_names() {
        insta::assert_snapshot!(
            sql("SELECT i.id, 'from contacts' -- from contacts\nFROM invoices AS i\n  JOIN `contacts_latest` c USING (id)"),
            @"
            SELECT i.id, 'from contacts' -- from contacts
            FROM `p.acme.invoices` AS i
              JOIN `p.acme.contacts_latest` c USING (id)
            "
        );
        insta::assert_snapshot!(
            sql("SELECT * FROM invoices, UNNEST(lines) AS line WHERE id IN (SELECT id FROM contacts)"),
            @"SELECT * FROM `p.acme.invoices`, UNNEST(lines) AS line WHERE id IN (SELECT id FROM `p.acme.contacts`)"
        );
        insta::assert_snapshot!(
            sql("WITH recent AS (SELECT * FROM invoices WHERE `é` = 'ü') SELECT * FROM recent r, r.lines"),
            @"WITH recent AS (SELECT * FROM `p.acme.invoices` WHERE `é` = 'ü') SELECT * FROM recent r, r.lines"
        );
        insta::assert_snapshot!(
            sql("SELECT * FROM `other-p.d.invoices` JOIN d.contacts USING (id) QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY at DESC) = 1"),
            @"SELECT * FROM `other-p.d.invoices` JOIN d.contacts USING (id) QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY at DESC) = 1"
        );
    }

    #[test]
    fn models_come_after_what_they_read_and_know_their_streams() {
        let models = settled(
            "
top: SELECT * FROM middle JOIN contacts USING (id)
middle: {sql: SELECT * FROM base, as: table}
base: SELECT * FROM invoices
",
        );
        let shown = models.unwrap();
        let shown = shown
            .iter()
            .map(|it| format!("{} {:?} {:?}", it.name, it.kind, it.streams));
        insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @r#"
        base View ["invoices"]
        middle Table ["invoices"]
        top View ["contacts", "invoices"]
        "#);
    }

    #[test]
    fn what_cannot_run_says_why() {
        let told = |yaml: &str| settled(yaml).unwrap_err().to_string();
        insta::assert_snapshot!(told("{a: SELECT * FROM b, b: SELECT * FROM a}"), @"models read each other in a circle: a -> b -> a");
        insta::assert_snapshot!(told("{invoices: SELECT 1}"), @"model `invoices` would have the name of the table of stream `invoices`");
        insta::assert_snapshot!(told("{a-b: SELECT 1}"), @"model `a-b` must be named in letters, digits and `_`");
        insta::assert_snapshot!(sql("SELECT * FROM invoice"), @"model `m` reads `invoice`, which is no table of this pipeline (did you mean `invoices`?)");
        insta::assert_snapshot!(sql("SELECT * FROM ledger"), @"model `m` reads `ledger`, which is no table of this pipeline (write `dataset.table` for a table of another dataset)");
        insta::assert_snapshot!(sql("SELECT FROM WHERE"), @"model `m`: Expected an expression, found: FROM at Line: 1, Column: 13 ()");
        insta::assert_snapshot!(sql("DELETE FROM invoices WHERE TRUE"), @"model `m`: a model is one SELECT ()");
    }
}
