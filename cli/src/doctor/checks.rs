//! One check a function: a fact in, a finding out.

use super::{Facts, Finding, ImageFact, Level, Usage};
use crate::cloud::CloudError;
use crate::failure::chain;

/// Google refuses signed requests that are five minutes off.
const CLOCK_BROKEN: i64 = 300;
const CLOCK_DOUBTFUL: i64 = 60;

pub fn credentials(facts: &Facts) -> Finding {
    let sign_in = match &facts.sign_in {
        Ok(sign_in) => sign_in,
        Err(error @ CloudError::Unreachable { .. }) => {
            let sentence = format!("{}; look at the network and any proxy", chain(error));
            return Finding::new("credentials", Level::Problem, sentence);
        }
        Err(error) => {
            return Finding::new("credentials", Level::Problem, chain(error))
                .mend("gcloud auth application-default login");
        }
    };
    let mut words = vec![sign_in.kind.clone()];
    words.extend(sign_in.account.clone());
    if let Some(project) = &sign_in.quota_project {
        words.push(format!("calls count for {project}"));
    }
    match sign_in.wants_quota_project && sign_in.quota_project.is_none() {
        true => {
            words.push("no quota project, so that some APIs refuse".to_owned());
            let command = "gcloud auth application-default set-quota-project";
            Finding::new("credentials", Level::Warning, words.join(", "))
                .mend(format!("{command} {}", facts.project))
        }
        false => Finding::new("credentials", Level::Ok, words.join(", ")),
    }
}

pub fn clock(ahead: &Result<i64, CloudError>) -> Finding {
    let ahead = match ahead {
        Ok(ahead) => *ahead,
        Err(error) => return unknown("clock", error),
    };
    let seconds = ahead.abs();
    let way = if ahead < 0 { "behind" } else { "ahead of" };
    let sentence = match seconds {
        0..=2 => "as Google's".to_owned(),
        _ => format!("{seconds} s {way} Google's"),
    };
    match seconds {
        CLOCK_BROKEN.. => {
            let sentence = format!("{sentence}, and signed requests are refused");
            Finding::new("clock", Level::Problem, sentence).mend("timedatectl set-ntp true")
        }
        CLOCK_DOUBTFUL.. => {
            Finding::new("clock", Level::Warning, sentence).mend("timedatectl set-ntp true")
        }
        _ => Finding::new("clock", Level::Ok, sentence),
    }
}

pub fn project(facts: &Facts, state: &Result<String, CloudError>) -> Finding {
    let project = &facts.project;
    match state {
        Ok(state) if state == "ACTIVE" => {
            Finding::new("project", Level::Ok, format!("{project} is active"))
        }
        Ok(state) => Finding::new("project", Level::Problem, format!("{project} is {state}"))
            .mend(format!("gcloud projects undelete {project}")),
        Err(error @ CloudError::Disabled { .. }) => disabled(
            "project",
            facts,
            error,
            "cloudresourcemanager.googleapis.com",
        ),
        Err(error) if is_hidden(error) => {
            let sentence = format!(
                "{}: {project} does not exist, or you may not see it",
                facts.place
            );
            Finding::new("project", Level::Problem, sentence).mend("gcloud projects list")
        }
        Err(error) => unknown("project", error),
    }
}

/// Google does not tell a missing project from a forbidden one.
pub fn is_hidden(error: &CloudError) -> bool {
    matches!(
        error,
        CloudError::Denied { .. } | CloudError::NotFound { .. }
    )
}

pub fn billing(facts: &Facts, billing: &Result<bool, CloudError>) -> Finding {
    let project = &facts.project;
    match billing {
        Ok(true) => Finding::new("billing", Level::Ok, "enabled"),
        Ok(false) => {
            let sentence = format!("{project} has no billing account, and Cloud Run needs one");
            Finding::new("billing", Level::Problem, sentence).mend(format!(
                "gcloud billing projects link {project} --billing-account=ACCOUNT"
            ))
        }
        Err(error @ CloudError::Disabled { .. }) => {
            disabled("billing", facts, error, "cloudbilling.googleapis.com")
        }
        Err(error) => {
            unknown("billing", error).mend(format!("gcloud billing projects describe {project}"))
        }
    }
}

/// An API that only this check asks: what it says stays unknown without it.
fn disabled(check: &'static str, facts: &Facts, error: &CloudError, api: &str) -> Finding {
    Finding {
        enables: vec![api.to_owned()],
        ..unknown(check, error).mend(enable(&facts.project, &[api.to_owned()]))
    }
}

pub fn apis(facts: &Facts, off: &Result<Vec<String>, CloudError>) -> Finding {
    match off {
        Ok(off) if off.is_empty() => Finding::new("apis", Level::Ok, "all that are needed are on"),
        Ok(off) => {
            let sentence = format!("off: {} (`xetl apply` enables them)", off.join(", "));
            Finding {
                enables: off.clone(),
                ..Finding::new("apis", Level::Warning, sentence).mend(enable(&facts.project, off))
            }
        }
        Err(error @ CloudError::Disabled { .. }) => Finding {
            level: Level::Problem,
            ..disabled("apis", facts, error, "serviceusage.googleapis.com")
        },
        Err(error) => Finding {
            level: Level::Problem,
            ..unknown("apis", error)
        },
    }
}

fn enable(project: &str, apis: &[String]) -> String {
    format!(
        "gcloud services enable {} --project={project}",
        apis.join(" ")
    )
}

/// Google's limit on things of one kind; `each` is what it holds for.
pub fn quota(
    check: &'static str,
    usage: &Result<Usage, CloudError>,
    limit: usize,
    each: &str,
) -> Finding {
    let usage = match usage {
        Ok(usage) => usage,
        // Nothing can be there of an API that is off.
        Err(CloudError::Disabled { .. }) => {
            return Finding::new(check, Level::Ok, format!("none of {limit} {each}"));
        }
        Err(error) => return unknown(check, error),
    };
    let Usage { there, to_add } = *usage;
    let more = match to_add {
        0 => String::new(),
        more => format!(", {more} more to come"),
    };
    let sentence = format!("{there} of {limit} {each}{more}");
    let level = match there + to_add {
        total if total > limit => Level::Problem,
        total if total * 10 >= limit * 9 => Level::Warning,
        _ => Level::Ok,
    };
    let finding = Finding::new(check, level, sentence);
    match level {
        Level::Problem => finding.mend("give the client another project or region"),
        _ => finding,
    }
}

pub fn image(image: &ImageFact) -> Finding {
    match image {
        ImageFact::Own { digest, is_there } => {
            let short = digest.get(..19).unwrap_or(digest);
            let place = match is_there {
                Some(true) => "in the repository",
                Some(false) => "packed; `xetl apply` pushes it",
                None => "packed; whether the repository has it is not known",
            };
            Finding::new("image", Level::Ok, format!("{short}, {place}"))
        }
        ImageFact::Packed { digest } => {
            let short = digest.get(..19).unwrap_or(digest);
            Finding::new("image", Level::Ok, format!("{short}, packed"))
        }
        ImageFact::Given { name, remark: None } => {
            Finding::new("image", Level::Ok, format!("{name} is there"))
        }
        ImageFact::Given {
            remark: Some(remark),
            ..
        } => Finding::new("image", Level::Warning, remark.as_str()),
        ImageFact::Unusable { problem, hint } => Finding {
            mend: hint.clone(),
            ..Finding::new("image", Level::Problem, problem.as_str())
        },
    }
}

pub fn terraform(version: Option<&str>) -> Finding {
    let absent = "not installed, and xetl needs none";
    Finding::new("terraform", Level::Ok, version.unwrap_or(absent))
}

/// What could not be found out is worth a word, but stops nobody.
pub fn unknown(check: &'static str, error: &CloudError) -> Finding {
    let why = match error {
        CloudError::Disabled { api, .. } => format!("not known while {api} is off"),
        error => format!("not known: {}", chain(error)),
    };
    Finding::new(check, Level::Warning, why)
}
