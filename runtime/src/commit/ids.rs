//! Names that say what a commit is of: the same for the same run and parts.

use sha2::{Digest, Sha256};

use super::Job;

/// Begins the ids of a commit's load jobs: the same for the same run and parts.
pub fn commit_id(client: &str, pipeline: &str, stream: &str, run: &str, uris: &[String]) -> String {
    let mut hash = Sha256::new();
    for text in std::iter::once(run).chain(uris.iter().map(String::as_str)) {
        hash.update(text);
        hash.update([0]);
    }
    let hash = hex::encode(hash.finalize());
    let id = format!("xetl-{client}-{pipeline}-{stream}-{}", &hash[..24]);
    id.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// The id of a commit's job.
pub fn job_id(commit: &str, job: Job, attempt: usize) -> String {
    match job {
        Job::Load => format!("{commit}-{attempt}"),
        Job::Merge => format!("{commit}-merge-{attempt}"),
    }
}

/// The table a commit's rows wait in before they are merged.
pub fn staging_table(commit: &str) -> String {
    format!("{}_staging", commit.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_job_has_the_same_id_for_the_same_parts_only() {
        let id =
            |run: &str, uri: &str| commit_id("acme", "xero", "tax/rates", run, &[uri.to_owned()]);
        insta::assert_snapshot!(job_id(&id("r1", "gs://b/1"), Job::Load, 0), @"xetl-acme-xero-tax_rates-02fcf6ec24efbed00b8fa0bd-0");
        assert_ne!(id("r1", "gs://b/1"), id("r2", "gs://b/1"));
        assert_ne!(id("r1", "gs://b/1"), id("r1", "gs://b/2"));
    }

    #[test]
    fn a_commits_names_are_legal_and_its_own() {
        let id = commit_id("acme", "xero", "tax/rates", "r1", &[]);
        assert_ne!(job_id(&id, Job::Merge, 0), job_id(&id, Job::Load, 0));
        insta::assert_snapshot!(staging_table("xetl-acme-xero-tax_rates-02fc"), @"xetl_acme_xero_tax_rates_02fc_staging");
    }
}
