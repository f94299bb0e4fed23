//! What to grant when Google says that a permission is missing. Pure: a message in, advice out.
//!
//! Google names the permission in each service's own words; the role is the narrowest of the
//! predefined ones that lets xetl do all it does with that service (docs/permissions.md).

/// Roles by the beginning of the permissions they have; the first that fits counts.
const ROLES: [(&str, &str); 16] = [
    ("iam.serviceaccounts.actas", "roles/iam.serviceAccountUser"),
    ("iam.", "roles/iam.serviceAccountAdmin"),
    ("run.", "roles/run.admin"),
    ("cloudscheduler.", "roles/cloudscheduler.admin"),
    ("secretmanager.", "roles/secretmanager.admin"),
    ("artifactregistry.", "roles/artifactregistry.admin"),
    ("storage.", "roles/storage.admin"),
    ("bigquery.jobs.", "roles/bigquery.jobUser"),
    ("bigquery.", "roles/bigquery.dataOwner"),
    ("resourcemanager.", "roles/resourcemanager.projectIamAdmin"),
    ("serviceusage.", "roles/serviceusage.serviceUsageAdmin"),
    ("logging.logmetrics.", "roles/logging.configWriter"),
    ("logging.", "roles/logging.viewer"),
    ("cloudasset.", "roles/cloudasset.viewer"),
    (
        "monitoring.alertpolicies.",
        "roles/monitoring.alertPolicyEditor",
    ),
    ("monitoring.", "roles/monitoring.notificationChannelEditor"),
];

/// The command that grants what a refusal says is missing; `None` where it does not say.
pub fn advice(message: &str) -> Option<String> {
    if message.contains("Cloud KMS") || message.contains("cloudkms.") {
        return Some(of_a_key(message));
    }
    let (permission, role) = permission(message)?;
    let project = project(message);
    let shown = project.unwrap_or("PROJECT");
    let grant = format!(
        "your account needs `{permission}`: `gcloud projects add-iam-policy-binding {shown} --member=user:YOU --role={role}`"
    );
    Some(
        match message.contains("may not exist") && project.is_some() {
            false => grant,
            true => format!(
                "{grant}; or there is no project `{shown}`, which the client's file or xetl.yaml names as `project`"
            ),
        },
    )
}

/// A key is used by the account of the service that keeps the data, which a message may name.
fn of_a_key(message: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.@/:".contains(c);
    let mut words = message.split(|c: char| !is_part(c));
    let key = words.clone().find(|word| word.contains("/cryptoKeys/"));
    let account = words.find(|word| word.contains('@'));
    format!(
        "a service's own account may not use the key: `gcloud kms keys add-iam-policy-binding {} \
         --member=serviceAccount:{} --role=roles/cloudkms.cryptoKeyEncrypterDecrypter`{}",
        key.unwrap_or("KEY"),
        account.unwrap_or("ACCOUNT").trim_end_matches('.'),
        match account {
            Some(_) => "",
            None => "; `gcloud storage service-agent` names Storage's",
        }
    )
}

/// The permission a message names, and a role that has it.
fn permission(message: &str) -> Option<(&str, &'static str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let words = message.split(|c: char| !is_part(c));
    words
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.split('.').count() == 3)
        .find_map(|word| {
            let lower = word.to_ascii_lowercase();
            let role = ROLES.iter().find(|(begin, _)| lower.starts_with(begin));
            role.map(|(_, role)| (word, *role))
        })
}

/// The project a message names by its id.
fn project(message: &str) -> Option<&str> {
    ["projects/", "project ", "Project "]
        .iter()
        .find_map(|before| id(message.split_once(before)?.1))
}

/// The id that a text begins with; other words are shorter, or have a capital.
fn id(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-:.".contains(c);
    let text = text.trim_start_matches(['\'', '"', '`']);
    let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    let id = text[..end].trim_end_matches(['.', ':']);
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_known_in_bigquerys_words_too() {
        let message = "Access Denied: Project acme-prod: User does not have bigquery.datasets.create permission in project acme-prod.";
        assert_eq!(project(message), Some("acme-prod"));
        assert_eq!(project("the Project"), None);
    }

    #[test]
    fn each_services_words_for_a_missing_permission_are_understood() {
        let role = |message: &str| permission(message).map(|(name, role)| format!("{name} {role}"));
        for (message, expected) in [
            (
                "Permission 'run.jobs.create' denied on resource 'projects/p1/locations/r' (or resource may not exist).",
                "run.jobs.create roles/run.admin",
            ),
            (
                "a@b.com does not have storage.buckets.create access to the Google Cloud project.",
                "storage.buckets.create roles/storage.admin",
            ),
            (
                "Access Denied: Project p1: User does not have bigquery.datasets.create permission in project p1.",
                "bigquery.datasets.create roles/bigquery.dataOwner",
            ),
            (
                "The principal lacks IAM permission \"cloudscheduler.jobs.create\" for the resource \"projects/p1/locations/r\"",
                "cloudscheduler.jobs.create roles/cloudscheduler.admin",
            ),
            (
                "Permission 'logging.logMetrics.update' denied on resource (or it may not exist).",
                "logging.logMetrics.update roles/logging.configWriter",
            ),
            (
                "Permission 'iam.serviceaccounts.actAs' denied on service account a@p1.iam.gserviceaccount.com",
                "iam.serviceaccounts.actAs roles/iam.serviceAccountUser",
            ),
        ] {
            assert_eq!(role(message).as_deref(), Some(expected), "{message}");
        }
        assert_eq!(role("You may not do this at www.example.com."), None);
    }

    #[test]
    fn a_key_is_granted_to_the_services_account() {
        let message = "Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource 'projects/p/locations/l/keyRings/r/cryptoKeys/k' (or it may not exist). Please grant Cloud KMS CryptoKey Encrypter/Decrypter role to BigQuery service account: bq-1@bigquery-encryption.iam.gserviceaccount.com";
        insta::assert_snapshot!(advice(message).unwrap(), @"a service's own account may not use the key: `gcloud kms keys add-iam-policy-binding projects/p/locations/l/keyRings/r/cryptoKeys/k --member=serviceAccount:bq-1@bigquery-encryption.iam.gserviceaccount.com --role=roles/cloudkms.cryptoKeyEncrypterDecrypter`");
        let message = "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account has been authorized to use this key.";
        assert!(
            advice(message)
                .unwrap()
                .contains("gcloud storage service-agent")
        );
    }

    #[test]
    fn the_command_names_the_project() {
        let message = "Permission 'secretmanager.secrets.create' denied for resource 'projects/p1' (or it may not exist).";
        insta::assert_snapshot!(advice(message).unwrap(), @"your account needs `secretmanager.secrets.create`: `gcloud projects add-iam-policy-binding p1 --member=user:YOU --role=roles/secretmanager.admin`; or there is no project `p1`, which the client's file or xetl.yaml names as `project`");
    }
}
