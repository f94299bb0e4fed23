//! What `apply`, `run` and `destroy` have to be allowed, and the role that allows it.

use std::collections::BTreeSet;

use super::checks::unknown;
use super::{Facts, Finding, Level};
use crate::cloud::CloudError;

/// Permissions by the smallest predefined role that has them all.
const NEEDED: [(&str, &[&str]); 15] = [
    (
        "roles/serviceusage.serviceUsageAdmin",
        &[
            "serviceusage.services.enable",
            "serviceusage.services.get",
            "serviceusage.services.list",
        ],
    ),
    (
        "roles/resourcemanager.projectIamAdmin",
        &[
            "resourcemanager.projects.get",
            "resourcemanager.projects.getIamPolicy",
            "resourcemanager.projects.setIamPolicy",
        ],
    ),
    (
        "roles/iam.serviceAccountAdmin",
        &[
            "iam.serviceAccounts.create",
            "iam.serviceAccounts.delete",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.list",
        ],
    ),
    // Whoever makes a job that runs as an account has to be allowed to act as it.
    (
        "roles/iam.serviceAccountUser",
        &["iam.serviceAccounts.actAs"],
    ),
    (
        "roles/storage.admin",
        &[
            "storage.buckets.create",
            "storage.buckets.delete",
            "storage.buckets.get",
            "storage.buckets.getIamPolicy",
            "storage.buckets.list",
            "storage.buckets.setIamPolicy",
            "storage.buckets.update",
            "storage.objects.create",
            "storage.objects.delete",
            "storage.objects.get",
            "storage.objects.list",
        ],
    ),
    (
        "roles/secretmanager.admin",
        &[
            "secretmanager.secrets.create",
            "secretmanager.secrets.delete",
            "secretmanager.secrets.get",
            "secretmanager.secrets.getIamPolicy",
            "secretmanager.secrets.list",
            "secretmanager.secrets.setIamPolicy",
            "secretmanager.secrets.update",
            "secretmanager.versions.access",
            "secretmanager.versions.add",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ],
    ),
    (
        "roles/artifactregistry.admin",
        &[
            "artifactregistry.dockerimages.get",
            "artifactregistry.dockerimages.list",
            "artifactregistry.repositories.create",
            "artifactregistry.repositories.delete",
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
            "artifactregistry.repositories.update",
            "artifactregistry.repositories.uploadArtifacts",
        ],
    ),
    (
        "roles/bigquery.dataOwner",
        &[
            "bigquery.datasets.create",
            "bigquery.datasets.delete",
            "bigquery.datasets.get",
            "bigquery.datasets.getIamPolicy",
            "bigquery.datasets.setIamPolicy",
            "bigquery.datasets.update",
            "bigquery.tables.getData",
            "bigquery.tables.list",
        ],
    ),
    ("roles/bigquery.jobUser", &["bigquery.jobs.create"]),
    (
        "roles/run.admin",
        &[
            "run.executions.get",
            "run.executions.list",
            "run.jobs.create",
            "run.jobs.delete",
            "run.jobs.get",
            "run.jobs.getIamPolicy",
            "run.jobs.list",
            "run.jobs.run",
            "run.jobs.runWithOverrides",
            "run.jobs.setIamPolicy",
            "run.jobs.update",
        ],
    ),
    (
        "roles/cloudscheduler.admin",
        &[
            "cloudscheduler.jobs.create",
            "cloudscheduler.jobs.delete",
            "cloudscheduler.jobs.enable",
            "cloudscheduler.jobs.get",
            "cloudscheduler.jobs.list",
            "cloudscheduler.jobs.pause",
            "cloudscheduler.jobs.update",
        ],
    ),
    (
        "roles/logging.viewer",
        &["logging.logEntries.list", "logging.logMetrics.get"],
    ),
    (
        "roles/monitoring.alertPolicyEditor",
        &[
            "monitoring.alertPolicies.create",
            "monitoring.alertPolicies.delete",
            "monitoring.alertPolicies.list",
            "monitoring.alertPolicies.update",
        ],
    ),
    (
        "roles/monitoring.notificationChannelEditor",
        &[
            "monitoring.notificationChannels.create",
            "monitoring.notificationChannels.delete",
            "monitoring.notificationChannels.list",
            "monitoring.notificationChannels.update",
        ],
    ),
    (
        "roles/logging.configWriter",
        &[
            "logging.logMetrics.create",
            "logging.logMetrics.delete",
            "logging.logMetrics.update",
        ],
    ),
];

/// All permissions to ask for; one question takes a hundred.
pub fn asked() -> Vec<String> {
    let all = NEEDED.iter().flat_map(|(_, permissions)| *permissions);
    all.map(|&permission| permission.to_owned()).collect()
}

/// One finding where all is well, else one a role that is missing.
pub fn findings(facts: &Facts, held: &Result<BTreeSet<String>, CloudError>) -> Vec<Finding> {
    let held = match held {
        Ok(held) => held,
        Err(error) => return vec![unknown("permissions", error)],
    };
    let mut findings: Vec<Finding> = NEEDED
        .iter()
        .filter_map(|(role, permissions)| lacking(facts, held, role, permissions))
        .collect();
    if findings.is_empty() {
        let sentence = format!("all {} that are needed", asked().len());
        findings.push(Finding::new("permissions", Level::Ok, sentence));
    }
    findings
}

fn lacking(
    facts: &Facts,
    held: &BTreeSet<String>,
    role: &str,
    permissions: &[&str],
) -> Option<Finding> {
    let missing: Vec<&str> = permissions
        .iter()
        .copied()
        .filter(|permission| !held.contains(*permission))
        .collect();
    let sentence = format!("missing on the project: {}", missing.join(", "));
    let command = format!(
        "gcloud projects add-iam-policy-binding {} --member={} --role={role}",
        facts.project,
        member(facts)
    );
    // A grant on the bucket or the secret alone does as well, and is not seen from here.
    (!missing.is_empty())
        .then(|| Finding::new("permissions", Level::Problem, sentence).mend(command))
}

/// Who needs the role, as IAM writes it.
fn member(facts: &Facts) -> String {
    let sign_in = facts.sign_in.as_ref().ok();
    match sign_in.and_then(|sign_in| sign_in.account.as_deref()) {
        Some(account) if account.ends_with("gserviceaccount.com") => {
            format!("serviceAccount:{account}")
        }
        Some(account) => format!("user:{account}"),
        None => "user:YOU@EXAMPLE.COM".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_asks_for_all_of_them() {
        let asked = asked();
        assert!(asked.len() <= 100);
        assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len());
    }
}
