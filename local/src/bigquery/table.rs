//! A table's document: schema, settings and the list of its Parquet files.
//!
//! The document is the commit: data files are written first, and one write of
//! the document makes them the table's.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::layout::number;
use super::reference::TableRef;
use super::resource::{Object, etag, now_ms};
use super::schema::Schema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Native,
    View,
    External,
}

/// A Parquet file in the service's data folder; never changed once written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    /// The partition of all its rows, where they came into one by the time they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<i64>,
}

/// A job that wrote the table, with what it reports: a job cut off after its
/// commit is found here at the next start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    pub job: String,
    pub statistics: Object,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    pub reference: TableRef,
    pub kind: Kind,
    pub location: String,
    pub schema: Schema,
    pub settings: Object,
    pub files: Vec<DataFile>,
    pub commits: Vec<Commit>,
    pub created: i64,
    pub modified: i64,
    pub version: u64,
}

/// Commits remembered a table; more jobs than this never run at once.
const COMMITS: usize = 32;

impl Table {
    pub fn new(reference: TableRef, kind: Kind, location: &str, schema: Schema) -> Table {
        Table {
            reference,
            kind,
            location: location.to_owned(),
            schema,
            settings: Object::new(),
            files: Vec::new(),
            commits: Vec::new(),
            created: now_ms(),
            modified: now_ms(),
            version: 1,
        }
    }

    pub fn etag(&self) -> String {
        etag(
            &format!("{}#{}", self.reference.key(), self.created),
            self.version,
        )
    }

    pub fn touch(&mut self) {
        self.version += 1;
        self.modified = now_ms();
    }

    pub fn commit(&mut self, commit: Commit) {
        let extra = (self.commits.len() + 1).saturating_sub(COMMITS);
        self.commits.drain(..extra);
        self.commits.push(commit);
        self.touch();
    }

    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether the table's `expirationTime` has come.
    pub fn expired(&self, now_ms: i64) -> bool {
        let at = self.settings.get("expirationTime").and_then(number);
        at.is_some_and(|at| at > 0 && at <= now_ms)
    }

    /// The query of a view.
    pub fn query(&self) -> &str {
        self.settings
            .get("view")
            .and_then(|view| view["query"].as_str())
            .unwrap_or_default()
    }

    fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Native => "TABLE",
            Kind::View => "VIEW",
            Kind::External => "EXTERNAL",
        }
    }

    /// The resource as `tables.get` answers it.
    pub fn view(&self, endpoint: &str) -> Value {
        let TableRef {
            project,
            dataset,
            table,
        } = &self.reference;
        let mut view = json!({
            "kind": "bigquery#table",
            "etag": self.etag(),
            "id": self.reference.to_string(),
            "selfLink": format!("{endpoint}/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}"),
            "tableReference": self.reference,
            "creationTime": self.created.to_string(),
            "lastModifiedTime": self.modified.to_string(),
            "location": self.location,
            "type": self.type_name(),
            "numRows": self.rows().to_string(),
            "numBytes": self.bytes().to_string(),
            "numLongTermBytes": "0",
        });
        if !self.schema.fields.is_empty() {
            view["schema"] = json!(self.schema);
        }
        if let Value::Object(view) = &mut view {
            view.extend(self.settings.clone());
        }
        view
    }

    /// The shorter form in a list.
    pub fn item(&self) -> Value {
        let mut item = json!({
            "kind": "bigquery#table",
            "id": self.reference.to_string(),
            "tableReference": self.reference,
            "type": self.type_name(),
            "creationTime": self.created.to_string(),
        });
        for name in [
            "labels",
            "friendlyName",
            "timePartitioning",
            "clustering",
            "expirationTime",
        ] {
            if let Some(value) = self.settings.get(name) {
                item[name] = value.clone();
            }
        }
        if self.kind == Kind::View {
            item["view"] = json!({"useLegacySql": false});
        }
        item
    }
}
