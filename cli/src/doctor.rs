//! What stands in a client's way, judged from what was found out, with the command that mends it.
//!
//! Nothing here calls Google, starts programs or prints: `cloud` and the command gather `Facts`.

mod checks;
mod permissions;
mod places;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cloud::CloudError;
use crate::plan::quota;

pub use checks::is_hidden;
pub use permissions::asked;
pub use places::{Alike, Place, alike};

/// What was found out of the project of a client, or of several, and of this machine.
pub struct Facts {
    pub project: String,
    /// Where the project is declared, such as `clients/acme.yaml:3`.
    pub place: String,
    pub region: String,
    /// Who calls; why nobody can, else.
    pub sign_in: Result<SignIn, CloudError>,
    /// What Google said; nothing where nobody could ask it.
    pub cloud: Option<CloudFacts>,
    pub images: Vec<ImageFact>,
    /// The version of `terraform`, where it is there.
    pub terraform: Option<String>,
}

/// What Google said, each by itself, as one refusal hides nothing of the rest.
pub struct CloudFacts {
    /// How many seconds this machine's clock is ahead.
    pub clock: Result<i64, CloudError>,
    /// The project's state, such as `ACTIVE`.
    pub state: Result<String, CloudError>,
    pub billing: Result<bool, CloudError>,
    /// The APIs that are needed and off.
    pub apis_off: Result<Vec<String>, CloudError>,
    /// The permissions the caller has, of those asked for.
    pub permissions: Result<BTreeSet<String>, CloudError>,
    pub jobs: Result<Usage, CloudError>,
    pub accounts: Result<Usage, CloudError>,
}

/// Who calls Google, as far as this machine knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    /// `a user's application default credentials`
    pub kind: String,
    pub account: Option<String>,
    /// Whom calls are counted for.
    pub quota_project: Option<String>,
    /// Whether a project to count for has to be named, as for a person.
    pub wants_quota_project: bool,
}

/// How much there is of what Google limits, and how much the client will add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub there: usize,
    pub to_add: usize,
}

/// What is known of the image the jobs run.
pub enum ImageFact {
    /// xetl's own, and whether the repository has it already.
    Own {
        digest: String,
        is_there: Option<bool>,
    },
    /// xetl's own, for many repositories.
    Packed { digest: String },
    /// The user's, with a remark where it is doubtful.
    Given {
        name: String,
        remark: Option<String>,
    },
    /// None can be run.
    Unusable {
        problem: String,
        hint: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub level: Level,
    pub sentence: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// The APIs that `--fix` enables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enables: Vec<String>,
}

impl Finding {
    fn new(check: &'static str, level: Level, sentence: impl Into<String>) -> Finding {
        Finding {
            check,
            level,
            sentence: sentence.into(),
            mend: None,
            enables: Vec::new(),
        }
    }

    fn mend(self, command: impl Into<String>) -> Finding {
        Finding {
            mend: Some(command.into()),
            ..self
        }
    }
}

/// Everything that was looked at, good or not, in the order in which one would mend it.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![checks::credentials(facts)];
    if let Some(cloud) = &facts.cloud {
        findings.push(checks::clock(&cloud.clock));
        findings.push(checks::project(facts, &cloud.state));
        // Of a project that is not there, the rest would only be told again.
        let is_nowhere = cloud.state.as_ref().is_err_and(is_hidden) && cloud.apis_off.is_err();
        if !is_nowhere {
            findings.extend(of_project(facts, cloud));
        }
    }
    findings.extend(facts.images.iter().map(checks::image));
    findings.push(checks::terraform(facts.terraform.as_deref()));
    findings
}

fn of_project(facts: &Facts, cloud: &CloudFacts) -> Vec<Finding> {
    let mut findings = vec![
        checks::billing(facts, &cloud.billing),
        checks::apis(facts, &cloud.apis_off),
    ];
    findings.extend(permissions::findings(facts, &cloud.permissions));
    let in_region = format!("a region, {}", facts.region);
    findings.extend([
        checks::quota("jobs", &cloud.jobs, quota::JOBS, &in_region),
        checks::quota("accounts", &cloud.accounts, quota::ACCOUNTS, "a project"),
    ]);
    findings
}

/// How many findings are of a level.
pub fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|it| it.level == level).count()
}

#[cfg(test)]
mod tests;
