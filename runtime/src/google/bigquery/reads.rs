//! What others have in BigQuery: looked at, queried once, and the result read by pages.
//!
//! The result of a query stays as it is for a day, so that pages of it fit together
//! whenever they are asked for. Plain JSON: a page is decoded straight into cells.

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value as Json, json};

use crate::google::api::{Api, Request};
use crate::google::{ApiError, Google};

/// The whole name of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub project: String,
    pub dataset: String,
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.project, self.dataset, self.table)
    }
}

/// What a table or a query is, before anything of it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The schema's fields in the API's JSON.
    pub fields: Vec<Json>,
    pub location: String,
    /// The columns of its primary key, where it declares one.
    pub key: Vec<String>,
    /// `TABLE`, `VIEW`, ... of a table; `SELECT`, `SCRIPT`, ... of a query.
    pub kind: String,
}

/// A query job, as whoever reads its result has to name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryJob {
    pub project: String,
    pub id: String,
    pub location: String,
}

/// How a query job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Running,
    Done,
    Failed { reason: String, message: String },
}

/// A page of a result.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rows {
    pub total_rows: Option<String>,
    pub rows: Vec<Row>,
}

/// The cells of a row or of a STRUCT, in the schema's order.
#[derive(Debug, Default, Deserialize)]
pub struct Row {
    pub f: Vec<Cell>,
}

#[derive(Debug, Deserialize)]
pub struct Cell {
    pub v: Datum,
}

/// A value as the API writes it: each scalar is text.
#[derive(Debug, PartialEq)]
pub enum Datum {
    Null,
    Text(String),
    List(Vec<Datum>),
    Struct(Vec<Datum>),
}

/// Reads tables and queries; the jobs run in (and are paid by) one project.
#[derive(Debug, Clone)]
pub struct Reader {
    api: Api,
    root: String,
    pub project: String,
}

impl Reader {
    pub fn new(google: &Google, project: &str) -> Reader {
        Reader {
            api: Api::new(google.credentials.clone()),
            root: format!("{}/bigquery/v2/projects", google.endpoints.bigquery),
            project: project.to_owned(),
        }
    }

    pub async fn table(&self, name: &TableName) -> Result<Shape, ApiError> {
        let TableName {
            project,
            dataset,
            table,
        } = name;
        let url = format!("{}/{project}/datasets/{dataset}/tables/{table}", self.root);
        let table: Json = self.api.json(&Request::new(Method::GET, url)).await?;
        Ok(Shape {
            fields: list(&table["schema"]["fields"]),
            location: text(&table["location"]),
            key: strings(&table["tableConstraints"]["primaryKey"]["columns"]),
            kind: text(&table["type"]),
        })
    }

    /// What a statement would give; nothing is read, and nothing costs.
    pub async fn dry_run(&self, sql: &str, location: Option<&str>) -> Result<Shape, ApiError> {
        let mut job = json!({
            "jobReference": {"projectId": self.project},
            "configuration": {"dryRun": true, "query": {"query": sql, "useLegacySql": false}},
        });
        if let Some(location) = location {
            job["jobReference"]["location"] = location.into();
        }
        let url = format!("{}/{}/jobs", self.root, self.project);
        let job: Json = self
            .api
            .json(&Request::new(Method::POST, url).json(&job))
            .await?;
        let query = &job["statistics"]["query"];
        Ok(Shape {
            fields: list(&query["schema"]["fields"]),
            location: text(&job["jobReference"]["location"]),
            key: Vec::new(),
            kind: text(&query["statementType"]),
        })
    }

    /// Starts a query; a job of that id that is there already is as good.
    pub async fn start(&self, job: &QueryJob, sql: &str) -> Result<(), ApiError> {
        let body = json!({
            "jobReference": {"projectId": job.project, "jobId": job.id, "location": job.location},
            "configuration": {
                "labels": {"managed-by": "xetl"},
                "query": {"query": sql, "useLegacySql": false},
            },
        });
        let url = format!("{}/{}/jobs", self.root, job.project);
        let request = Request::new(Method::POST, url).json(&body);
        match self.api.bytes(&request).await {
            Err(error) if error.status() != Some(409) => Err(error),
            _ => Ok(()),
        }
    }

    /// How the job stands; `None` if there is none.
    pub async fn progress(&self, job: &QueryJob) -> Result<Option<Progress>, ApiError> {
        let url = format!("{}/{}/jobs/{}", self.root, job.project, job.id);
        let request = Request::new(Method::GET, url).query("location", &job.location);
        let answer: Json = match self.api.json(&request).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let status = &answer["status"];
        let error = &status["errorResult"];
        Ok(Some(match status["state"].as_str() {
            Some("DONE") if error.is_object() => Progress::Failed {
                reason: text(&error["reason"]),
                message: text(&error["message"]),
            },
            Some("DONE") => Progress::Done,
            _ => Progress::Running,
        }))
    }

    /// At most `most` rows of a finished query's result, from a place on.
    pub async fn rows(&self, job: &QueryJob, first: u64, most: u64) -> Result<Rows, ApiError> {
        let url = format!("{}/{}/queries/{}", self.root, job.project, job.id);
        let request = Request::new(Method::GET, url)
            .query("location", &job.location)
            .query("startIndex", first)
            .query("maxResults", most)
            // As a double, which is the default, a moment would lose its microseconds.
            .query("formatOptions.useInt64Timestamp", true);
        self.api.json(&request).await
    }
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn list(json: &Json) -> Vec<Json> {
    json.as_array().cloned().unwrap_or_default()
}

fn strings(json: &Json) -> Vec<String> {
    let items = json.as_array().into_iter().flatten();
    items.map(text).collect()
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Datum, D::Error> {
        deserializer.deserialize_any(DatumVisitor)
    }
}

struct DatumVisitor;

impl<'de> Visitor<'de> for DatumVisitor {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cell of a row")
    }

    fn visit_unit<E>(self) -> Result<Datum, E> {
        Ok(Datum::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Datum, E> {
        Ok(Datum::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Datum, E> {
        Ok(Datum::Text(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Datum, E> {
        Ok(Datum::Text(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Datum, A::Error> {
        let mut list = Vec::new();
        while let Some(cell) = items.next_element::<Cell>()? {
            list.push(cell.v);
        }
        Ok(Datum::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Datum, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "f" => fields = map.next_value::<Vec<Cell>>()?,
                _ => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(Datum::Struct(
            fields.into_iter().map(|cell| cell.v).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_in_the_form_the_api_documents() {
        let page = r#"{"totalRows": "2", "jobComplete": true, "rows": [{"f": [
            {"v": "1"}, {"v": null}, {"v": [{"v": "a"}]}, {"v": {"f": [{"v": "x"}, {"v": []}]}}]}]}"#;
        let page: Rows = serde_json::from_str(page).unwrap();
        assert_eq!(page.total_rows.as_deref(), Some("2"));
        let cells: Vec<Datum> = page
            .rows
            .into_iter()
            .next()
            .unwrap()
            .f
            .into_iter()
            .map(|it| it.v)
            .collect();
        let text = |text: &str| Datum::Text(text.to_owned());
        assert_eq!(
            cells,
            [
                text("1"),
                Datum::Null,
                Datum::List(vec![text("a")]),
                Datum::Struct(vec![text("x"), Datum::List(Vec::new())]),
            ]
        );
    }
}
