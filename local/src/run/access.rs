//! Whether a job can run: its account, image and secrets, as Cloud Run checks
//! them when the job is created or updated.

use super::job::Condition;
use super::spec::{ExecutionTemplate, SecretRef};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::operations::Status;
use crate::policy;

const ACCESSOR: &str = "roles/secretmanager.secretAccessor";
const ACCESS: &str = "secretmanager.versions.access";
const PULL: &str = "artifactregistry.repositories.downloadArtifacts";

/// `google.rpc.Code` numbers.
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const FAILED_PRECONDITION: i32 = 9;

/// # Errors
/// A job whose account is missing is refused at once.
pub fn check_account(cloud: &Cloud, template: &ExecutionTemplate) -> Result<(), ApiError> {
    let account = &template.template.service_account;
    if account.is_empty() {
        return Err(ApiError::invalid(
            "template.template.service_account is required: the local cloud has no Compute Engine \
             default account",
        ));
    }
    match cloud.accounts.exists(account) {
        true => Ok(()),
        false => Err(not_to_act_as(account)),
    }
}

/// # Errors
/// Whoever makes or changes a job must be allowed to act as its account and to pull its image.
pub fn check_author(
    cloud: &Cloud,
    caller: &Caller,
    template: &ExecutionTemplate,
) -> Result<(), ApiError> {
    check_account(cloud, template)?;
    let account = &template.template.service_account;
    if !cloud.policies.may_act_as(caller, account) {
        return Err(not_to_act_as(account));
    }
    let container = template.container();
    let repository = container.and_then(|it| cloud.registry.repository_of(&it.image));
    repository.map_or(Ok(()), |it| policy::require(cloud, caller, &it.name, PULL))
}

fn not_to_act_as(account: &str) -> ApiError {
    ApiError::permission_denied(format!(
        "Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist)."
    ))
}

/// Whether the job is ready; if not, the condition and the operation's error.
pub fn readiness(
    cloud: &Cloud,
    project: &str,
    template: &ExecutionTemplate,
) -> (Condition, Result<(), Status>) {
    let problem = image_problem(cloud, template).or_else(|| {
        secret_problem(cloud, project, template)
            .map(|(code, message)| ("SECRETS_ACCESS_CHECK_FAILED", code, message))
    });
    match problem {
        None => (Condition::succeeded("Ready"), Ok(())),
        Some((reason, code, message)) => {
            let condition = Condition::failed("Ready", Some(reason), message.clone());
            (condition, Err(Status { code, message }))
        }
    }
}

/// A secret's value as the account may read it now: a right can go after the job was made.
///
/// # Errors
/// The account lost its right, or there is no such version.
pub fn secret_value(
    cloud: &Cloud,
    project: &str,
    account: &str,
    secret: &SecretRef,
) -> Result<Vec<u8>, ApiError> {
    let name = secret.secret_name(project);
    let name = cloud.projects.by_id(&name).unwrap_or(name);
    let caller = Caller::ServiceAccount(account.to_owned());
    policy::require(cloud, &caller, &name, ACCESS)?;
    cloud.secrets.payload(&secret.version_name(project))
}

fn image_problem(
    cloud: &Cloud,
    template: &ExecutionTemplate,
) -> Option<(&'static str, i32, String)> {
    let image = template
        .container()
        .map_or("", |container| &container.image);
    let error = cloud.registry.image(image).err()?;
    let code = match error {
        crate::registry::ImageError::NotFound(_) => NOT_FOUND,
        _ => FAILED_PRECONDITION,
    };
    Some(("CONTAINER_MISSING", code, error.to_string()))
}

fn secret_problem(
    cloud: &Cloud,
    project: &str,
    template: &ExecutionTemplate,
) -> Option<(i32, String)> {
    let container = template.container()?;
    container.env.iter().enumerate().find_map(|(index, var)| {
        let secret = &var.value_source.as_ref()?.secret_key_ref;
        let account = &template.template.service_account;
        let (code, message) = access_problem(cloud, project, account, secret)?;
        let field =
            format!("template.template.containers[0].env[{index}].value_source.secret_key_ref");
        Some((code, format!("{field}: {message}")))
    })
}

fn access_problem(
    cloud: &Cloud,
    project: &str,
    account: &str,
    secret: &SecretRef,
) -> Option<(i32, String)> {
    let name = secret.secret_name(project);
    let version = secret.version_name(project);
    if !cloud.secrets.exists(&name) {
        return Some((NOT_FOUND, format!("Secret {version} was not found")));
    }
    // Policies are kept under the project's id, and a reference may hold its number.
    let resource = cloud.projects.by_id(&name).unwrap_or(name);
    let member = format!("serviceAccount:{account}");
    let roles = cloud.policies.roles(&resource, &member);
    if !roles
        .iter()
        .any(|role| crate::roles::contains(role, ACCESS))
    {
        return Some((
            PERMISSION_DENIED,
            format!(
                "Permission denied on secret: {version} for Revision service account {account}. \
                 The service account used must be granted the 'Secret Manager Secret Accessor' \
                 role ({ACCESSOR}) at the secret, project or higher level."
            ),
        ));
    }
    let error = cloud.secrets.payload(&version).err()?;
    let code = if error.code == 404 {
        NOT_FOUND
    } else {
        FAILED_PRECONDITION
    };
    Some((code, error.message))
}
