//! What predefined roles contain, for calls made with a service account's token.
//!
//! The roles xetl grants and those its own user needs, with those near them, as Google published
//! them in August 2026. Only permissions this cloud checks are listed; a role that is not here
//! contains nothing.

/// Whether a predefined role contains a permission.
pub fn contains(role: &str, permission: &str) -> bool {
    let held = permissions(role)
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => permission.starts_with(prefix),
            None => *pattern == permission,
        });
    held && !(role == "roles/editor" && is_beyond_editors(permission))
}

/// An editor neither gives rights away nor reads secrets.
fn is_beyond_editors(permission: &str) -> bool {
    permission.ends_with(".setIamPolicy") || permission == "secretmanager.versions.access"
}

/// By the service a role belongs to.
fn permissions(role: &str) -> &'static [&'static str] {
    let Some(name) = role.strip_prefix("roles/") else {
        return &[];
    };
    match name.split_once('.') {
        None if matches!(name, "owner" | "editor") => &["*"],
        Some(("artifactregistry", name)) => artifact_registry(name),
        Some(("bigquery", name)) => bigquery(name),
        Some(("cloudscheduler", "admin")) => &[
            "cloudscheduler.*",
            SEE_PROJECT,
            "serviceusage.services.get",
            "serviceusage.services.list",
        ],
        Some(("iam", name)) => iam(name),
        Some(("run", name)) => run(name),
        Some(("secretmanager", name)) => secret_manager(name),
        Some(("storage", name)) => storage(name),
        Some((service, name)) => observing(service, name),
        None => &[],
    }
}

const SEE_PROJECT: &str = "resourcemanager.projects.get";

fn artifact_registry(name: &str) -> &'static [&'static str] {
    match name {
        "admin" => &["artifactregistry.*", SEE_PROJECT],
        "reader" => &[
            "artifactregistry.dockerimages.*",
            "artifactregistry.packages.get",
            "artifactregistry.packages.list",
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
            "artifactregistry.tags.get",
            "artifactregistry.tags.list",
            "artifactregistry.versions.get",
            "artifactregistry.versions.list",
            SEE_PROJECT,
        ],
        "writer" => &[
            "artifactregistry.dockerimages.*",
            "artifactregistry.packages.get",
            "artifactregistry.packages.list",
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
            "artifactregistry.repositories.uploadArtifacts",
            "artifactregistry.tags.create",
            "artifactregistry.tags.get",
            "artifactregistry.tags.list",
            "artifactregistry.tags.update",
            "artifactregistry.versions.get",
            "artifactregistry.versions.list",
            SEE_PROJECT,
        ],
        _ => &[],
    }
}

fn bigquery(name: &str) -> &'static [&'static str] {
    match name {
        "admin" => &["bigquery.*", SEE_PROJECT],
        "dataEditor" => &[
            "bigquery.datasets.create",
            "bigquery.datasets.get",
            "bigquery.datasets.getIamPolicy",
            "bigquery.tables.create",
            "bigquery.tables.delete",
            "bigquery.tables.export",
            "bigquery.tables.get",
            "bigquery.tables.getData",
            "bigquery.tables.getIamPolicy",
            "bigquery.tables.list",
            "bigquery.tables.update",
            "bigquery.tables.updateData",
            SEE_PROJECT,
        ],
        "dataOwner" => &["bigquery.datasets.*", "bigquery.tables.*", SEE_PROJECT],
        "dataViewer" => &[
            "bigquery.datasets.get",
            "bigquery.datasets.getIamPolicy",
            "bigquery.tables.export",
            "bigquery.tables.get",
            "bigquery.tables.getData",
            "bigquery.tables.getIamPolicy",
            "bigquery.tables.list",
            SEE_PROJECT,
        ],
        "jobUser" => &["bigquery.jobs.create", SEE_PROJECT],
        "user" => &[
            "bigquery.datasets.create",
            "bigquery.datasets.get",
            "bigquery.datasets.getIamPolicy",
            "bigquery.jobs.create",
            "bigquery.jobs.list",
            "bigquery.tables.list",
            SEE_PROJECT,
        ],
        _ => &[],
    }
}

fn iam(name: &str) -> &'static [&'static str] {
    match name {
        "serviceAccountAdmin" => &[
            "iam.serviceAccounts.create",
            "iam.serviceAccounts.delete",
            "iam.serviceAccounts.disable",
            "iam.serviceAccounts.enable",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.getIamPolicy",
            "iam.serviceAccounts.list",
            "iam.serviceAccounts.setIamPolicy",
            "iam.serviceAccounts.undelete",
            "iam.serviceAccounts.update",
            SEE_PROJECT,
        ],
        "serviceAccountKeyAdmin" => &["iam.serviceAccountKeys.*", SEE_PROJECT],
        "serviceAccountTokenCreator" => &["iam.serviceAccounts.getAccessToken", SEE_PROJECT],
        "serviceAccountUser" => &[
            "iam.serviceAccounts.actAs",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.list",
            SEE_PROJECT,
        ],
        _ => &[],
    }
}

fn run(name: &str) -> &'static [&'static str] {
    match name {
        "admin" => &["run.*", SEE_PROJECT],
        "developer" => &[
            "run.executions.*",
            "run.jobs.create",
            "run.jobs.delete",
            "run.jobs.get",
            "run.jobs.getIamPolicy",
            "run.jobs.list",
            "run.jobs.run",
            "run.jobs.runWithOverrides",
            "run.jobs.update",
            "run.operations.*",
            "run.tasks.*",
            SEE_PROJECT,
        ],
        "invoker" => &["run.jobs.run"],
        "jobsExecutor" => &["run.executions.cancel", "run.jobs.run"],
        "jobsExecutorWithOverrides" => &[
            "run.executions.cancel",
            "run.jobs.run",
            "run.jobs.runWithOverrides",
        ],
        _ => &[],
    }
}

fn secret_manager(name: &str) -> &'static [&'static str] {
    match name {
        "admin" => &["secretmanager.*", SEE_PROJECT],
        "secretAccessor" => &["secretmanager.versions.access", SEE_PROJECT],
        "secretVersionAdder" => &["secretmanager.versions.add", SEE_PROJECT],
        "secretVersionManager" => &[
            "secretmanager.versions.add",
            "secretmanager.versions.destroy",
            "secretmanager.versions.disable",
            "secretmanager.versions.enable",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
            SEE_PROJECT,
        ],
        "viewer" => &[
            "secretmanager.secrets.get",
            "secretmanager.secrets.getIamPolicy",
            "secretmanager.secrets.list",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
            SEE_PROJECT,
        ],
        _ => &[],
    }
}

fn storage(name: &str) -> &'static [&'static str] {
    match name {
        "admin" => &["storage.*", SEE_PROJECT],
        "legacyBucketReader" => &["storage.buckets.get", "storage.objects.list"],
        "legacyObjectReader" => &["storage.objects.get"],
        "objectAdmin" => &["storage.objects.*", SEE_PROJECT],
        "objectCreator" => &["storage.objects.create", SEE_PROJECT],
        "objectUser" => &[
            "storage.managedFolders.list",
            "storage.objects.create",
            "storage.objects.delete",
            "storage.objects.get",
            "storage.objects.list",
            "storage.objects.update",
            SEE_PROJECT,
        ],
        "objectViewer" => &[
            "storage.managedFolders.list",
            "storage.objects.get",
            "storage.objects.list",
            SEE_PROJECT,
        ],
        _ => &[],
    }
}

/// Services of which one role or two matter here.
fn observing(service: &str, name: &str) -> &'static [&'static str] {
    match (service, name) {
        ("cloudasset", "viewer") => &["cloudasset.assets.*"],
        ("cloudkms", "admin") => &["cloudkms.cryptoKeys.*", "cloudkms.keyRings.*"],
        ("cloudkms", "cryptoKeyEncrypterDecrypter") => &[
            "cloudkms.cryptoKeyVersions.useToDecrypt",
            "cloudkms.cryptoKeyVersions.useToEncrypt",
        ],
        ("logging", "viewer") => &[
            "logging.logEntries.list",
            "logging.logMetrics.get",
            "logging.logMetrics.list",
            "logging.logs.list",
            SEE_PROJECT,
        ],
        ("logging", "configWriter") => &["logging.logMetrics.*", SEE_PROJECT],
        ("logging", "logWriter") => &["logging.logEntries.create"],
        ("monitoring", "viewer") => &[
            "monitoring.alertPolicies.get",
            "monitoring.alertPolicies.list",
            "monitoring.notificationChannels.get",
            "monitoring.notificationChannels.list",
        ],
        ("monitoring", "alertPolicyEditor") => &["monitoring.alertPolicies.*"],
        ("monitoring", "notificationChannelEditor") => &["monitoring.notificationChannels.*"],
        ("resourcemanager", "projectIamAdmin") => &[
            SEE_PROJECT,
            "resourcemanager.projects.getIamPolicy",
            "resourcemanager.projects.setIamPolicy",
        ],
        ("serviceusage", "serviceUsageAdmin") => {
            &["serviceusage.operations.*", "serviceusage.services.*"]
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accessor_reads_values_and_nothing_else() {
        let role = "roles/secretmanager.secretAccessor";
        assert!(contains(role, "secretmanager.versions.access"));
        assert!(!contains(role, "secretmanager.versions.add"));
        assert!(!contains(role, "secretmanager.secrets.get"));
    }

    #[test]
    fn an_administrator_of_accounts_may_not_act_as_one() {
        let role = "roles/iam.serviceAccountAdmin";
        assert!(contains(role, "iam.serviceAccounts.setIamPolicy"));
        assert!(!contains(role, "iam.serviceAccounts.actAs"));
        assert!(!contains(role, "iam.serviceAccountKeys.create"));
    }

    #[test]
    fn an_editor_gives_no_rights_away() {
        assert!(contains("roles/editor", "run.jobs.create"));
        assert!(!contains("roles/editor", "run.jobs.setIamPolicy"));
        assert!(contains("roles/owner", "run.jobs.setIamPolicy"));
    }

    #[test]
    fn an_unknown_role_contains_nothing() {
        assert!(!contains("roles/unheard.of", "storage.objects.get"));
        assert!(!contains("organizations/1/roles/owner", "run.jobs.get"));
    }
}
