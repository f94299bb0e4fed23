//! What the roles xetl grants contain, for calls made with a service account's token.
//!
//! Only permissions this cloud checks are listed; a role that is not here
//! contains nothing.

/// Whether a predefined role contains a permission.
pub fn contains(role: &str, permission: &str) -> bool {
    permissions(role)
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => permission.starts_with(prefix),
            None => *pattern == permission,
        })
}

fn permissions(role: &str) -> &'static [&'static str] {
    match role {
        "roles/owner" | "roles/editor" => &["*"],
        "roles/secretmanager.secretAccessor" => &["secretmanager.versions.access"],
        "roles/secretmanager.secretVersionAdder" => &["secretmanager.versions.add"],
        "roles/secretmanager.secretVersionManager" => &[
            "secretmanager.versions.add",
            "secretmanager.versions.destroy",
            "secretmanager.versions.disable",
            "secretmanager.versions.enable",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ],
        "roles/secretmanager.viewer" => &[
            "secretmanager.secrets.get",
            "secretmanager.secrets.getIamPolicy",
            "secretmanager.secrets.list",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ],
        "roles/secretmanager.admin" => &["secretmanager.*"],
        "roles/storage.objectViewer" | "roles/storage.legacyObjectReader" => {
            &["storage.objects.get", "storage.objects.list"]
        }
        "roles/storage.objectCreator" => &["storage.objects.create"],
        "roles/storage.objectUser" => &[
            "storage.objects.create",
            "storage.objects.delete",
            "storage.objects.get",
            "storage.objects.list",
            "storage.objects.update",
        ],
        "roles/storage.objectAdmin" => &["storage.objects.*"],
        "roles/storage.legacyBucketReader" => &["storage.buckets.get", "storage.objects.list"],
        "roles/storage.admin" => &["storage.*"],
        "roles/run.invoker" | "roles/run.jobsExecutor" => &["run.jobs.run"],
        "roles/run.jobsExecutorWithOverrides" => &["run.jobs.run", "run.jobs.runWithOverrides"],
        "roles/run.developer" => &[
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
        ],
        "roles/run.admin" => &["run.*"],
        "roles/iam.serviceAccountUser" => &["iam.serviceAccounts.actAs", "iam.serviceAccounts.get"],
        "roles/iam.serviceAccountTokenCreator" => &["iam.serviceAccounts.getAccessToken"],
        "roles/bigquery.jobUser" => &["bigquery.jobs.create"],
        "roles/bigquery.dataViewer" => &[
            "bigquery.datasets.get",
            "bigquery.tables.get",
            "bigquery.tables.getData",
            "bigquery.tables.list",
        ],
        "roles/bigquery.dataEditor" => &[
            "bigquery.datasets.create",
            "bigquery.datasets.get",
            "bigquery.tables.*",
        ],
        "roles/bigquery.dataOwner" => &["bigquery.datasets.*", "bigquery.tables.*"],
        "roles/bigquery.user" => &[
            "bigquery.datasets.create",
            "bigquery.datasets.get",
            "bigquery.jobs.create",
            "bigquery.jobs.list",
            "bigquery.tables.list",
        ],
        "roles/bigquery.admin" => &["bigquery.*"],
        "roles/cloudkms.cryptoKeyEncrypterDecrypter" => &[
            "cloudkms.cryptoKeyVersions.useToDecrypt",
            "cloudkms.cryptoKeyVersions.useToEncrypt",
        ],
        "roles/cloudkms.admin" => &["cloudkms.cryptoKeys.*", "cloudkms.keyRings.*"],
        "roles/artifactregistry.reader" => &[
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
        ],
        "roles/artifactregistry.writer" => &[
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
            "artifactregistry.repositories.uploadArtifacts",
        ],
        "roles/artifactregistry.admin" => &["artifactregistry.*"],
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
    fn an_unknown_role_contains_nothing() {
        assert!(!contains("roles/unheard.of", "storage.objects.get"));
    }
}
