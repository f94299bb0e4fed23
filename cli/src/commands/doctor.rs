//! `xetl doctor`: what stands in a client's way, and what mends it.

use std::collections::BTreeSet;
use std::process::ExitCode;

use tokio::process::Command;

use crate::cloud::{CloudError, clock_ahead, sign_in};
use crate::context::Context;
use crate::desired::Image;
use crate::doctor::{
    CloudFacts, Facts, Finding, ImageFact, Level, SignIn, Usage, asked, count, examine,
};
use crate::failure::Failure;
use crate::images::{Images, name_of};
use crate::resource::{Kind, Resources};
use crate::session::Session;
use crate::view::View;

/// Look for what stands in a client's way, and say what mends it
///
/// Looks at credentials, clock, project, billing, APIs, permissions, quotas, image and Terraform.
/// Exits with 1 where there is a problem.
#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    /// Client to look at
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Mend what is safe to mend: enable APIs. Rights are never granted
    #[arg(long)]
    fix: bool,
}

pub async fn run(
    context: &Context,
    view: &mut View,
    args: &DoctorArgs,
) -> Result<ExitCode, Failure> {
    let session = context.session(&args.client).await?;
    let mut findings = examine(&facts(context, &session).await);
    if args.fix && mend(view, &session, &findings).await? {
        findings = examine(&facts(context, &session).await);
    }
    view.findings(&session.client.name, &session.client.project, &findings)?;
    Ok(match count(&findings, Level::Problem) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Enables the APIs that were found off; `false` where there were none.
async fn mend(view: &mut View, session: &Session, findings: &[Finding]) -> Result<bool, Failure> {
    let apis: BTreeSet<String> = findings.iter().flat_map(|it| it.enables.clone()).collect();
    if apis.is_empty() {
        view.note("There is nothing that mends itself.");
        return Ok(false);
    }
    let apis: Vec<String> = apis.into_iter().collect();
    view.note(format!("Enabling {}...", apis.join(", ")));
    session.cloud.enable_apis(&apis).await?;
    Ok(true)
}

async fn facts(context: &Context, session: &Session) -> Facts {
    let signed_in = sign_in(&session.target).await;
    let (cloud, image, terraform) = futures::join!(
        of_cloud(session, &signed_in),
        of_image(context, session),
        terraform_version(),
    );
    Facts {
        project: session.client.project.clone(),
        region: session.client.region.clone(),
        sign_in: signed_in,
        cloud,
        image,
        terraform,
    }
}

/// Asks everything at once; nothing where nobody is signed in.
async fn of_cloud(session: &Session, signed_in: &Result<SignIn, CloudError>) -> Option<CloudFacts> {
    signed_in.as_ref().ok()?;
    let cloud = &session.cloud;
    let name = name_of(session);
    let declared = session.declared(&Image::Given { name });
    let apis = names(&declared, Kind::Api);
    let (clock, state, billing, apis_off, permissions, jobs, accounts) = futures::join!(
        clock_ahead(&session.target),
        cloud.project_state(),
        cloud.is_billed(),
        cloud.apis_off(&apis),
        cloud.permissions_held(asked()),
        cloud.job_names(),
        cloud.account_names(),
    );
    Some(CloudFacts {
        clock,
        state,
        billing,
        apis_off,
        permissions,
        jobs: jobs.map(|there| usage(&there, &names(&declared, Kind::Job))),
        accounts: accounts.map(|there| usage(&there, &names(&declared, Kind::ServiceAccount))),
    })
}

fn names(declared: &Resources, kind: Kind) -> Vec<String> {
    let of_kind = declared.keys().filter(|address| address.kind == kind);
    of_kind.map(|address| address.name.clone()).collect()
}

fn usage(there: &BTreeSet<String>, declared: &[String]) -> Usage {
    let name = |declared: &String| declared.split('@').next().unwrap_or_default().to_owned();
    let new = declared.iter().filter(|it| !there.contains(&name(it)));
    Usage {
        there: there.len(),
        to_add: new.count(),
    }
}

async fn of_image(context: &Context, session: &Session) -> ImageFact {
    let unusable = |failure: Failure| ImageFact::Unusable {
        problem: failure.sentence,
        hint: failure.hint,
    };
    let images: Images = match context.images(session) {
        Ok(images) => images,
        Err(failure) => return unusable(failure),
    };
    if let Some(name) = &session.client.image {
        return match images.check().await {
            Ok(remark) => ImageFact::Given {
                name: name.clone(),
                remark,
            },
            Err(failure) => unusable(failure),
        };
    }
    let digest = images.image().digest().to_owned();
    let stored = session.cloud.stored_images(&name_of(session)).await;
    ImageFact::Own {
        is_there: match stored {
            Ok(stored) => Some(stored.iter().any(|it| it.digest == digest)),
            Err(error) => error.is_absent().then_some(false),
        },
        digest,
    }
}

/// The version of `terraform`; nothing where it is not there or does not say.
async fn terraform_version() -> Option<String> {
    let mut terraform = Command::new("terraform");
    // It would ask its makers for a newer version.
    terraform
        .args(["version", "-json"])
        .env("CHECKPOINT_DISABLE", "1");
    let output = terraform.output().await.ok()?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(version["terraform_version"].as_str()?.to_owned())
}
