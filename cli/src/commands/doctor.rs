//! `xetl doctor`: what stands in a client's way, and what mends it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use futures::stream::{self, StreamExt};
use tokio::process::Command;

use crate::cloud::{CloudError, clock_ahead, sign_in};
use crate::config::Client;
use crate::context::Context;
use crate::desired::Image;
use crate::doctor::{
    CloudFacts, Facts, Finding, ImageFact, Level, Place, SignIn, Usage, asked, count, examine,
};
use crate::failure::Failure;
use crate::fleet::Selection;
use crate::images::{Images, name_of, pinned_by};
use crate::resource::{Kind, Resources};
use crate::session::Session;
use crate::view::View;

use super::fleet;
use super::which::{Which, WhichArgs};

/// Projects looked at at the same time.
const AT_ONCE: usize = 8;

/// Look for what stands in a client's way, or many clients', and say what mends it
///
/// Looks at credentials, clock, project, billing, APIs, permissions, quotas, image and Terraform.
/// Exits with 1 where there is a problem.
#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Mend what is safe to mend: enable APIs. Rights are never granted
    #[arg(long)]
    fix: bool,
}

pub async fn run(
    context: &Context,
    view: &mut View,
    args: &DoctorArgs,
) -> Result<ExitCode, Failure> {
    let problems = match args.which.which()? {
        Which::One(client) => one(context, view, client, args.fix).await?,
        Which::Many(selection) => many(context, view, &selection, args.fix).await?,
    };
    Ok(match problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Looks at one client; how many problems there are.
async fn one(
    context: &Context,
    view: &mut View,
    client: &str,
    fix: bool,
) -> Result<usize, Failure> {
    let session = context.session(client).await?;
    let sessions = [&session];
    let mut findings = examine(&facts(&sessions).await);
    if fix && mend(view, &session, &findings).await? {
        findings = examine(&facts(&sessions).await);
    }
    view.findings(&session.client.name, &session.client.project, &findings)?;
    Ok(count(&findings, Level::Problem))
}

/// Looks at the projects of many, once at each; how many problems there are.
async fn many(
    context: &Context,
    view: &mut View,
    selection: &Selection,
    fix: bool,
) -> Result<usize, Failure> {
    let fleet = fleet::opened(context, selection).await?;
    let mut groups: BTreeMap<(&str, &str), Vec<&Session>> = BTreeMap::new();
    for session in &fleet.sessions {
        let Client {
            project, region, ..
        } = &session.client;
        groups.entry((project, region)).or_default().push(session);
    }
    let groups: Vec<Vec<&Session>> = groups.into_values().collect();
    let mut places = looked_at(&groups).await;
    if fix && mend_all(view, &groups, &places).await? {
        places = looked_at(&groups).await;
    }
    let broken = fleet.broken_outcomes();
    view.places(&places, &broken)?;
    let problems = places.iter().map(|it| count(&it.findings, Level::Problem));
    Ok(problems.sum::<usize>() + broken.len())
}

async fn looked_at(groups: &[Vec<&Session>]) -> Vec<Place> {
    let looks = groups.iter().map(|sessions| async move {
        let facts = facts(sessions).await;
        Place {
            findings: examine(&facts),
            clients: sessions.iter().map(|it| it.client.name.clone()).collect(),
            project: facts.project,
            region: facts.region,
        }
    });
    stream::iter(looks).buffered(AT_ONCE).collect().await
}

/// Enables the APIs that were found off; `false` where there were none.
async fn mend(view: &mut View, session: &Session, findings: &[Finding]) -> Result<bool, Failure> {
    let off = off(findings);
    if off.is_empty() {
        view.note("There is nothing that mends itself.");
        return Ok(false);
    }
    enable(view, session, &off).await?;
    Ok(true)
}

/// The same in each project; one that refuses stops no other.
async fn mend_all(
    view: &mut View,
    groups: &[Vec<&Session>],
    places: &[Place],
) -> Result<bool, Failure> {
    let mut mended = BTreeSet::new();
    for (sessions, place) in groups.iter().zip(places) {
        let off = off(&place.findings);
        if off.is_empty() || !mended.insert((&place.project, off.clone())) {
            continue;
        }
        if let Err(failure) = enable(view, sessions[0], &off).await {
            view.note(format!("{}: {}", place.project, failure.sentence));
        }
    }
    if mended.is_empty() {
        view.note("There is nothing that mends itself.");
    }
    Ok(!mended.is_empty())
}

fn off(findings: &[Finding]) -> Vec<String> {
    let apis: BTreeSet<String> = findings.iter().flat_map(|it| it.enables.clone()).collect();
    apis.into_iter().collect()
}

async fn enable(view: &mut View, session: &Session, apis: &[String]) -> Result<(), Failure> {
    let project = &session.client.project;
    view.note(format!("Enabling in {project}: {}...", apis.join(", ")));
    Ok(session.cloud.enable_apis(apis).await?)
}

/// What is so for clients of one project and region.
async fn facts(sessions: &[&Session]) -> Facts {
    let session = sessions[0];
    let signed_in = sign_in(&session.target).await;
    let (cloud, images, terraform) = futures::join!(
        of_cloud(sessions, &signed_in),
        of_images(sessions),
        terraform_version(),
    );
    Facts {
        project: session.client.project.clone(),
        place: session.workspace.place_of_project(&session.client.name),
        region: session.client.region.clone(),
        sign_in: signed_in,
        cloud,
        images,
        terraform,
    }
}

/// Asks everything at once; nothing where nobody is signed in.
async fn of_cloud(
    sessions: &[&Session],
    signed_in: &Result<SignIn, CloudError>,
) -> Option<CloudFacts> {
    signed_in.as_ref().ok()?;
    let cloud = &sessions[0].cloud;
    let declared = declared(sessions);
    let apis = names(&declared, Kind::Api);
    let (clock, state, billing, apis_off, permissions, jobs, accounts) = futures::join!(
        clock_ahead(&sessions[0].target),
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

/// All that the clients need.
fn declared(sessions: &[&Session]) -> Resources {
    let declared = sessions.iter().flat_map(|session| {
        let name = name_of(session);
        session.declared(&Image::Given { name })
    });
    declared.collect()
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

/// Each image once that the clients' jobs run.
async fn of_images(sessions: &[&Session]) -> Vec<ImageFact> {
    if let [session] = sessions {
        return vec![of_image(session).await];
    }
    let mut different: BTreeMap<Option<String>, &Session> = BTreeMap::new();
    for session in sessions {
        different.entry(pinned_by(session)).or_insert(session);
    }
    let looks = different.into_values().map(async |session| {
        match of_image(session).await {
            // Whether it is there is a question for each repository.
            ImageFact::Own { digest, .. } => ImageFact::Packed { digest },
            fact => fact,
        }
    });
    stream::iter(looks).buffered(AT_ONCE).collect().await
}

async fn of_image(session: &Session) -> ImageFact {
    let unusable = |failure: Failure| ImageFact::Unusable {
        problem: failure.sentence,
        hint: failure.hint,
    };
    let images = match Images::of(session) {
        Ok(images) => images,
        Err(failure) => return unusable(failure),
    };
    if let Some(name) = images.pinned() {
        return match images.check().await {
            Ok(remark) => ImageFact::Given {
                name: name.to_owned(),
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
