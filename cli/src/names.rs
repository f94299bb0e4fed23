//! The name of every resource a client has. Pure: the same client, the same names.
//!
//! A name that would be too long is cut and ends in a hash of the whole, so
//! that two long names stay two.

use sha2::{Digest, Sha256};

const LONGEST_ACCOUNT: usize = 30;
const LONGEST_BUCKET: usize = 63;
const LONGEST_REPOSITORY: usize = 63;

/// The metric that counts the runs of all clients of a project.
pub const METRIC: &str = "xetl-runs";

/// The account the client's jobs run as.
pub fn job_account(client: &str) -> String {
    cut(format!("xetl-run-{client}"), LONGEST_ACCOUNT)
}

/// The account that Cloud Scheduler starts the client's jobs as.
pub fn trigger_account(client: &str) -> String {
    cut(format!("xetl-cron-{client}"), LONGEST_ACCOUNT)
}

pub fn account_email(account: &str, project: &str) -> String {
    // A project of an organisation's domain, `example.com:p`, is `p.example.com` here.
    let project = match project.split_once(':') {
        Some((domain, project)) => format!("{project}.{domain}"),
        None => project.to_owned(),
    };
    format!("{account}@{project}.iam.gserviceaccount.com")
}

pub fn bucket(project: &str, client: &str) -> String {
    let project = project.replace([':', '.'], "-");
    cut(format!("{project}-xetl-{client}"), LONGEST_BUCKET)
}

/// `path` is the config's dotted path, such as `credentials.client_secret`.
pub fn secret(client: &str, pipeline: &str, path: &str) -> String {
    format!("{client}-{pipeline}-{}", path.replace(['.', '_'], "-"))
}

/// The environment variable in which a task gets a secret field's value.
pub fn secret_env(path: &str) -> String {
    let path: String = path
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("XETL_SECRET_{}", path.to_ascii_uppercase())
}

pub fn repository(client: &str) -> String {
    cut(format!("xetl-{client}"), LONGEST_REPOSITORY)
}

/// `R-docker.pkg.dev/P/xetl-acme/runtime`
pub fn image(project: &str, region: &str, client: &str) -> String {
    let project = project.replace(':', "/");
    let repository = repository(client);
    format!("{region}-docker.pkg.dev/{project}/{repository}/runtime")
}

/// The pipeline's Cloud Run job, and its Cloud Scheduler job.
pub fn job(client: &str, pipeline: &str) -> String {
    format!("{client}-{pipeline}")
}

/// The object a bundle is kept in, named by what it holds.
pub fn bundle_object(pipeline: &str, content: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(content));
    format!("{pipeline}/bundle/{}.json", &hash[..16])
}

fn cut(name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    let hash = hex::encode(Sha256::digest(&name));
    let head = name[..longest - 7].trim_end_matches('-');
    format!("{head}-{}", &hash[..6])
}

/// The first few names.
pub fn first_few(names: &[String]) -> String {
    const MOST: usize = 5;
    let first = names[..names.len().min(MOST)].join(", ");
    match names.len().saturating_sub(MOST) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_architecture() {
        assert_eq!(job_account("acme"), "xetl-run-acme");
        assert_eq!(bucket("p1", "acme"), "p1-xetl-acme");
        assert_eq!(
            secret("acme", "xero", "credentials.client_secret"),
            "acme-xero-credentials-client-secret"
        );
        assert_eq!(
            secret_env("credentials.client_secret"),
            "XETL_SECRET_CREDENTIALS_CLIENT_SECRET"
        );
        assert_eq!(
            image("p1", "r1", "acme"),
            "r1-docker.pkg.dev/p1/xetl-acme/runtime"
        );
        assert_eq!(
            account_email("a", "example.com:p"),
            "a@p.example.com.iam.gserviceaccount.com"
        );
    }

    proptest! {
        #[test]
        fn accounts_fit_and_stay_apart(a in "[a-z][a-z0-9-]{0,38}[a-z0-9]", b in "[a-z][a-z0-9-]{0,38}[a-z0-9]") {
            for name in [job_account(&a), trigger_account(&a), job_account(&b)] {
                prop_assert!((6..=30).contains(&name.len()) && !name.ends_with('-'));
            }
            prop_assert_eq!(job_account(&a) == job_account(&b), a == b);
        }
    }
}
