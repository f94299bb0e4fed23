//! `xetl.BucketPartitionRouter`: ids from objects in a bucket, a chunk of them a partition.
//!
//! A partition names its chunk and the hash of its ids; the ids themselves, which may be
//! ten thousand, are looked up when it is read and must still be those of the plan.

use std::sync::Arc;

use async_stream::try_stream;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use indexmap::IndexSet;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::stream::{Slice, SourceError, State};
use crate::value::Value;

use super::super::component::Component;
use super::super::decoder::Decoder;
use super::super::outside::Objects;
use super::super::request::{Options, RequestOption};
use super::super::response::Response;
use super::super::template::{Scope, TemplateError};
use super::{LookUp, Partition, Router, Step, Steps};

const DEFAULT_CHUNK: usize = 10_000;
/// What is kept in memory while the stream is read.
const MOST_IDS: usize = 5_000_000;
/// An object is in memory while its ids are read.
const LARGEST: u64 = 512 * 1024 * 1024;
/// The fields of a partition, and the name under which templates find the ids.
const CHUNK: &str = "chunk";
const HASH: &str = "hash";
const IDS: &str = "ids";

pub struct BucketRouter {
    at: String,
    /// What the objects' addresses begin with.
    from: String,
    objects: Arc<dyn Objects>,
    option: Option<RequestOption>,
    format: Format,
    size: usize,
    ids: OnceCell<IndexSet<String>>,
}

/// How an object holds its ids.
#[derive(Debug, Clone, PartialEq)]
enum Format {
    /// One a line.
    Lines,
    /// In the column of this name.
    Csv(String),
    /// A list of them, or of objects with this field; or an object a line.
    Json(Option<String>),
}

impl BucketRouter {
    pub fn open(
        component: &Component<'_>,
        scope: &Scope,
        objects: Arc<dyn Objects>,
    ) -> Result<BucketRouter, SourceError> {
        let said = |error: TemplateError| component.error(error.to_string());
        let text = |name: &str| {
            let template = component.template(name)?;
            let text = template.map(|template| template.text(scope)).transpose();
            text.map(|text| text.filter(|text| !text.is_empty()))
                .map_err(said)
        };
        let from = text("from")?
            .ok_or_else(|| component.error("it needs `from`, such as gs://bucket/prefix"))?;
        let field = text("id_field")?;
        let format = match (text("format")?.as_deref(), field) {
            (None | Some("lines"), None) => Format::Lines,
            (Some("csv"), field) => Format::Csv(field.unwrap_or_else(|| "id".to_owned())),
            (Some("json" | "jsonl"), field) => Format::Json(field),
            (_, Some(_)) => {
                return Err(component.error("`id_field` is for `format: csv` and `json`"));
            }
            (Some(other), None) => {
                return Err(
                    component.error(format!("`format` is `{other}`, not lines, csv or json"))
                );
            }
        };
        let size = match text("chunk_size")? {
            None => DEFAULT_CHUNK,
            Some(text) => text
                .parse()
                .ok()
                .filter(|size| (1..=DEFAULT_CHUNK).contains(size))
                .ok_or_else(|| {
                    component.error(format!(
                        "`chunk_size` is `{text}`, not a number from 1 to {DEFAULT_CHUNK}"
                    ))
                })?,
        };
        let option = component.child("request_option");
        Ok(BucketRouter {
            at: component.at.clone(),
            from: known_place(component, from)?,
            objects,
            option: option.map(|it| RequestOption::open(&it)).transpose()?,
            format,
            size,
            ids: OnceCell::new(),
        })
    }

    fn problem(&self, problem: impl Into<String>) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: problem.into(),
        }
    }

    async fn ids(&self) -> Result<&IndexSet<String>, SourceError> {
        self.ids.get_or_try_init(|| self.read()).await
    }

    /// Every id once, in the order of the objects' names.
    async fn read(&self) -> Result<IndexSet<String>, SourceError> {
        let listed = self.objects.list(&self.from).await;
        let mut listed = listed.map_err(|error| self.problem(error.to_string()))?;
        listed.sort_by(|one, other| one.uri.cmp(&other.uri));
        let mut ids = IndexSet::new();
        for object in listed {
            if object.size > LARGEST {
                let problem = format!("{} is larger than {LARGEST} bytes", object.uri);
                return Err(self.problem(problem));
            }
            let bytes = self.objects.read(&object.uri).await;
            let bytes = bytes.map_err(|error| self.problem(error.to_string()))?;
            self.add(&mut ids, &object.uri, &bytes)?;
        }
        match ids.is_empty() {
            true => Err(self.problem("there are no ids in its objects")),
            false => Ok(ids),
        }
    }

    fn add(&self, ids: &mut IndexSet<String>, name: &str, bytes: &[u8]) -> Result<(), SourceError> {
        let found = self.format.ids(bytes);
        ids.extend(found.map_err(|problem| self.problem(format!("{name}: {problem}")))?);
        match ids.len() > MOST_IDS {
            true => Err(self.problem(format!("there are more than {MOST_IDS} ids"))),
            false => Ok(()),
        }
    }
}

impl Router for BucketRouter {
    fn steps<'a>(&'a self, _: &'a State) -> Steps<'a> {
        try_stream! {
            let ids = self.ids().await?;
            for chunk in 0..ids.len().div_ceil(self.size) {
                let fields = json!({CHUNK: chunk, HASH: hash(part(ids, self.size, chunk))});
                let Json::Object(fields) = fields else { continue };
                let size = Some(part(ids, self.size, chunk).count() as u64);
                yield Step::Partition(Partition { fields, size, ..Partition::default() });
            }
        }
        .boxed()
    }

    fn look_up<'a>(&'a self, slice: &'a Slice) -> LookUp<'a> {
        async {
            let ids = self.ids().await?;
            let chunk = slice.partition.get(CHUNK).and_then(Json::as_u64).unwrap_or(u64::MAX);
            let chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
            let found: Vec<&String> = part(ids, self.size, chunk).collect();
            if slice.partition.get(HASH) != Some(&hash(found.iter().copied()).into()) {
                return Err(self.problem(
                    "the ids are not those this run was planned with; start a new run, or put the objects back",
                ));
            }
            Ok(Map::from_iter([(IDS.to_owned(), json!(found))]))
        }
        .boxed()
    }

    /// The ids as they are, whatever they look like to a template.
    fn options(&self, slice: &Slice, scope: &Scope) -> Result<Options, TemplateError> {
        let mut options = Options::default();
        let ids = slice.extra_fields.get(IDS).map(Value::from);
        if let (Some(option), Some(ids)) = (&self.option, ids) {
            option.inject(&mut options, ids, scope)?;
        }
        Ok(options)
    }

    fn has_options(&self) -> bool {
        self.option.is_some()
    }

    fn fields(&self) -> Vec<String> {
        vec![CHUNK.to_owned(), HASH.to_owned()]
    }
}

/// A bucket or a path, and nothing else.
fn known_place(component: &Component<'_>, from: String) -> Result<String, SourceError> {
    match from.split_once("://") {
        None | Some(("gs" | "file", _)) => Ok(from),
        Some(_) => Err(component.error(format!(
            "`from` is `{from}`; expected gs://bucket/prefix or a path"
        ))),
    }
}

fn part(ids: &IndexSet<String>, size: usize, chunk: usize) -> impl Iterator<Item = &String> {
    ids.iter().skip(chunk.saturating_mul(size)).take(size)
}

/// Tells one set of ids from another; each id's end is part of it.
fn hash<'i>(ids: impl IntoIterator<Item = &'i String>) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8])
}

impl Format {
    fn ids(&self, bytes: &[u8]) -> Result<Vec<String>, String> {
        match self {
            Format::Lines => {
                let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
                let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
                Ok(lines
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned)
                    .collect())
            }
            Format::Csv(column) => rows(bytes, column),
            Format::Json(field) => documents(bytes, field.as_deref()),
        }
    }
}

fn rows(bytes: &[u8], column: &str) -> Result<Vec<String>, String> {
    let json = json!({"type": "CsvDecoder"});
    let decoder = Decoder::open(Some(&Component::new(&json, "ids")));
    let decoder = decoder.map_err(|error| error.to_string())?;
    let body = Bytes::copy_from_slice(bytes);
    let response = Response::new(200, String::new(), Vec::new(), body);
    let mut ids = Vec::new();
    for row in decoder.documents(&response) {
        let row = row.map_err(|error| error.to_string())?;
        let id = row.get(column);
        let id = id.ok_or_else(|| format!("there is no column `{column}`"))?;
        ids.extend(
            id.as_str()
                .map(str::trim)
                .filter(|id| !id.is_empty())
                .map(str::to_owned),
        );
    }
    Ok(ids)
}

fn documents(bytes: &[u8], field: Option<&str>) -> Result<Vec<String>, String> {
    let mut ids = Vec::new();
    for document in serde_json::Deserializer::from_slice(bytes).into_iter::<Json>() {
        match document.map_err(|error| error.to_string())? {
            Json::Array(values) => {
                for value in &values {
                    ids.push(id(value, field)?);
                }
            }
            value => ids.push(id(&value, field)?),
        }
    }
    Ok(ids)
}

fn id(value: &Json, field: Option<&str>) -> Result<String, String> {
    let found = match (value, field) {
        (Json::Object(fields), Some(field)) => fields.get(field).unwrap_or(&Json::Null),
        (value, _) => value,
    };
    match found {
        Json::String(id) => Ok(id.clone()),
        Json::Number(id) => Ok(id.to_string()),
        _ => Err(match field {
            Some(field) => format!("an element has no id under `{field}`"),
            None => "an element is no id; name its field with `id_field`".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    fn router(folder: &std::path::Path, more: Json) -> BucketRouter {
        let mut json = json!({"from": folder.to_string_lossy(), "chunk_size": "2"});
        json.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let scope = Scope::new(minijinja::Value::from(()));
        BucketRouter::open(
            &Component::new(&json, "here"),
            &scope,
            Arc::new(crate::objects::Anywhere::default()),
        )
        .unwrap()
    }

    async fn slices(router: &BucketRouter) -> Vec<Slice> {
        let steps: Vec<Step> = router.steps(&Json::Null).try_collect().await.unwrap();
        let slice = |step| match step {
            Step::Partition(partition) => Slice {
                partition: partition.fields,
                ..Slice::default()
            },
            Step::Parents(_) => panic!("no parents"),
        };
        steps.into_iter().map(slice).collect()
    }

    #[tokio::test]
    async fn ids_come_once_in_the_order_of_the_objects_and_in_chunks() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.txt"), "3\n1\n\n").unwrap();
        std::fs::write(folder.path().join("a.txt"), "2\r\n1\n2\n").unwrap();
        let router = router(folder.path(), json!({}));
        let slices = slices(&router).await;
        assert_eq!(slices.len(), 2);
        assert_eq!(
            router.look_up(&slices[0]).await.unwrap()["ids"],
            json!(["2", "1"])
        );
        assert_eq!(
            router.look_up(&slices[1]).await.unwrap()["ids"],
            json!(["3"])
        );
    }

    #[tokio::test]
    async fn a_chunk_whose_ids_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        std::fs::write(&file, "1\n2\n").unwrap();
        let planned = slices(&router(folder.path(), json!({}))).await;
        std::fs::write(&file, "1\n3\n").unwrap();
        let error = router(folder.path(), json!({}))
            .look_up(&planned[0])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("start a new run"), "{error}");
    }

    #[test]
    fn ids_are_read_from_lists_lines_and_columns() {
        let json = |field: Option<&str>| Format::Json(field.map(str::to_owned));
        assert_eq!(json(None).ids(br#"["a", 5]"#).unwrap(), ["a", "5"]);
        assert_eq!(
            json(Some("k"))
                .ids(b"{\"k\": \"a\"}\n{\"k\": \"b\"}\n")
                .unwrap(),
            ["a", "b"]
        );
        assert_eq!(
            Format::Csv("k".into()).ids(b"x,k\n1,a\n2,\"b\"\n").unwrap(),
            ["a", "b"]
        );
        assert!(json(Some("k")).ids(b"[{}]").is_err());
        assert!(Format::Csv("k".into()).ids(b"x\n1\n").is_err());
    }
}
