//! BigQuery datasets, and the rights on them, which are fields of the dataset.

use google_cloud_gax::paginator::ItemPaginator;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::buckets::{integer, labels_of, text};
use super::rest::{Body, Call};
use super::{Cloud, CloudError};
use crate::resource::{Dataset, Owner, Resource, labels};

/// What BigQuery calls these roles in a dataset's own list.
const ROLES: [(&str, &str); 3] = [
    ("roles/bigquery.dataEditor", "WRITER"),
    ("roles/bigquery.dataOwner", "OWNER"),
    ("roles/bigquery.dataViewer", "READER"),
];

/// A dataset and who has which role on it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub resource: Resource,
    /// Role and email.
    pub access: Vec<(String, String)>,
}

impl Cloud {
    /// Names of the client's datasets.
    pub(super) async fn list_datasets(&self) -> Result<Vec<String>, CloudError> {
        let client = &self.client;
        let mut items = self
            .datasets()
            .await?
            .list_datasets()
            .set_project_id(&self.project)
            .set_filter(format!(
                "labels.managed-by:xetl labels.xetl-client:{client}"
            ))
            .by_item();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            match item.map_err(self.failed("the client's datasets")) {
                Ok(item) if Owner::of_labels(&item.labels).client.as_ref() == Some(client) => {
                    found.extend(item.dataset_reference.map(|reference| reference.dataset_id));
                }
                Ok(_) => {}
                Err(error) if error.is_absent() => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    pub(super) async fn find_dataset(&self, name: &str) -> Result<Option<Found>, CloudError> {
        let got = self.dataset_call(name, Method::GET, Body::None, None).await;
        match got {
            Ok(json) => Ok(Some(dataset_of(&json))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_dataset(
        &self,
        name: &str,
        dataset: &Dataset,
    ) -> Result<(), CloudError> {
        let call = Call {
            what: &format!("dataset {name}"),
            method: Method::POST,
            service: "bigquery",
            path: format!("/bigquery/v2/projects/{}/datasets", self.project),
            body: Body::Json(new_dataset(&self.project, name, dataset)),
            etag: None,
        };
        self.rest().await?.send(&call).await?;
        match dataset.readers.is_empty() {
            true => Ok(()),
            // With `access` given at once, the project's owners would not be among them.
            false => self.update_dataset(name, dataset).await,
        }
    }

    pub(super) async fn update_dataset(
        &self,
        name: &str,
        dataset: &Dataset,
    ) -> Result<(), CloudError> {
        let change = |before: &Value| Some(dataset_patch(before, dataset));
        self.change_dataset(name, change).await
    }

    /// Deletes a dataset and the tables in it.
    pub(super) async fn delete_dataset(&self, name: &str) -> Result<(), CloudError> {
        self.datasets()
            .await?
            .delete_dataset()
            .set_project_id(&self.project)
            .set_dataset_id(name)
            .set_delete_contents(true)
            .send()
            .await
            .map_err(self.failed(&format!("dataset {name}")))
    }

    /// Whether there is a table or view in it.
    pub(super) async fn dataset_has_tables(&self, name: &str) -> Result<bool, CloudError> {
        let mut tables = self
            .tables()
            .await?
            .list_tables()
            .set_project_id(&self.project)
            .set_dataset_id(name)
            .by_item();
        match tables.next().await {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) => {
                let error = self.failed(&format!("tables of dataset {name}"))(error);
                error.is_absent().then_some(false).ok_or(error)
            }
        }
    }

    /// Changes the dataset's list of rights; once, `Conflict` where somebody was faster.
    pub(super) async fn change_access(
        &self,
        name: &str,
        change: impl Fn(&mut Vec<Value>) -> bool,
    ) -> Result<(), CloudError> {
        let change = |before: &Value| {
            let mut access: Vec<Value> = entries(before).cloned().collect();
            change(&mut access).then(|| json!({"access": access}))
        };
        self.change_dataset(name, change).await
    }

    /// Reads, decides and writes with the etag; `None` is nothing to write.
    async fn change_dataset(
        &self,
        name: &str,
        change: impl Fn(&Value) -> Option<Value>,
    ) -> Result<(), CloudError> {
        let before = self
            .dataset_call(name, Method::GET, Body::None, None)
            .await?;
        let Some(patch) = change(&before) else {
            return Ok(());
        };
        let etag = before["etag"].as_str();
        self.dataset_call(name, Method::PATCH, Body::Json(patch), etag)
            .await?;
        Ok(())
    }

    async fn dataset_call(
        &self,
        name: &str,
        method: Method,
        body: Body,
        etag: Option<&str>,
    ) -> Result<Value, CloudError> {
        let call = Call {
            what: &format!("dataset {name}"),
            method,
            service: "bigquery",
            path: format!("/bigquery/v2/projects/{}/datasets/{name}", self.project),
            body,
            etag,
        };
        self.rest().await?.json(&call).await
    }
}

/// The entry of a dataset's list that gives an account a role.
pub(super) fn entry(role: &str, email: &str) -> Value {
    json!({"role": short(role), "userByEmail": email})
}

/// Whether an entry is of an account that was deleted: BigQuery takes no list that has one.
pub(super) fn is_of_deleted(entry: &Value) -> bool {
    let member = entry["iamMember"].as_str();
    member.is_some_and(|member| member.starts_with("deleted:"))
}

fn short(role: &str) -> &str {
    let known = ROLES.iter().find(|(long, _)| *long == role);
    known.map_or(role, |(_, short)| short)
}

fn role_and_email(access: &Value) -> Option<(String, String)> {
    let member = access["iamMember"].as_str();
    let email = match member.and_then(|member| member.strip_prefix("serviceAccount:")) {
        Some(email) => email,
        None => access["userByEmail"].as_str()?,
    };
    let role = access["role"].as_str()?;
    let known = ROLES.iter().find(|(_, short)| *short == role);
    let role = known.map_or(role, |(long, _)| long);
    Some((role.to_owned(), email.to_owned()))
}

fn entries(dataset: &Value) -> impl Iterator<Item = &Value> {
    dataset["access"].as_array().into_iter().flatten()
}

/// Who an entry lets read, as IAM writes members.
fn reader(access: &Value) -> Option<String> {
    if !matches!(
        access["role"].as_str(),
        Some("READER" | "roles/bigquery.dataViewer")
    ) {
        return None;
    }
    let by = |key: &str, prefix: &str| Some(format!("{prefix}:{}", access[key].as_str()?));
    by("groupByEmail", "group")
        .or_else(|| by("domain", "domain"))
        .or_else(|| {
            let email = access["userByEmail"].as_str()?;
            let prefix = match email.ends_with(".gserviceaccount.com") {
                true => "serviceAccount",
                false => "user",
            };
            Some(format!("{prefix}:{email}"))
        })
        .or_else(|| access["iamMember"].as_str().map(str::to_owned))
}

/// The entry that lets a member read.
fn reader_entry(member: &str) -> Value {
    match member.split_once(':') {
        Some(("group", email)) => json!({"role": "READER", "groupByEmail": email}),
        Some(("domain", domain)) => json!({"role": "READER", "domain": domain}),
        Some(("user" | "serviceAccount", email)) => json!({"role": "READER", "userByEmail": email}),
        _ => json!({"role": "READER", "iamMember": member}),
    }
}

/// What we manage of a dataset that is there.
pub(super) fn dataset_of(json: &Value) -> Found {
    Found {
        resource: fields_of(json).into(),
        access: entries(json).filter_map(role_and_email).collect(),
    }
}

fn fields_of(json: &Value) -> Dataset {
    let all = labels_of(json);
    let marks = all.get(labels::READERS);
    let readers = entries(json).filter_map(reader);
    let some = |value: &Value| {
        value
            .as_str()
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
    };
    Dataset {
        location: text(&json["location"]).to_lowercase(),
        description: some(&json["description"]),
        table_expiry_ms: integer(&json["defaultTableExpirationMs"]),
        partition_expiry_ms: integer(&json["defaultPartitionExpirationMs"]),
        kms_key: some(&json["defaultEncryptionConfiguration"]["kmsKeyName"]),
        readers: readers
            .filter(|reader| labels::is_marked(marks, reader))
            .collect(),
        labels: labels::own(&all),
        owner: Owner::of_labels(&all),
    }
}

fn new_dataset(project: &str, name: &str, dataset: &Dataset) -> Value {
    let mut json = settings(dataset);
    json.retain(|_, value| !value.is_null());
    let reference = json!({"projectId": project, "datasetId": name});
    json.insert("datasetReference".to_owned(), reference);
    json.insert("location".to_owned(), json!(dataset.location));
    let labels = labels::written(&dataset.owner, &dataset.labels);
    json.insert("labels".to_owned(), json!(labels));
    Value::Object(json)
}

fn dataset_patch(before: &Value, dataset: &Dataset) -> Value {
    let mut json = settings(dataset);
    if dataset.description.is_none() {
        json.remove("description");
    }
    let labels_before = labels_of(before);
    let mut after = labels::rewritten(&labels_before, &dataset.owner, &dataset.labels);
    after.remove(labels::READERS);
    if !dataset.readers.is_empty() {
        let marks = labels::marks(&dataset.readers);
        after.insert(labels::READERS.to_owned(), marks);
    }
    let patch = labels::patch(&labels_before, &after);
    json.insert("labels".to_owned(), json!(patch));
    if let Some(access) = access_with_readers(before, dataset) {
        json.insert("access".to_owned(), json!(access));
    }
    Value::Object(json)
}

/// The list of rights with the declared readers and without those of before; `None` where it
/// is so already.
fn access_with_readers(before: &Value, dataset: &Dataset) -> Option<Vec<Value>> {
    let labels = labels_of(before);
    let marks = labels.get(labels::READERS);
    let gone = |entry: &&Value| {
        reader(entry).is_some_and(|reader| {
            labels::is_marked(marks, &reader) && !dataset.readers.contains(&reader)
        })
    };
    let stays = |entry: &&Value| !gone(entry) && !is_of_deleted(entry);
    let mut access: Vec<Value> = entries(before).filter(stays).cloned().collect();
    let there: Vec<String> = access.iter().filter_map(reader).collect();
    let missing = dataset.readers.iter().filter(|it| !there.contains(it));
    access.extend(missing.map(|member| reader_entry(member)));
    (!access.iter().eq(entries(before))).then_some(access)
}

/// What a dataset is made with and can be changed in; null takes away.
fn settings(dataset: &Dataset) -> Map<String, Value> {
    let ms = |ms: Option<i64>| json!(ms.map(|ms| ms.to_string()));
    let key = dataset.kms_key.as_ref();
    let encryption = key.map_or(Value::Null, |key| json!({"kmsKeyName": key}));
    Map::from_iter([
        ("description".to_owned(), json!(dataset.description)),
        (
            "defaultTableExpirationMs".to_owned(),
            ms(dataset.table_expiry_ms),
        ),
        (
            "defaultPartitionExpirationMs".to_owned(),
            ms(dataset.partition_expiry_ms),
        ),
        ("defaultEncryptionConfiguration".to_owned(), encryption),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Labels;
    use std::collections::BTreeSet;

    #[test]
    fn a_role_is_read_back_from_the_name_bigquery_gives_it() {
        let access = json!({"role": "WRITER", "userByEmail": "a@b"});
        let (role, email) = role_and_email(&access).unwrap();
        assert_eq!(entry(&role, &email), access);
        assert_eq!(role, "roles/bigquery.dataEditor");
    }

    fn dataset(readers: &[&str]) -> Dataset {
        Dataset {
            location: "r1".to_owned(),
            description: Some("d".to_owned()),
            table_expiry_ms: Some(3_600_000),
            partition_expiry_ms: None,
            kms_key: Some("k".to_owned()),
            readers: readers.iter().map(|reader| (*reader).to_owned()).collect(),
            labels: Labels::from([("team".to_owned(), "data".to_owned())]),
            owner: Owner::pipeline("acme", "xero"),
        }
    }

    /// What BigQuery has after the patch, as far as we look.
    fn patched(before: &Value, patch: &Value) -> Value {
        let mut after = before.clone();
        for (key, value) in patch.as_object().unwrap() {
            match (key.as_str(), value.as_object()) {
                ("labels", Some(labels)) => {
                    let all = after["labels"].as_object_mut().unwrap();
                    all.extend(labels.clone());
                    all.retain(|_, value| !value.is_null());
                }
                _ => after[key] = value.clone(),
            }
        }
        after
    }

    #[test]
    fn a_dataset_is_read_back_as_it_was_written_with_the_readers_of_others_untouched() {
        let wanted = dataset(&[
            "group:g@b",
            "user:u@b",
            "serviceAccount:s@p.iam.gserviceaccount.com",
        ]);
        let mut new = new_dataset("p", "d", &wanted);
        let theirs = json!({"role": "READER", "userByEmail": "other@b"});
        new["access"] = json!([{"role": "OWNER", "specialGroup": "projectOwners"}, theirs]);
        let made = patched(&new, &dataset_patch(&new, &wanted));
        assert_eq!(fields_of(&made), wanted);

        let fewer = dataset(&["user:u@b"]);
        let changed = patched(&made, &dataset_patch(&made, &fewer));
        assert_eq!(fields_of(&changed), fewer);
        assert!(entries(&changed).any(|entry| *entry == theirs));
        let none = patched(&changed, &dataset_patch(&changed, &dataset(&[])));
        assert_eq!(fields_of(&none).readers, BTreeSet::new());
        assert!(none["labels"].get(labels::READERS).is_none());
    }

    #[test]
    fn a_description_that_is_not_declared_stays() {
        let mut wanted = dataset(&[]);
        wanted.description = None;
        let patch = dataset_patch(&json!({}), &wanted);
        assert!(patch.get("description").is_none());
        assert!(patch["defaultPartitionExpirationMs"].is_null());
    }
}
