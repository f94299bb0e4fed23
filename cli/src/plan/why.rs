//! Why a step is in a plan: what was found, and what the resource is for.

use super::{Change, Step};
use crate::resource::{Kind, Member, Resource};

/// A sentence for people.
pub fn why(step: &Step) -> String {
    format!("{}; {}", found(step), purpose(step))
}

fn found(step: &Step) -> String {
    match &step.change {
        Change::Create { .. } => "declared, and not there".to_owned(),
        Change::Update { .. } => match step.field_changes().len() {
            1 => "there, but 1 field is not as declared".to_owned(),
            fields => format!("there, but {fields} fields are not as declared"),
        },
        Change::Replace { .. } => {
            "there and empty; what differs never changes, so it is made anew".to_owned()
        }
        Change::Delete { .. } => "there, and not declared any more".to_owned(),
        Change::Keep { .. } => "not declared any more, but it holds data".to_owned(),
        Change::Refuse { .. } => "there, but it cannot become what is declared".to_owned(),
    }
}

fn purpose(step: &Step) -> String {
    let resource = match &step.change {
        Change::Create { after } | Change::Update { after, .. } | Change::Replace { after, .. } => {
            Some(after)
        }
        Change::Delete { before } | Change::Keep { before } => Some(before),
        Change::Refuse { .. } => None,
    };
    let pipeline = |otherwise: &str| {
        let owner = resource.and_then(Resource::owner);
        match owner.and_then(|owner| owner.pipeline.as_deref()) {
            Some(pipeline) => format!("pipeline `{pipeline}`"),
            None => otherwise.to_owned(),
        }
    };
    match step.address.kind {
        Kind::Api => "what the client has needs this API".to_owned(),
        Kind::ServiceAccount => "jobs run, or schedules start them, as this account".to_owned(),
        Kind::Bucket => "files on their way to BigQuery, state and bundles".to_owned(),
        Kind::Secret => format!("{} reads its value when it starts", pipeline("a pipeline")),
        Kind::Repository => "the image of the client's jobs".to_owned(),
        Kind::Dataset => format!("the tables of {}", pipeline("a pipeline")),
        Kind::IamMember | Kind::JobMember => match resource {
            Some(Resource::Member(member)) => right(member).to_owned(),
            _ => "a right of one of the client's accounts".to_owned(),
        },
        Kind::Image => "what the jobs run".to_owned(),
        Kind::Bundle => "manifest, config and options, which a job reads first".to_owned(),
        Kind::Job => format!("runs {}", pipeline("a pipeline")),
        Kind::Channel => "alerts of the client tell this address".to_owned(),
        Kind::Metric => "counts runs, so that one that never began is told".to_owned(),
        Kind::Alert if step.address.name.ends_with("-missed") => {
            format!(
                "tells people when {} has no run in time",
                pipeline("a pipeline")
            )
        }
        Kind::Alert => format!("tells people when {} fails", pipeline("a pipeline")),
        Kind::Schedule => format!("starts {} in time", pipeline("a pipeline")),
    }
}

/// What an account does with a role; each is the least that does it.
fn right(member: &Member) -> &'static str {
    match member.role.as_str() {
        "roles/storage.objectUser" => "the job writes files and state there",
        "roles/bigquery.jobUser" => "the job starts load and query jobs",
        "roles/bigquery.dataEditor" => "the job makes and fills tables there",
        "roles/secretmanager.secretAccessor" => "the job reads the secret's value",
        "roles/secretmanager.secretVersionManager" => "the job keeps a token the source renews",
        "roles/run.invoker" => "the schedule starts the job",
        _ => "a right of one of the client's accounts",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Address, Holder, Owner, Secret};

    #[test]
    fn a_step_says_what_was_found_and_what_it_is_for() {
        let secret = |pipeline: &str| {
            Resource::from(Secret {
                owner: Owner::pipeline("acme", pipeline),
                ..Secret::default()
            })
        };
        let step = Step {
            address: Address::new(Kind::Secret, "s"),
            change: Change::Update {
                before: secret("old"),
                after: secret("xero"),
            },
        };
        insta::assert_snapshot!(why(&step), @"there, but 1 field is not as declared; pipeline `xero` reads its value when it starts");
        let member = Member {
            on: Holder::Dataset("acme_xero".to_owned()),
            role: "roles/bigquery.dataEditor".to_owned(),
            account: "a@p".to_owned(),
        };
        let step = Step {
            address: member.address(),
            change: Change::Create {
                after: Resource::Member(member),
            },
        };
        insta::assert_snapshot!(why(&step), @"declared, and not there; the job makes and fills tables there");
    }
}
