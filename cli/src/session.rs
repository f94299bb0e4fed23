//! A client, its file read and its cloud at hand: what most commands work on.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::apply::{Apply, Observer, PushImage, SecretValues};
use crate::cloud::{Actual, Cloud, Connection, Inventory};
use crate::config::{Client, Workspace, unknown_places};
use crate::desired::{self, Image};
use crate::failure::{self, Failure};
use crate::images;
use crate::names;
use crate::plan::document::{MissingValue, PlanDocument};
use crate::plan::moved;
use crate::plan::quota::{self, Place};
use crate::plan::saved::{SavedPlan, shown};
use crate::plan::{self, Plan};
use crate::resource::{Address, Kind, Owner, Resources};
use crate::target::Target;
use crate::view::PlanPicture;

/// A client and its part of the cloud.
pub struct Session {
    pub workspace: Workspace,
    pub target: Target,
    pub client: Client,
    pub cloud: Arc<Cloud>,
}

/// What would be done, and what stands in its way.
#[derive(Clone)]
pub struct Proposal {
    pub client: String,
    pub plan: Plan,
    pub missing: Vec<MissingValue>,
    /// Limits of Google's that it would go beyond, or meets.
    pub warnings: Vec<String>,
    declared: Resources,
    read: Resources,
    /// Kinds that go with the data they hold.
    lose: BTreeSet<Kind>,
}

impl Session {
    pub fn new(workspace: Workspace, target: Target, client: Client) -> Result<Session, Failure> {
        let connection = Connection::new(target.clone())?;
        Ok(Session::on(&connection, workspace, target, client))
    }

    /// A client on a connection that others use, too.
    pub fn on(
        connection: &Arc<Connection>,
        workspace: Workspace,
        target: Target,
        client: Client,
    ) -> Session {
        let Client {
            name,
            project,
            region,
            ..
        } = &client;
        let cloud = Arc::new(Cloud::new(connection.clone(), name, project, region));
        Session {
            workspace,
            target,
            client,
            cloud,
        }
    }

    /// The same client with another pin of its image; with none it takes the workspace's.
    pub fn pinned(&self, pin: Option<&str>) -> Session {
        let shared = self.workspace.file.image.clone();
        Session {
            workspace: self.workspace.clone(),
            target: self.target.clone(),
            cloud: self.cloud.clone(),
            client: Client {
                image: pin.map(str::to_owned).or(shared),
                ..self.client.clone()
            },
        }
    }

    /// An image as the client's file would pin it: by its digest, where it is in its repository.
    pub fn pin_of<'i>(&self, image: &'i str) -> &'i str {
        let own = images::name_of(self);
        let digest = image.strip_prefix(&own).and_then(|it| it.strip_prefix('@'));
        digest.unwrap_or(image)
    }

    /// What the client's file asks for, with this image.
    pub fn declared(&self, image: &Image) -> Resources {
        desired::resources(&self.client, image)
    }

    /// What it takes to get there.
    pub async fn propose(&self, image: &Image) -> Result<Proposal, Failure> {
        let declared = self.declared(image);
        let actual = self.cloud.read(&declared).await?;
        self.proposal(declared, actual).await
    }

    /// The same by what the project's lists say.
    pub async fn propose_from(
        &self,
        inventory: &Inventory,
        image: &Image,
    ) -> Result<Proposal, Failure> {
        let declared = self.declared(image);
        let actual = self.cloud.read_from(inventory, &declared).await?;
        self.proposal(declared, actual).await
    }

    async fn proposal(&self, declared: Resources, actual: Actual) -> Result<Proposal, Failure> {
        let read = plan::seen(&actual.resources, &declared);
        self.must_not_leave(&read).await?;
        let given_up = plan::given_up(&read, &declared);
        let looked_into = [plan::fixed(&read, &declared), given_up.clone()].concat();
        let empty = self.cloud.empty_among(&looked_into).await?;
        let mut held: BTreeSet<Address> = given_up.into_iter().collect();
        held.retain(|address| !empty.contains(address));
        let plan = Plan::knowing(&read, &declared, &empty).keeping(&held);
        let place = Place {
            project: &self.client.project,
            region: &self.client.region,
        };
        let mut warnings = unknown_places(&self.client);
        warnings.extend(quota::warnings(
            &actual.usage,
            &place,
            std::iter::once(&plan),
        ));
        let unwatched: Vec<String> = desired::unwatched(&self.client).collect();
        warnings.extend(desired::not_watched(&unwatched));
        Ok(Proposal {
            client: self.client.name.clone(),
            warnings,
            plan,
            missing: self.missing_values(&actual),
            declared,
            read,
            lose: BTreeSet::new(),
        })
    }

    /// Jobs in a region it was in before would go on there, unseen.
    async fn must_not_leave(&self, read: &Resources) -> Result<(), Failure> {
        let Client { name, region, .. } = &self.client;
        let Some(former) = moved::former_region(read, region) else {
            return Ok(());
        };
        let jobs = self.cloud.jobs_in(&former).await?;
        match moved::left_behind(name, &former, &jobs) {
            None => Ok(()),
            Some(left) => Err(Failure::new(failure::Kind::Usage, left).hint(format!(
                "put `region: {former}` into its file, `xetl destroy --client {name}` (it keeps the data), \
                 then `region: {region}` again"
            ))),
        }
    }

    /// The secrets its jobs need that hold nothing.
    fn missing_values(&self, actual: &Actual) -> Vec<MissingValue> {
        let client = &self.client.name;
        let mut missing = Vec::new();
        for pipeline in &self.client.pipelines {
            for path in &pipeline.secrets {
                let secret = names::secret(client, &pipeline.name, path);
                let there = actual
                    .resources
                    .contains_key(&Address::new(Kind::Secret, &secret));
                if there && !actual.empty_secrets.contains(&secret) {
                    continue;
                }
                missing.push(MissingValue {
                    command: format!(
                        "xetl secrets set --client {client} --pipeline {} {path}",
                        pipeline.name
                    ),
                    path: path.clone(),
                    secret,
                });
            }
        }
        missing
    }

    /// Carries a proposal out; gives how many steps were done.
    pub async fn apply(
        &self,
        proposal: &Proposal,
        images: &impl PushImage,
        values: &SecretValues,
        observer: &mut dyn Observer,
    ) -> Result<usize, Failure> {
        proposal.apply(&self.cloud, images, values, observer).await
    }
}

/// What it takes to remove a client; data stays, but for the kinds of `lose`.
///
/// Its file is not needed: what is its own says so.
pub async fn removal(cloud: &Cloud, lose: &BTreeSet<Kind>) -> Result<Proposal, Failure> {
    let mut actual = cloud.read(&Resources::new()).await?;
    let is_ours = |owner: &Owner| owner.client.as_ref() == Some(&cloud.client);
    let found = &mut actual.resources;
    found.retain(|_, resource| resource.owner().is_none_or(is_ours));
    let mut held: BTreeSet<Address> = cloud.holding_data(&actual).await?;
    held.retain(|address| !lose.contains(&address.kind));
    Ok(Proposal {
        client: cloud.client.clone(),
        plan: Plan::destroy(&actual.resources, &held),
        missing: Vec::new(),
        warnings: Vec::new(),
        declared: Resources::new(),
        read: actual.resources,
        lose: lose.clone(),
    })
}

impl Proposal {
    /// Carries it out; gives how many steps were done.
    pub async fn apply(
        &self,
        cloud: &Cloud,
        images: &impl PushImage,
        values: &SecretValues,
        observer: &mut dyn Observer,
    ) -> Result<usize, Failure> {
        let apply = Apply {
            cloud,
            images,
            values,
            missing: self.missing.iter().map(|it| it.secret.clone()).collect(),
            lose: &self.lose,
        };
        let applied = apply.run(&self.plan, observer).await;
        applied.map_err(|error| self.failure(error.into()))
    }

    /// Whether there is nothing at all.
    pub fn is_of_nothing(&self) -> bool {
        self.read.is_empty() && self.declared.is_empty()
    }

    /// The same with another plan.
    pub fn with(self, plan: Plan) -> Proposal {
        Proposal { plan, ..self }
    }

    /// Without what it stands on, so that it cannot be kept.
    pub fn without_basis(self) -> Proposal {
        Proposal {
            declared: Resources::new(),
            read: Resources::new(),
            ..self
        }
    }

    pub fn picture(&self) -> PlanPicture<'_> {
        PlanPicture {
            client: &self.client,
            plan: &self.plan,
            missing: &self.missing,
            warnings: &self.warnings,
            why: false,
        }
    }

    /// The plan with what it stands on, to be carried out later.
    pub fn saved(&self) -> SavedPlan {
        SavedPlan {
            plan: PlanDocument::of(&self.client, &self.plan, &self.missing),
            declared: shown(&self.declared),
            read: shown(&self.read),
        }
    }

    /// The failure with what this plan knows to do about it.
    fn failure(&self, failure: Failure) -> Failure {
        match self.missing.first() {
            Some(missing) if failure.sentence.contains("has no value") => {
                failure.hint(format!("`{}`, then apply again", missing.command))
            }
            _ => failure,
        }
    }
}
