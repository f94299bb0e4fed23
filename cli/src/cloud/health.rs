//! What `xetl doctor` asks: who calls, and what Google says of the project to that caller.

use std::collections::BTreeSet;
use std::env;

use google_cloud_gax::paginator::ItemPaginator;
use reqwest::Method;
use reqwest::header::DATE;
use serde::Deserialize;

use super::credentials::file;
use super::rest::{Body, Call};
use super::{Cloud, CloudError, access_token};
use crate::doctor::{SignIn, is_hidden};
use crate::failure::root;
use crate::target::Target;

/// The parts of a file of credentials that are no secrets.
#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    quota_project_id: Option<String>,
    service_account_impersonation_url: Option<String>,
}

/// Who calls, once a token shows that they can.
pub async fn sign_in(target: &Target) -> Result<SignIn, CloudError> {
    access_token(target).await.map_err(plainly)?;
    if target.token().is_some() {
        return Ok(SignIn {
            kind: "the local cloud's own user".to_owned(),
            ..SignIn::default()
        });
    }
    let file = file().and_then(|path| std::fs::read(path).ok());
    let file = file.and_then(|text| serde_json::from_slice::<File>(&text).ok());
    Ok(file.map_or_else(of_metadata, of_file))
}

/// Without a file Google's library asks a metadata server, and says only that it did not answer.
fn plainly(error: CloudError) -> CloudError {
    let is_named = env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_some();
    let has_file = is_named || file().is_some_and(|path| path.is_file());
    match (&error, has_file) {
        (CloudError::Credentials { .. }, false) => CloudError::Credentials {
            problem: "there is no file of them, and this machine has no account of Google's"
                .to_owned(),
        },
        _ => error,
    }
}

fn of_file(file: File) -> SignIn {
    let kind = match file.kind.as_str() {
        "authorized_user" => "a user's application default credentials",
        "service_account" => "a service account's key",
        "external_account" | "external_account_authorized_user" => "a workload's identity",
        "impersonated_service_account" => "an impersonated service account",
        other => other,
    };
    SignIn {
        kind: kind.to_owned(),
        account: file.client_email.or_else(|| {
            let url = file.service_account_impersonation_url?;
            let name = url.rsplit('/').next()?;
            Some(name.trim_end_matches(":generateAccessToken").to_owned())
        }),
        quota_project: env::var("GOOGLE_CLOUD_QUOTA_PROJECT")
            .ok()
            .or(file.quota_project_id),
        wants_quota_project: file.kind == "authorized_user",
    }
}

fn of_metadata() -> SignIn {
    SignIn {
        kind: "the account of this machine".to_owned(),
        ..SignIn::default()
    }
}

/// How many seconds this machine's clock is ahead of Google's.
pub async fn clock_ahead(target: &Target) -> Result<i64, CloudError> {
    let endpoint = target.api("cloudresourcemanager");
    let reply = reqwest::get(&endpoint)
        .await
        .map_err(|error| CloudError::Unreachable {
            problem: root(&error),
            endpoint: endpoint.clone(),
        })?;
    let date = reply
        .headers()
        .get(DATE)
        .and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let theirs = theirs.ok_or_else(|| CloudError::Unusable {
        what: "the clock".to_owned(),
        problem: format!("{endpoint} does not say what time it is"),
    })?;
    Ok(jiff::Timestamp::now().as_second() - theirs.timestamp().as_second())
}

/// What services say of a project as a whole.
fn names_no_project(message: &str) -> bool {
    message.starts_with("Permission denied on resource project ")
        || message.starts_with("Not found: Project ")
        || message.starts_with("Unknown project id: ")
        || (message.starts_with("Project '")
            && message.contains("' not found or permission denied"))
}

impl Cloud {
    /// The project's state, such as `ACTIVE`.
    pub async fn project_state(&self) -> Result<String, CloudError> {
        let project = self.projects().await?.get_project();
        let found = project.set_name(self.in_project("")).send().await;
        let project = found.map_err(self.failed(&format!("project {}", self.project)))?;
        Ok(project.state.name().unwrap_or("UNKNOWN").to_owned())
    }

    /// Whether a refusal is there because the project is not, or is not the caller's to see.
    pub async fn lacks_project(&self, refusal: &str) -> bool {
        // Where Resource Manager's API is off, it says nothing of the project.
        let hides = |state: Result<String, CloudError>| state.is_err_and(|it| is_hidden(&it));
        names_no_project(refusal) || hides(self.project_state().await)
    }

    pub async fn is_billed(&self) -> Result<bool, CloudError> {
        let what = format!("billing of {}", self.project);
        let call = Call {
            what: &what,
            method: Method::GET,
            service: "cloudbilling",
            path: format!("/v1/{}/billingInfo", self.in_project("")),
            body: Body::None,
            etag: None,
        };
        let info = self.rest().await?.json(&call).await?;
        Ok(info["billingEnabled"] == true)
    }

    /// Which of these APIs are off.
    pub async fn apis_off(&self, names: &[String]) -> Result<Vec<String>, CloudError> {
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let on = self.read_apis(&wanted).await?;
        let is_on = |name: &&String| on.keys().any(|address| address.name == **name);
        Ok(names.iter().filter(|name| !is_on(name)).cloned().collect())
    }

    /// Which of these permissions the caller has on the project.
    pub async fn permissions_held(
        &self,
        asked: Vec<String>,
    ) -> Result<BTreeSet<String>, CloudError> {
        let test = self.projects().await?.test_iam_permissions();
        let reply = test
            .set_resource(self.in_project(""))
            .set_permissions(asked)
            .send()
            .await
            .map_err(self.failed("your permissions"))?;
        Ok(reply.permissions.into_iter().collect())
    }

    /// All jobs of the region, whoever's they are.
    pub async fn job_names(&self) -> Result<BTreeSet<String>, CloudError> {
        let list = self.jobs().await?.list_jobs();
        let mut items = list.set_parent(self.in_region("")).by_item();
        let mut names = BTreeSet::new();
        while let Some(item) = items.next().await {
            let job = item.map_err(self.failed("the project's jobs"))?;
            names.insert(super::last_part(&job.name));
        }
        Ok(names)
    }

    /// All service accounts of the project, by what stands before the `@`.
    pub async fn account_names(&self) -> Result<BTreeSet<String>, CloudError> {
        let list = self.accounts().await?.list_service_accounts();
        let mut items = list.set_name(self.in_project("")).by_item();
        let mut names = BTreeSet::new();
        while let Some(item) = items.next().await {
            let account = item.map_err(self.failed("the project's accounts"))?;
            let name = account.email.split('@').next().unwrap_or_default();
            names.insert(name.to_owned());
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_that_is_not_there_is_told_from_one_right_less() {
        assert!(names_no_project(
            "Permission denied on resource project p1."
        ));
        assert!(names_no_project(
            "Project 'p1' not found or permission denied. Help Token: x"
        ));
        assert!(!names_no_project(
            "Permission 'run.jobs.list' denied on resource 'projects/p1/locations/r'"
        ));
    }
}
