//! Many clients at once: their projects listed, each client's plan made of the lists.
//!
//! One client's trouble is its own: it is kept beside the others' plans and stops none.
//! What is decided about many is in the files below, which know neither Google nor the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use crate::cloud::{Cloud, CloudError, Connection, Inventory, ListedJob};
use crate::config::{Client, Workspace, shared_datasets, unknown_places};
use crate::context::Context;
use crate::desired::{Image, not_watched, unwatched};
use crate::failure::{Failure, Kind as FailureKind};
use crate::images::Images;
use crate::names;
use crate::plan::moved;
use crate::plan::quota::{self, Place};
use crate::plan::{Change, Plan};
use crate::resource::Kind;
use crate::session::{Proposal, Session, removal};

pub mod guard;
mod kept;
mod selection;
mod shape;
mod waves;

pub use kept::KeptPlans;
pub use selection::{Condition, Selection};
pub use shape::Shape;
pub use waves::Waves;

/// Clients planned at the same time; each plan is mostly waiting.
pub const AT_ONCE: usize = 48;

/// The clients a command is for, with what their projects' lists say.
pub struct Fleet {
    pub workspace: Workspace,
    connection: Arc<Connection>,
    pub sessions: Vec<Session>,
    /// Clients whose files are wrong.
    pub broken: Vec<(String, Failure)>,
    projects: BTreeMap<String, Result<Inventory, Unlisted>>,
    is_whole: bool,
    keeps_basis: bool,
}

/// Why a project could not be listed.
enum Unlisted {
    /// It is not there, or not the caller's to see.
    NoProject,
    Failed(Failure),
}

impl Unlisted {
    async fn of(connection: &Arc<Connection>, project: &str, error: CloudError) -> Unlisted {
        let cloud = Cloud::new(connection.clone(), "", project, "");
        let failure = Failure::from(error);
        match &failure.refusal {
            Some(refusal) if cloud.lacks_project(refusal).await => Unlisted::NoProject,
            _ => Unlisted::Failed(failure),
        }
    }
}

/// One client of many, and what became of it.
pub struct Outcome<T> {
    pub client: String,
    pub result: Result<T, Failure>,
}

/// What would be done for one client of many.
pub struct Planned {
    pub proposal: Proposal,
    /// Its cloud; of a client without a file there is nothing else.
    pub cloud: Arc<Cloud>,
}

impl Fleet {
    /// Reads the files of the clients chosen; nothing is called yet.
    pub async fn open(context: &Context, selection: &Selection) -> Result<Fleet, Failure> {
        let workspace = context.workspace()?.listed();
        let target = context.target(&workspace).await?;
        let connection = Connection::new(target.clone())?;
        let (mut sessions, mut broken) = (Vec::new(), Vec::new());
        let names = match selection {
            Selection::One(name) => vec![name.clone()],
            _ => workspace.client_names(),
        };
        for name in names {
            match workspace.client(&name) {
                Ok(client) if selection.holds(&client) => {
                    let (workspace, target) = (workspace.clone(), target.clone());
                    sessions.push(Session::on(&connection, workspace, target, client));
                }
                Ok(_) => {}
                Err(error) if matches!(selection, Selection::One(_)) => return Err(error.into()),
                Err(error) => broken.push((name, error.into())),
            }
        }
        let clients = sessions.iter().map(|session: &Session| &session.client);
        for (name, error) in shared_datasets(clients) {
            sessions.retain(|session| session.client.name != name);
            broken.push((name, error.into()));
        }
        // Whether a file that cannot be read would have been chosen, nobody knows.
        let is_whole = *selection == Selection::All;
        Ok(Fleet {
            workspace,
            connection,
            sessions,
            broken,
            projects: BTreeMap::new(),
            is_whole,
            keeps_basis: false,
        })
    }

    /// How many clients were chosen, those with wrong files among them.
    pub fn len(&self) -> usize {
        self.sessions.len() + self.broken.len()
    }

    /// Whether no client was chosen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn projects(&self) -> usize {
        let projects = self.sessions.iter().map(|session| &session.client.project);
        projects.collect::<BTreeSet<_>>().len()
    }

    /// Projects that were read one resource at a time, as their assets cannot be listed.
    pub fn slow_projects(&self) -> Vec<&str> {
        let projects = self.projects.iter();
        let slow = projects.filter(|(_, it)| it.as_ref().is_ok_and(|it| !it.has_assets()));
        slow.map(|(name, _)| name.as_str()).collect()
    }

    /// Lists what there is in the clients' projects.
    pub async fn list(&mut self) {
        let mut regions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for Session { client, .. } in &self.sessions {
            let of_project = regions.entry(client.project.clone()).or_default();
            of_project.insert(client.region.clone());
        }
        let listings = regions.into_iter().map(|(project, regions)| {
            let connection = self.connection.clone();
            async move {
                let listed = match Cloud::inventory(&connection, &project, &regions).await {
                    Ok(inventory) => Ok(inventory),
                    Err(error) => Err(Unlisted::of(&connection, &project, error).await),
                };
                (project, listed)
            }
        });
        self.projects = stream::iter(listings).buffer_unordered(8).collect().await;
    }

    /// What the lists say of a client's project.
    pub fn inventory(&self, client: &Client) -> Result<&Inventory, Failure> {
        match self.projects.get(&client.project) {
            Some(Ok(inventory)) => Ok(inventory),
            Some(Err(Unlisted::NoProject)) => {
                let place = self.workspace.place_of_project(&client.name);
                Err(Failure::no_project(&client.project, &place))
            }
            Some(Err(Unlisted::Failed(failure))) => Err(failure.clone()),
            None => Err(Failure::new(
                FailureKind::Failed,
                format!("project {} was not listed", client.project),
            )),
        }
    }

    /// The same fleet, whose plans keep what they stand on: of a thousand clients that is much.
    pub fn keeping_basis(self) -> Fleet {
        Fleet {
            keeps_basis: true,
            ..self
        }
    }

    /// What each client needs, and what clients without a file leave behind.
    pub async fn propose(&self, image: impl Fn(&Session) -> Image) -> Vec<Outcome<Planned>> {
        let mut outcomes = each(&self.sessions, AT_ONCE, async |session| {
            let proposal = self.propose_one(session, &image(session)).await?;
            let cloud = session.cloud.clone();
            Ok(Planned { proposal, cloud })
        })
        .await;
        outcomes.extend(self.broken_outcomes());
        outcomes.extend(self.propose_removals().await);
        outcomes.sort_by(|a, b| a.client.cmp(&b.client));
        outcomes
    }

    /// The clients whose files are wrong, as failures of whatever is done.
    pub fn broken_outcomes<T>(&self) -> Vec<Outcome<T>> {
        let broken = self.broken.iter().map(|(client, failure)| Outcome {
            client: client.clone(),
            result: Err(failure.clone()),
        });
        broken.collect()
    }

    /// Whether anything can be done for each client chosen: not where its file is wrong, or its
    /// project could not be listed.
    pub fn reached(&self) -> Vec<Outcome<()>> {
        let sessions = self.sessions.iter().map(|session| Outcome {
            client: session.client.name.clone(),
            result: self.inventory(&session.client).map(drop),
        });
        sessions.chain(self.broken_outcomes()).collect()
    }

    /// By the lists; what of it only the assets say is believed when its source says so too.
    async fn propose_one(&self, session: &Session, image: &Image) -> Result<Proposal, Failure> {
        let inventory = self.inventory(&session.client)?;
        let proposal = session.propose_from(inventory, image).await?;
        match inventory.has_assets() && rests_on_assets(&proposal.plan) {
            true => Ok(self.slim(session.propose(image).await?)),
            false => Ok(self.slim(proposal)),
        }
    }

    fn slim(&self, proposal: Proposal) -> Proposal {
        match self.keeps_basis {
            true => proposal,
            false => proposal.without_basis(),
        }
    }

    async fn propose_removals(&self) -> Vec<Outcome<Planned>> {
        if !self.is_whole {
            return Vec::new();
        }
        let known: BTreeSet<String> = self.workspace.client_names().into_iter().collect();
        let removed = self.projects.iter().flat_map(|(project, inventory)| {
            let sightings = inventory.iter().flat_map(Inventory::clients);
            sightings.map(move |sighting| (project, sighting))
        });
        let removed: Vec<Cloud> = removed
            .filter(|(_, sighting)| !known.contains(&sighting.client))
            .map(|(project, sighting)| {
                let region = sighting.region.unwrap_or_default();
                Cloud::new(self.connection.clone(), &sighting.client, project, &region)
            })
            .collect();
        let plans = removed.into_iter().map(|cloud| async move {
            let client = cloud.client.clone();
            let result = removal(&cloud, &BTreeSet::new()).await;
            let cloud = Arc::new(cloud);
            let result = result.map(|proposal| Planned {
                proposal: self.slim(proposal),
                cloud,
            });
            Outcome { client, result }
        });
        let plans = stream::iter(plans).buffer_unordered(AT_ONCE);
        // What only keeps data was removed before.
        let is_left = |it: &Outcome<Planned>| match &it.result {
            Ok(planned) => !planned.proposal.plan.is_empty(),
            Err(_) => true,
        };
        plans
            .filter(|it| std::future::ready(is_left(it)))
            .collect()
            .await
    }

    /// Places nobody knows, runs nobody watches, and limits of Google's that the plans together
    /// would go beyond.
    pub fn warnings(&self, outcomes: &[Outcome<Planned>]) -> Vec<String> {
        let mut places: BTreeMap<(&str, &str), Vec<&Plan>> = BTreeMap::new();
        for planned in outcomes.iter().filter_map(|it| it.result.as_ref().ok()) {
            let Cloud {
                project, region, ..
            } = &*planned.cloud;
            let plans = places.entry((project, region)).or_default();
            plans.push(&planned.proposal.plan);
        }
        let warnings = places.into_iter().flat_map(|((project, region), plans)| {
            let inventory = self.projects.get(project).and_then(|it| it.as_ref().ok());
            let usage = inventory.map(|it| it.usage(region)).unwrap_or_default();
            quota::warnings(&usage, &Place { project, region }, plans.into_iter())
        });
        let clients = || self.sessions.iter().map(|session| &session.client);
        let unknown: BTreeSet<String> = clients().flat_map(unknown_places).collect();
        let unwatched: Vec<String> = clients().flat_map(unwatched).collect();
        let unwatched = not_watched(&unwatched).into_iter();
        unknown
            .into_iter()
            .chain(unwatched)
            .chain(self.left_in_projects())
            .chain(warnings)
            .collect()
    }

    /// Clients that moved to another project, whose jobs go on in one that other clients are in.
    fn left_in_projects(&self) -> impl Iterator<Item = String> {
        let clients = self.sessions.iter().map(|session| &session.client);
        clients.flat_map(|client| {
            let others = self.projects.iter();
            let others = others.filter(|(project, _)| **project != client.project);
            let former = others.filter(|(_, it)| {
                it.as_ref()
                    .is_ok_and(|inventory| inventory.has_jobs_of(&client.name))
            });
            former.map(|(former, _)| moved::left_in_project(&client.name, former))
        })
    }

    /// The jobs of a client's pipelines that are there, where its project could be listed.
    pub fn jobs<'a>(&'a self, session: &'a Session) -> impl Iterator<Item = &'a ListedJob> {
        let client = &session.client;
        let inventory = self.inventory(client).ok();
        client.pipelines.iter().filter_map(move |pipeline| {
            let name = names::job(&client.name, &pipeline.name);
            inventory?.job(&client.region, &name)
        })
    }

    /// The image of each client's jobs; the runtime is packed once for all.
    pub fn images(&self) -> Result<BTreeMap<String, Images>, Failure> {
        let mut packed = None;
        let mut images = BTreeMap::new();
        for session in &self.sessions {
            let of_client = Images::shared(session, &mut packed)?;
            images.insert(session.client.name.clone(), of_client);
        }
        Ok(images)
    }
}

/// Does something for each client, a few at a time; in the order they are given.
pub async fn each<'a, T>(
    sessions: impl IntoIterator<Item = &'a Session>,
    at_once: usize,
    action: impl AsyncFn(&'a Session) -> Result<T, Failure>,
) -> Vec<Outcome<T>> {
    let action = &action;
    let actions = sessions.into_iter().map(|session| async move {
        Outcome {
            client: session.client.name.clone(),
            result: action(session).await,
        }
    });
    stream::iter(actions).buffered(at_once).collect().await
}

/// Whether a step is there because of what only the assets tell.
fn rests_on_assets(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| {
        let told = matches!(
            step.address.kind,
            Kind::IamMember | Kind::JobMember | Kind::Dataset
        );
        told && !matches!(step.change, Change::Keep { .. })
    })
}
