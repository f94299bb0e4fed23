//! The commit protocol, modelled: two runtimes that may die at any point, a bucket, and jobs
//! that may fail. Every order of their steps is tried.
//!
//! What a runtime decides is decided by the code itself (`commit::next`, `is_overtaken`); the
//! model is the bucket, the warehouse, and the order in which `load` and `pipeline` look and
//! act. The lease is not in it: the two runtimes act as if there were none. To keep the search
//! short a source has one batch of rows, a process dies once and a job fails once.
#![allow(clippy::unwrap_used)] // A test may panic.

use std::collections::BTreeMap;

use stateright::{Checker, HasDiscoveries, Model, Property};
use xetl_runtime::commit::{self, Action, Attempts, Facts, Job};
use xetl_runtime::google::bigquery::{Changes, JobState};
use xetl_runtime::options::{Mode, Target};
use xetl_runtime::state::{Checkpoint, Pending, Plan, Staged, Stored};

/// Batches the source has.
const BATCHES: usize = 1;

/// A run's commit of a batch.
type Commit = (u8, usize);

/// A checkpoint: the commit that wrote it says how many batches are in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Point {
    generation: i64,
    commit: Commit,
}

/// A pending commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Noted {
    generation: i64,
    commit: Commit,
    replaces: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Running,
    Done,
    Failed,
}

/// What a run reads: fixed by its first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Planned {
    run: u8,
    batch: usize,
    replaces: i64,
}

/// What a runtime knows while it ends a commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ending {
    noted: Noted,
    loads: (Vec<State>, usize),
    merges: (Vec<State>, usize),
}

/// What a runtime does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum At {
    /// It is dead or has failed; `true` if its run may be retried.
    Down(bool),
    Look,
    MakePlan,
    MakeCommit,
    Note(Noted),
    Decide(Ending),
    Do(Ending, Step),
}

/// What `commit::next` said, as a value that can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Submit(Job, usize),
    Wait(Job, usize),
    Record,
    Close,
    Fail,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Runtime {
    run: u8,
    plan: Option<Planned>,
    at: At,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    generation: i64,
    checkpoint: Option<Point>,
    pending: Option<Noted>,
    plans: BTreeMap<u8, Planned>,
    loads: BTreeMap<Commit, Vec<State>>,
    merges: BTreeMap<Commit, Vec<State>>,
    table: [u8; BATCHES],
    runtimes: Vec<Runtime>,
    runs: u8,
    deaths: u8,
    failures: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Event {
    Goes(usize),
    Dies(usize),
    /// Starts again: `true` for the same run.
    Starts(usize, bool),
    Ends(Job, Commit, bool),
}

/// What is checked: a mode, and how much may go wrong.
#[derive(Debug, Clone)]
struct Protocol {
    mode: Mode,
    deaths: u8,
    failures: u8,
    /// Whether the code's decision is followed; a broken protocol shows that the model sees it.
    decide: fn(&Pending, Facts<'_>) -> Action,
}

impl World {
    fn done(&self) -> usize {
        self.checkpoint.map_or(0, |point| point.commit.1 + 1)
    }

    fn next_generation(&mut self) -> i64 {
        self.generation += 1;
        self.generation
    }

    fn jobs(&mut self, job: Job, commit: Commit) -> &mut Vec<State> {
        let jobs = match job {
            Job::Load => &mut self.loads,
            Job::Merge => &mut self.merges,
        };
        jobs.entry(commit).or_default()
    }

    fn stored(&self) -> Option<Stored<Checkpoint>> {
        self.checkpoint.map(|point| Stored {
            value: Checkpoint {
                run: point.commit.0.to_string(),
                commit: id(point.commit),
                ..Checkpoint::default()
            },
            generation: point.generation,
        })
    }
}

fn id(commit: Commit) -> String {
    format!("{}-{}", commit.0, commit.1)
}

impl Protocol {
    fn pending(&self, noted: Noted) -> Pending {
        let is_merge = self.mode == Mode::Merge;
        let table = String::from("staging");
        let staged = || Staged {
            table,
            statement: String::new(),
        };
        Pending {
            version: 1,
            commit: id(noted.commit),
            mode: self.mode,
            target: Target::Table,
            table: "t".into(),
            layout: Default::default(),
            merge: is_merge.then(staged),
            gathered: None,
            uris: vec!["gs://b/p".into()],
            rows: 1,
            bytes: 100,
            replaces: noted.replaces,
            loaded_before: None,
            next: Checkpoint::default(),
        }
    }

    /// What the code decides about a commit.
    fn decided(&self, world: &World, run: u8, ending: &Ending) -> Step {
        let attempts = |job, (states, tries): &(Vec<State>, usize)| Attempts {
            jobs: states.iter().map(|state| seen(job, *state)).collect(),
            tries: *tries,
        };
        let loads = attempts(Job::Load, &ending.loads);
        let merges = attempts(Job::Merge, &ending.merges);
        let stored = world.stored();
        let facts = Facts {
            checkpoint: stored.as_ref(),
            loads: &loads,
            merges: &merges,
            staged: loads.jobs.last() == Some(&seen(Job::Load, State::Done)),
            pointed: false,
        };
        match (self.decide)(&self.pending(ending.noted), facts) {
            Action::Submit { job, attempt } => Step::Submit(job, attempt),
            Action::Wait { job, attempt } => Step::Wait(job, attempt),
            Action::Record => Step::Record,
            Action::Forget | Action::Abandon => Step::Close,
            Action::GiveUp { .. } if ending.noted.commit.0 != run => Step::Close,
            _ => Step::Fail,
        }
    }

    /// A job's end, as the warehouse carries it out: all of it or nothing.
    fn end(&self, world: &mut World, job: Job, commit: Commit, well: bool) {
        *world.jobs(job, commit).last_mut().unwrap() = match well {
            true => State::Done,
            false => State::Failed,
        };
        if !well {
            world.failures += 1;
            return;
        }
        match (self.mode, job) {
            (Mode::Append, _) => world.table[commit.1] += 1,
            (Mode::Merge, Job::Merge) => world.table[commit.1] = 1,
            (Mode::Merge, Job::Load) => {}
            // All there is up to the batch, and nothing of what was there.
            (Mode::Overwrite, _) => {
                world.table = std::array::from_fn(|batch| u8::from(batch <= commit.1));
            }
        }
    }

    /// One step of a runtime; `None` where it has to wait.
    fn go(&self, world: &mut World, index: usize) -> Option<()> {
        let Runtime { run, plan, at } = world.runtimes[index].clone();
        let onward = if plan.is_some() {
            At::MakeCommit
        } else {
            At::MakePlan
        };
        let next = match at {
            At::Down(_) => return None,
            At::Look => match world.pending {
                Some(noted) => At::Decide(Ending {
                    noted,
                    loads: (world.jobs(Job::Load, noted.commit).clone(), 0),
                    merges: (world.jobs(Job::Merge, noted.commit).clone(), 0),
                }),
                None => onward,
            },
            At::MakePlan => self.make_plan(world, index, run),
            At::MakeCommit => make_commit(world, plan.unwrap()),
            At::Note(noted) => {
                if world.pending.is_none() {
                    let generation = world.next_generation();
                    world.pending = Some(Noted {
                        generation,
                        ..noted
                    });
                }
                At::Look
            }
            At::Decide(ending) => {
                let step = self.decided(world, run, &ending);
                At::Do(ending, step)
            }
            At::Do(ending, step) => act(world, ending, step, onward)?,
        };
        world.runtimes[index].at = next;
        Some(())
    }

    fn make_plan(&self, world: &mut World, index: usize, run: u8) -> At {
        let (batch, replaces) = (
            world.done(),
            world.checkpoint.map_or(0, |point| point.generation),
        );
        if world.checkpoint.is_some_and(|point| point.commit.0 == run) || batch == BATCHES {
            return At::Down(false);
        }
        let plan = Planned {
            run,
            batch,
            replaces,
        };
        let plan = *world.plans.entry(run).or_insert(plan);
        world.runtimes[index].plan = Some(plan);
        At::MakeCommit
    }
}

fn seen(job: Job, state: State) -> JobState {
    match (state, job) {
        (State::Running, _) => JobState::Running,
        (State::Done, Job::Load) => JobState::Done { rows: 1 },
        (State::Done, Job::Merge) => JobState::Changed(Changes {
            inserted: 1,
            ..Changes::default()
        }),
        (State::Failed, _) => JobState::Failed {
            reason: "backendError".into(),
            message: String::new(),
        },
    }
}

fn make_commit(world: &World, plan: Planned) -> At {
    let stored = world.stored();
    if world
        .checkpoint
        .is_some_and(|point| point.commit.0 == plan.run)
    {
        return At::Down(false);
    }
    let whole = Plan {
        run: plan.run.to_string(),
        mode: Mode::Append,
        extracted_at: 0,
        state: serde_json::Value::Null,
        replaces: plan.replaces,
        refresh: false,
        range: None,
        replay: Vec::new(),
        slices: Vec::new(),
    };
    if commit::is_overtaken(&whole, stored.as_ref()) {
        return At::Down(false);
    }
    At::Note(Noted {
        generation: 0,
        commit: (plan.run, plan.batch),
        replaces: stored.map_or(0, |stored| stored.generation),
    })
}

fn act(world: &mut World, mut ending: Ending, step: Step, onward: At) -> Option<At> {
    let noted = ending.noted;
    let known = |ending: &mut Ending, job, attempt: usize, state: State| {
        let (states, tries) = match job {
            Job::Load => &mut ending.loads,
            Job::Merge => &mut ending.merges,
        };
        match states.get_mut(attempt) {
            Some(slot) => *slot = state,
            None => {
                states.push(state);
                *tries += 1;
            }
        }
    };
    match step {
        Step::Submit(job, attempt) => {
            // A job of that id that is there already is as good.
            let jobs = world.jobs(job, noted.commit);
            if jobs.len() == attempt {
                jobs.push(State::Running);
            }
            known(&mut ending, job, attempt, State::Running);
        }
        Step::Wait(job, attempt) => {
            let state = world.jobs(job, noted.commit)[attempt];
            if state == State::Running {
                return None;
            }
            known(&mut ending, job, attempt, state);
        }
        Step::Record => {
            if world.checkpoint.map_or(0, |point| point.generation) == noted.replaces {
                let generation = world.next_generation();
                world.checkpoint = Some(Point {
                    generation,
                    commit: noted.commit,
                });
            }
        }
        Step::Close => {
            if world.pending == Some(noted) {
                world.pending = None;
            }
            return Some(onward);
        }
        Step::Fail => return Some(At::Down(true)),
    }
    Some(At::Decide(ending))
}

impl Model for Protocol {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let runtime = |run| Runtime {
            run,
            plan: None,
            at: At::Look,
        };
        vec![World {
            generation: 0,
            checkpoint: None,
            pending: None,
            plans: BTreeMap::new(),
            loads: BTreeMap::new(),
            merges: BTreeMap::new(),
            table: [0; BATCHES],
            runtimes: vec![runtime(1), runtime(2)],
            runs: 2,
            deaths: 0,
            failures: 0,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for (index, runtime) in world.runtimes.iter().enumerate() {
            match runtime.at {
                At::Down(_) if world.done() == BATCHES && world.pending.is_none() => {}
                At::Down(may_retry) => {
                    events.push(Event::Starts(index, false));
                    if may_retry {
                        events.push(Event::Starts(index, true));
                    }
                }
                _ => {
                    events.push(Event::Goes(index));
                    if world.deaths < self.deaths {
                        events.push(Event::Dies(index));
                    }
                }
            }
        }
        for (job, all) in [(Job::Load, &world.loads), (Job::Merge, &world.merges)] {
            for (commit, states) in all {
                if states.last() == Some(&State::Running) {
                    events.push(Event::Ends(job, *commit, true));
                    if world.failures < self.failures {
                        events.push(Event::Ends(job, *commit, false));
                    }
                }
            }
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        match event {
            Event::Goes(index) => self.go(&mut world, index)?,
            Event::Dies(index) => {
                world.deaths += 1;
                world.runtimes[index].at = At::Down(true);
            }
            Event::Starts(index, same) => {
                if !same {
                    world.runs += 1;
                    world.runtimes[index].run = world.runs;
                }
                world.runtimes[index].plan = None;
                world.runtimes[index].at = At::Look;
            }
            Event::Ends(job, commit, well) => self.end(&mut world, job, commit, well),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no row is in the table twice", |_, world: &World| {
                world.table.iter().all(|count| *count <= 1)
            }),
            Property::always("what the state says is in the table", |_, world: &World| {
                world.table[..world.done()].iter().all(|count| *count == 1)
            }),
            Property::eventually("all of the source is loaded", |_, world: &World| {
                world.done() == BATCHES
            }),
            // A model in which nothing happens holds all of the above.
            Property::sometimes(
                "a process dies, a job fails, and all is loaded",
                |model: &Protocol, world: &World| {
                    let (deaths, failures) = (
                        world.deaths == model.deaths,
                        world.failures == model.failures,
                    );
                    deaths && failures && world.done() == BATCHES
                },
            ),
        ]
    }
}

fn protocol(mode: Mode) -> Protocol {
    Protocol {
        mode,
        deaths: 1,
        failures: 1,
        decide: commit::next,
    }
}

fn holds(protocol: Protocol) {
    let checker = protocol.checker().spawn_bfs().join();
    assert!(checker.unique_state_count() > 1_000);
    checker.assert_properties();
}

#[test]
fn rows_are_added_once_whoever_dies() {
    holds(protocol(Mode::Append));
}

#[test]
fn rows_are_replaced_whoever_dies() {
    holds(protocol(Mode::Overwrite));
}

#[test]
fn rows_are_merged_whoever_dies() {
    holds(protocol(Mode::Merge));
}

/// The model sees what it is there to see.
#[test]
fn a_job_sent_again_while_one_runs_would_double_rows() {
    let hasty = |pending: &Pending, facts: Facts<'_>| match commit::next(pending, facts) {
        Action::Wait { job, attempt } => Action::Submit {
            job,
            attempt: attempt + 1,
        },
        action => action,
    };
    let checker = Protocol {
        decide: hasty,
        ..protocol(Mode::Append)
    }
    .checker()
    // It would send jobs without end.
    .finish_when(HasDiscoveries::AnyFailures)
    .spawn_bfs()
    .join();
    assert!(checker.discovery("no row is in the table twice").is_some());
}

#[test]
fn a_state_written_before_the_load_would_lose_rows() {
    let early = |pending: &Pending, facts: Facts<'_>| match commit::next(pending, facts) {
        Action::Submit { .. } => Action::Record,
        action => action,
    };
    let checker = Protocol {
        decide: early,
        ..protocol(Mode::Append)
    }
    .checker()
    .spawn_bfs()
    .join();
    assert!(
        checker
            .discovery("what the state says is in the table")
            .is_some()
    );
}
