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
use crate::images::{Images, pin::Pin};
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
    image: Option<Pin>,
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
    /// Only clients whose jobs run this image now: its digest, or a full name with it
    #[arg(long, value_name = "IMAGE")]
    from: Option<Pin>,
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
    let reached = reached(view, &fleet)?;
    let image = args.image.as_ref().map(ToString::to_string);
    let turns = turns(&fleet, |_| Some(image.clone())).await?;
    are_there(&turns).await?;
    let waves = args.wave.of(turns.len());
    let Some(image) = turns.first().map(|turn| turn.image()) else {
        view.line("All have that image.")?;
        return fleet::failed(&reached);
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
        return Err(stopped(&told, &failed, &back, &waves, &image));
    }
    view.upgraded(&picture)?;
    fleet::failed(&reached)
}

pub async fn rollback(
    context: &Context,
    view: &mut View,
    args: &RollbackArgs,
) -> Result<(), Failure> {
    let fleet = fleet::listed(context, &args.which.selection()?).await?;
    let reached = reached(view, &fleet)?;
    let from = args.from.as_ref();
    let turns = turns(&fleet, |session| before(&fleet, session, from).map(Some)).await?;
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
    let mut done = each_turn(&turns, async |turn| change(turn).await).await;
    let good = done.iter().filter(|it| it.result.is_ok()).count();
    view.line(format!(
        "Done: {} the image they had before. Their files pin it.",
        have(good)
    ))?;
    told_failures(view, &done);
    done.extend(reached.into_iter().filter(|it| it.result.is_err()));
    fleet::failed(&done)
}

/// Which clients can be changed at all; says why the others cannot.
fn reached(view: &mut View, fleet: &Fleet) -> Result<Vec<Outcome<()>>, Failure> {
    let reached = fleet.reached();
    if reached.len() > 1 {
        told_failures(view, &reached);
    }
    match reached.iter().all(|it| it.result.is_err()) {
        true => fleet::failed(&reached).map(|()| reached),
        false => Ok(reached),
    }
}

fn told_failures(view: &mut View, outcomes: &[Outcome<()>]) {
    for failure in failures(outcomes) {
        view.note(format!("  ! {failure}"));
    }
}

fn have(clients: usize) -> String {
    match clients {
        1 => "1 client has".to_owned(),
        count => format!("{count} clients have"),
    }
}

/// An image that is pinned and not there is found before the first client gets it.
async fn are_there(turns: &[Turn<'_>]) -> Result<(), Failure> {
    let pinned = turns.iter().map(|turn| &turn.images);
    let pinned: BTreeMap<&str, &Images> = pinned
        .filter_map(|images| Some((images.pinned()?, images)))
        .collect();
    let looks = stream::iter(pinned.into_values().map(Images::check));
    looks
        .buffer_unordered(AT_ONCE)
        .map_ok(drop)
        .try_collect()
        .await
}

/// The clients that change, each with its plan; `wanted` gives no image where it stays as it is.
async fn turns<'a>(
    fleet: &'a Fleet,
    wanted: impl Fn(&Session) -> Option<Option<String>>,
) -> Result<Vec<Turn<'a>>, Failure> {
    let mut packed = None;
    let mut wants = Vec::new();
    let listed = fleet.sessions.iter();
    let listed = listed.filter(|session| fleet.inventory(&session.client).is_ok());
    for session in listed {
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
            // A job may have it without its file saying so, after a kill between the two.
            let is_turn = !plan.is_empty() || session.client.pin != pin;
            Ok::<_, Failure>(is_turn.then(|| Turn {
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

/// The image a client's jobs had before, as its file pins it; of those that run `from` only.
fn before(fleet: &Fleet, session: &Session, from: Option<&Pin>) -> Option<String> {
    let mut jobs = fleet
        .jobs(session)
        .filter(|listed| from.is_none_or(|from| from.is_of(&listed.job.image)));
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
    image: &str,
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
    let kept = waves[wave.number - 1].start;
    let hint = match (left.is_empty(), kept) {
        (true, 0) => "the wave has its image back, and no other client has the new one".to_owned(),
        (true, kept) => format!(
            "the wave has its image back; of the waves before {} the new one still: \
             `xetl rollback --all --from {image}` takes it from them",
            have(kept)
        ),
        (false, _) => format!(
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
