//! BigQuery datasets, and the rights on them, which are fields of the dataset.

use google_cloud_bigquery_v2::model::{Access, Dataset, DatasetReference};
use google_cloud_gax::paginator::ItemPaginator;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::rest::{Body, Call};
use super::{Cloud, CloudError};
use crate::resource::{Owner, Resource};

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
        let found = self
            .datasets()
            .await?
            .get_dataset()
            .set_project_id(&self.project)
            .set_dataset_id(name)
            .send()
            .await
            .map_err(self.failed(&format!("dataset {name}")));
        match found {
            Ok(dataset) => Ok(Some(dataset_of(&dataset))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_dataset(
        &self,
        name: &str,
        location: &str,
        owner: &Owner,
    ) -> Result<(), CloudError> {
        let reference = DatasetReference::new()
            .set_project_id(&self.project)
            .set_dataset_id(name);
        let dataset = Dataset::new()
            .set_dataset_reference(reference)
            .set_location(location)
            .set_labels(owner.labels());
        self.datasets()
            .await?
            .insert_dataset()
            .set_project_id(&self.project)
            .set_dataset(dataset)
            .send()
            .await
            .map_err(self.failed(&format!("dataset {name}")))?;
        Ok(())
    }

    pub(super) async fn update_dataset(&self, name: &str, owner: &Owner) -> Result<(), CloudError> {
        let change = json!({"labels": owner.labels().collect::<BTreeMap<_, _>>()});
        self.dataset_call(name, Method::PATCH, Body::Json(change), None)
            .await?;
        Ok(())
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
        let dataset = self
            .dataset_call(name, Method::GET, Body::None, None)
            .await?;
        let mut access = dataset["access"].as_array().cloned().unwrap_or_default();
        if !change(&mut access) {
            return Ok(());
        }
        let etag = dataset["etag"].as_str();
        let body = Body::Json(json!({"access": access}));
        self.dataset_call(name, Method::PATCH, body, etag).await?;
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

/// What we manage of a dataset that is there.
pub(super) fn dataset_of(dataset: &Dataset) -> Found {
    Found {
        resource: Resource::Dataset {
            location: dataset.location.to_lowercase(),
            owner: Owner::of_labels(&dataset.labels),
        },
        access: dataset.access.iter().filter_map(role_and_email).collect(),
    }
}

/// The entry of a dataset's list that gives an account a role.
pub(super) fn entry(role: &str, email: &str) -> Value {
    json!({"role": short(role), "userByEmail": email})
}

fn short(role: &str) -> &str {
    let known = ROLES.iter().find(|(long, _)| *long == role);
    known.map_or(role, |(_, short)| short)
}

fn role_and_email(access: &Access) -> Option<(String, String)> {
    let email = match access.iam_member.strip_prefix("serviceAccount:") {
        Some(email) => email,
        None => access.user_by_email.as_str(),
    };
    let known = ROLES.iter().find(|(_, short)| *short == access.role);
    let role = known.map_or(access.role.as_str(), |(long, _)| long);
    (!email.is_empty()).then(|| (role.to_owned(), email.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_back_from_the_name_bigquery_gives_it() {
        let access = Access::new().set_role("WRITER").set_user_by_email("a@b");
        let (role, email) = role_and_email(&access).unwrap();
        assert_eq!(
            entry(&role, &email),
            json!({"role": "WRITER", "userByEmail": "a@b"})
        );
        assert_eq!(role, "roles/bigquery.dataEditor");
    }
}
