//! `xetl upgrade` and `xetl rollback`: another image for clients' jobs, a few first.

use std::collections::BTreeMap;
use std::ops::Range;

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::apply::SecretValues;
use crate::config::with_image;
use crate::context::Context;
use crate::execution::ExecutionState;
use crate::failure::{Failure, Kind};
use crate::fleet::{AT_ONCE as PLANS, Fleet, Outcome, Waves, each};
use crate::images::Images;
use crate::plan::Plan;
use crate::session::{Proposal, Session};
use crate::view::{UpgradePicture, View, WavePicture};

use super::agree;
use super::fleet::{self, RunMany, latest, run_client};
use super::which::WhichArgs;

/// Give clients' jobs another image: some first, and only if they still run, the next
#[derive(clap::Args, Debug)]
pub struct UpgradeArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// A digest (`sha256:...`) that is in each client's repository, or an image's full name with
    /// its digest [default: the runtime at hand, which is pushed]
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// How many clients have it after each wave; all after the last
    #[arg(long, value_name = "N,N,N%", default_value = "1,10,50%")]
    wave: Waves,
    /// Do not run the clients' pipelines to see whether they still work
    #[arg(long)]
    no_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Give clients' jobs the image they had before
#[derive(clap::Args, Debug)]
pub struct RollbackArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Clients changed at the same time.
const AT_ONCE: usize = 8;

/// One client and the image it is to have.
struct Turn<'a> {
    session: &'a Session,
    /// What its file is to say; `None`: nothing, it takes the workspace's.
    pin: Option<String>,
    images: Images,
    proposal: Proposal,
}

pub async fn upgrade(
    context: &Context,
    view: &mut View,
    args: &UpgradeArgs,
) -> Result<(), Failure> {
    let fleet = fleet::listed(context, &args.which.selection()?).await?;
    fleet::failed(&fleet.broken_outcomes::<()>())?;
    let turns = turns(&fleet, |_| Some(args.image.clone())).await?;
    let waves = args.wave.of(turns.len());
    let Some(image) = turns.first().map(|turn| turn.image()) else {
        return Ok(view.line("All have that image.")?);
    };
    let picture = UpgradePicture {
        image: &image,
        clients: turns.len(),
        of: fleet.sessions.len(),
        waves: &waves,
    };
    view.upgrade(&picture)?;
    if !agree(view, args.yes, "Do this?")? {
        return Ok(());
    }
    for (number, wave) in waves.iter().enumerate() {
        let failed = one_wave(view, &fleet, &turns[wave.clone()], args.no_run).await;
        let told = WavePicture {
            number: number + 1,
            of: waves.len(),
            clients: wave.len(),
        };
        if failed.is_empty() {
            view.wave(&told)?;
            continue;
        }
        let back = each_turn(&turns[wave.clone()], async |turn| undo(turn).await).await;
        return Err(stopped(&told, &failed, &back, &waves, number));
    }
    Ok(view.upgraded(&picture)?)
}

pub async fn rollback(
    context: &Context,
    view: &mut View,
    args: &RollbackArgs,
) -> Result<(), Failure> {
    let fleet = fleet::listed(context, &args.which.selection()?).await?;
    fleet::failed(&fleet.broken_outcomes::<()>())?;
    let turns = turns(&fleet, |session| before(&fleet, session).map(Some)).await?;
    if turns.is_empty() {
        return Err(Failure::new(Kind::Usage, "there is nothing to go back to")
            .hint("a job keeps the image it had before its last change; none of these has one"));
    }
    for turn in &turns {
        let client = &turn.session.client.name;
        view.note(format!("{client} goes back to {}", turn.image()));
    }
    if !agree(view, args.yes, "Do this?")? {
        return Ok(());
    }
    let done = each_turn(&turns, async |turn| change(turn).await).await;
    fleet::failed(&done)?;
    Ok(view.line(format!(
        "Done: {} clients have the image they had before. Their files pin it.",
        done.len()
    ))?)
}

/// The clients that change, each with its plan; `wanted` gives no image where it stays as it is.
async fn turns<'a>(
    fleet: &'a Fleet,
    wanted: impl Fn(&Session) -> Option<Option<String>>,
) -> Result<Vec<Turn<'a>>, Failure> {
    let mut packed = None;
    let mut wants = Vec::new();
    for session in &fleet.sessions {
        if let Some(pin) = wanted(session) {
            let pinned = session.pinned(pin.as_deref());
            let images = Images::shared(&pinned, &mut packed)?;
            wants.push((session, pin, pinned, images));
        }
    }
    let turns = wants
        .into_iter()
        .map(|(session, pin, pinned, images)| async move {
            let inventory = fleet.inventory(&session.client)?;
            let proposal = pinned.propose_from(inventory, &images.image()).await?;
            let plan = proposal.plan.of_image();
            Ok::<_, Failure>((!plan.is_empty()).then(|| Turn {
                session,
                pin,
                images,
                proposal: proposal.without_basis().with(plan),
            }))
        });
    let turns = stream::iter(turns).buffered(PLANS);
    let turns: Vec<Option<Turn<'a>>> = turns.try_collect().await?;
    Ok(turns.into_iter().flatten().collect())
}

/// The image a client's jobs had before, as its file pins it.
fn before(fleet: &Fleet, session: &Session) -> Option<String> {
    let mut jobs = fleet.jobs(session);
    let image = jobs.find_map(|listed| listed.previous_image.as_deref())?;
    Some(session.pin_of(image).to_owned())
}

impl Turn<'_> {
    fn image(&self) -> String {
        self.images.image().digest().to_owned()
    }
}

/// Changes a wave's clients and runs them; gives those that do not work any more.
async fn one_wave(
    view: &mut View,
    fleet: &Fleet,
    wave: &[Turn<'_>],
    no_run: bool,
) -> Vec<Outcome<()>> {
    let progress = view.fleet_progress(wave.len(), false);
    let outcomes = each_turn(wave, async |turn| {
        let result = match change(turn).await {
            Ok(()) if !no_run => check(fleet, turn.session).await,
            result => result,
        };
        progress.told(&turn.session.client.name, &result);
        result
    })
    .await;
    progress.finished();
    outcomes
        .into_iter()
        .filter(|it| it.result.is_err())
        .collect()
}

async fn change(turn: &Turn<'_>) -> Result<(), Failure> {
    carry_out(turn, &turn.proposal.plan).await?;
    let Session {
        workspace, client, ..
    } = turn.session;
    let path = workspace.client_file(&client.name);
    let text = std::fs::read_to_string(&path)?;
    let pinned = with_image(&path, &text, turn.pin.as_deref())?;
    if pinned != text {
        workspace.write_client(&client.name, &pinned)?;
    }
    Ok(())
}

/// The image before, on the jobs and in the file.
async fn undo(turn: &Turn<'_>) -> Result<(), Failure> {
    carry_out(turn, &turn.proposal.plan.reversed()).await?;
    let Session {
        workspace, client, ..
    } = turn.session;
    let path = workspace.client_file(&client.name);
    let text = std::fs::read_to_string(&path)?;
    let before = client.pin.as_deref();
    Ok(workspace.write_client(&client.name, &with_image(&path, &text, before)?)?)
}

async fn carry_out(turn: &Turn<'_>, plan: &Plan) -> Result<(), Failure> {
    let values = SecretValues::new();
    let proposal = turn.proposal.clone().with(plan.clone());
    let cloud = &turn.session.cloud;
    proposal
        .apply(cloud, &turn.images, &values, &mut Quiet)
        .await?;
    Ok(())
}

/// Nobody looks at the steps of one client of many.
struct Quiet;

impl crate::apply::Observer for Quiet {}

/// Runs a client's pipelines; what failed before is no fault of the new image.
async fn check(fleet: &Fleet, session: &Session) -> Result<(), Failure> {
    for pipeline in &session.client.pipelines {
        let before = latest(fleet, session, &pipeline.name);
        let how = RunMany {
            pipeline: Some(&pipeline.name),
            full_refresh: false,
            wait: true,
        };
        match run_client(session, &how).await {
            Ok(_) => {}
            // The source's limit is spent, which is no fault of the image.
            Err(failure) if failure.kind == Kind::Parked => {}
            Err(_) if before.is_some_and(|it| it.state == ExecutionState::Failed) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

async fn each_turn<'a, T>(
    turns: &'a [Turn<'a>],
    action: impl AsyncFn(&'a Turn<'a>) -> Result<T, Failure>,
) -> Vec<Outcome<T>> {
    let by_name: BTreeMap<&str, &Turn<'a>> = turns
        .iter()
        .map(|turn| (turn.session.client.name.as_str(), turn))
        .collect();
    let sessions = turns.iter().map(|turn| turn.session);
    each(sessions, AT_ONCE, async |session| {
        action(by_name[session.client.name.as_str()]).await
    })
    .await
}

fn stopped(
    wave: &WavePicture,
    failed: &[Outcome<()>],
    back: &[Outcome<()>],
    waves: &[Range<usize>],
    number: usize,
) -> Failure {
    let told: Vec<String> = failures(failed).take(5).collect();
    let sentence = format!(
        "wave {} of {}: {} of {} clients do not work with the new image\n       {}",
        wave.number,
        wave.of,
        failed.len(),
        wave.clients,
        told.join("\n       ")
    );
    let left: Vec<String> = failures(back).collect();
    let kept = waves[number].start;
    let hint = match left.is_empty() {
        true => format!(
            "the wave has its image back; {kept} clients of the waves before keep the new one, \
             `xetl rollback` takes it from them"
        ),
        false => format!(
            "these could not be given their image back: {}",
            left.join("; ")
        ),
    };
    Failure::new(Kind::RunFailed, sentence).hint(hint)
}

/// `acme: why`, for each that failed.
fn failures(outcomes: &[Outcome<()>]) -> impl Iterator<Item = String> {
    outcomes.iter().filter_map(|outcome| {
        let failure = outcome.result.as_ref().err()?;
        Some(format!("{}: {}", outcome.client, failure.sentence))
    })
}
