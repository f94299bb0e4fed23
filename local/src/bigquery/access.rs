//! Who may do what with datasets and tables: roles on the project and the dataset's own list.
//!
//! Only service accounts are checked; the user owns everything. A view is read
//! with its reader's rights on the tables below it. A dataset that is not there
//! refuses nobody: that it is missing is said by whoever looks for it.

use serde_json::Value;

use super::copy::Copy;
use super::extract::Extract;
use super::job::Job;
use super::load::Load;
use super::objects::split;
use super::reference::{DatasetRef, TableRef};
use super::sql::{self, Query, Use};
use super::table::Kind;
use super::work::Work;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::router::Request;
use crate::{roles, storage};

/// Views on views on views end here, as BigQuery's do.
const DEEPEST: usize = 16;

/// Refuses a caller without a permission on a project.
pub fn on_project(
    cloud: &Cloud,
    caller: &Caller,
    project: &str,
    permission: &str,
) -> Result<(), ApiError> {
    if cloud
        .policies
        .permits(&format!("projects/{project}"), permission, caller)
    {
        return Ok(());
    }
    Err(denied(format!(
        "Access Denied: Project {project}: User does not have {permission} permission in project {project}."
    )))
}

/// Refuses a caller without a permission on a dataset.
pub fn on_dataset(
    cloud: &Cloud,
    caller: &Caller,
    dataset: &DatasetRef,
    permission: &str,
) -> Result<(), ApiError> {
    match is_permitted(cloud, caller, dataset, permission) {
        true => Ok(()),
        false => Err(denied(format!(
            "Access Denied: Dataset {dataset}: Permission {permission} denied on dataset {dataset} \
             (or it may not exist)."
        ))),
    }
}

/// Refuses a caller without a permission on a table, which only datasets and projects give.
pub fn on_table(
    cloud: &Cloud,
    caller: &Caller,
    table: &TableRef,
    permission: &str,
) -> Result<(), ApiError> {
    match is_permitted(cloud, caller, &table.dataset(), permission) {
        true => Ok(()),
        false => Err(denied(format!(
            "Access Denied: Table {table}: Permission {permission} denied on table {table} \
             (or it may not exist)."
        ))),
    }
}

/// Refuses a request for the dataset or a table of the path.
pub fn for_request(cloud: &Cloud, request: &Request, permission: &str) -> Result<(), ApiError> {
    let dataset = DatasetRef::new(request.var("project"), request.var("dataset"));
    match request.var("table") {
        "" => on_dataset(cloud, &request.caller, &dataset, permission),
        table => {
            let table = TableRef::new(&dataset.project, &dataset.dataset, table);
            on_table(cloud, &request.caller, &table, permission)
        }
    }
}

/// Refuses a job that does what its caller may not.
pub fn for_job(cloud: &Cloud, caller: &Caller, project: &str, work: &Work) -> Result<(), ApiError> {
    on_project(cloud, caller, project, "bigquery.jobs.create")?;
    match work {
        Work::Load(load) => for_load(cloud, caller, load),
        Work::Query(query) => for_query(cloud, caller, query),
        Work::Copy(copy) => for_copy(cloud, caller, copy),
        Work::Extract(extract) => for_extract(cloud, caller, extract),
    }
}

/// Refuses a permission on a job that is there; whoever made it needs none.
pub fn for_made(
    cloud: &Cloud,
    caller: &Caller,
    job: &Job,
    permission: &str,
) -> Result<(), ApiError> {
    match job.user == caller.email() {
        true => Ok(()),
        false => on_project(cloud, caller, &job.project, permission),
    }
}

fn for_load(cloud: &Cloud, caller: &Caller, load: &Load) -> Result<(), ApiError> {
    for uri in &load.source.uris {
        storage::require(cloud, caller, split(uri)?.0, "storage.objects.get")?;
    }
    writes(cloud, caller, &load.destination)
}

fn for_copy(cloud: &Cloud, caller: &Caller, copy: &Copy) -> Result<(), ApiError> {
    for source in &copy.sources {
        reads(cloud, caller, source, 0)?;
    }
    writes(cloud, caller, &copy.destination)
}

fn for_extract(cloud: &Cloud, caller: &Caller, extract: &Extract) -> Result<(), ApiError> {
    on_table(cloud, caller, &extract.source, "bigquery.tables.export")?;
    storage::require(
        cloud,
        caller,
        split(&extract.uri)?.0,
        "storage.objects.create",
    )
}

fn for_query(cloud: &Cloud, caller: &Caller, query: &Query) -> Result<(), ApiError> {
    for (table, usage) in sql::uses(query) {
        match usage {
            Use::Read => reads(cloud, caller, &table, 0)?,
            Use::Write => writes(cloud, caller, &table)?,
            Use::Change => on_table(cloud, caller, &table, "bigquery.tables.update")?,
            Use::Drop => on_table(cloud, caller, &table, "bigquery.tables.delete")?,
        }
    }
    match &query.destination {
        Some(table) if table.dataset != super::files::RESULTS => writes(cloud, caller, table),
        _ => Ok(()),
    }
}

fn writes(cloud: &Cloud, caller: &Caller, table: &TableRef) -> Result<(), ApiError> {
    if cloud.bigquery.live(table).is_none() {
        on_table(cloud, caller, table, "bigquery.tables.create")?;
    }
    on_table(cloud, caller, table, "bigquery.tables.updateData")
}

fn reads(cloud: &Cloud, caller: &Caller, table: &TableRef, depth: usize) -> Result<(), ApiError> {
    on_table(cloud, caller, table, "bigquery.tables.getData")?;
    let view = cloud
        .bigquery
        .live(table)
        .filter(|table| table.kind == Kind::View);
    let Some(view) = view.filter(|_| depth < DEEPEST) else {
        return Ok(());
    };
    for below in sql::read_by(view.query(), &table.project) {
        reads(cloud, caller, &below, depth + 1)?;
    }
    Ok(())
}

fn is_permitted(cloud: &Cloud, caller: &Caller, dataset: &DatasetRef, permission: &str) -> bool {
    let Caller::ServiceAccount(email) = caller else {
        return true;
    };
    let Ok(found) = cloud.bigquery.dataset(dataset) else {
        return true;
    };
    let project = format!("projects/{}", dataset.project);
    let listed = found.settings.get("access").and_then(Value::as_array);
    let listed = listed
        .into_iter()
        .flatten()
        .any(|entry| is_for(entry, email) && roles::contains(whole_role(entry), permission));
    // Both are asked, so that what is needed is noted wherever it was granted.
    cloud.policies.permits(&project, permission, caller) || listed
}

fn is_for(entry: &Value, email: &str) -> bool {
    let member = entry["iamMember"].as_str().unwrap_or_default();
    entry["userByEmail"] == email
        || member.strip_prefix("serviceAccount:") == Some(email)
        || matches!(member, "allUsers" | "allAuthenticatedUsers")
        || entry["specialGroup"] == "allAuthenticatedUsers"
}

fn whole_role(entry: &Value) -> &str {
    match entry["role"].as_str().unwrap_or_default() {
        "READER" => "roles/bigquery.dataViewer",
        "WRITER" => "roles/bigquery.dataEditor",
        "OWNER" => "roles/bigquery.dataOwner",
        role => role,
    }
}

fn denied(message: String) -> ApiError {
    ApiError::permission_denied(message).reason("accessDenied")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_is_for_the_one_it_names() {
        let entry = json!({"role": "WRITER", "userByEmail": "a@p.iam"});
        assert!(is_for(&entry, "a@p.iam") && !is_for(&entry, "b@p.iam"));
        assert!(is_for(&json!({"iamMember": "allUsers"}), "b@p.iam"));
        assert!(!is_for(
            &json!({"specialGroup": "projectReaders"}),
            "b@p.iam"
        ));
    }

    #[test]
    fn a_short_role_is_the_long_one() {
        assert!(roles::contains(
            whole_role(&json!({"role": "READER"})),
            "bigquery.tables.getData"
        ));
        assert!(!roles::contains(
            whole_role(&json!({"role": "READER"})),
            "bigquery.tables.updateData"
        ));
    }
}
