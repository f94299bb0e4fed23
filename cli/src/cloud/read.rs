//! What a client has: looked up by the names it should have, and found by
//! labels where the name is not declared any more. All at the same time.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{try_join, try_join_all};

use super::datasets::Found;
use super::inventory::{Inventory, Region};
use super::members::members_of;
use super::{Cloud, CloudError, missing};
use crate::names;
use crate::plan::quota::Usage;
use crate::resource::{Address, Holder, Kind, Member, Object, Owner, Resource, Resources};

/// Where the bundles of a bucket's pipelines are.
const BUNDLES: &str = "*/bundle/*.json";

/// What a client has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Actual {
    pub resources: Resources,
    /// Names of its secrets that hold no readable value.
    pub empty_secrets: BTreeSet<String>,
    /// Of what Google limits, of all clients.
    pub usage: Usage,
}

impl Cloud {
    /// What of `declared` there is, and what else carries the client's labels.
    pub async fn read(&self, declared: &Resources) -> Result<Actual, CloudError> {
        let reader = Reader {
            cloud: self,
            inventory: None,
        };
        reader.read(declared).await
    }

    /// The same as far as the project's lists tell it; the rest is read.
    pub async fn read_from(
        &self,
        inventory: &Inventory,
        declared: &Resources,
    ) -> Result<Actual, CloudError> {
        let reader = Reader {
            cloud: self,
            inventory: Some(inventory),
        };
        reader.read(declared).await
    }

    /// Which of these hold what cannot be made again: objects other than bundles, tables, values.
    pub async fn holding_data(&self, actual: &Actual) -> Result<BTreeSet<Address>, CloudError> {
        let look = actual
            .resources
            .keys()
            .filter(|address| address.kind.holds_data());
        let held = try_join_all(look.map(|address| async move {
            let holds = self.holds_data(address, actual).await?;
            Ok::<_, CloudError>(holds.then(|| address.clone()))
        }));
        Ok(held.await?.into_iter().flatten().collect())
    }

    /// Which of these hold nothing.
    pub async fn empty_among(
        &self,
        addresses: &[Address],
    ) -> Result<BTreeSet<Address>, CloudError> {
        let look = addresses.iter().map(|address| async move {
            let holds = self.holds_data_now(address).await?;
            Ok::<_, CloudError>((!holds).then(|| address.clone()))
        });
        Ok(try_join_all(look).await?.into_iter().flatten().collect())
    }

    async fn holds_data(&self, address: &Address, actual: &Actual) -> Result<bool, CloudError> {
        match address.kind {
            Kind::Secret if !actual.empty_secrets.contains(&address.name) => Ok(true),
            _ => self.holds_data_now(address).await,
        }
    }

    pub(super) async fn holds_data_now(&self, address: &Address) -> Result<bool, CloudError> {
        let name = &address.name;
        match address.kind {
            // A value that is disabled can be enabled again.
            Kind::Secret => {
                let versions = self.secret_versions(name).await?;
                Ok(versions.iter().any(|version| !version.destroyed))
            }
            Kind::Dataset => self.dataset_has_tables(name).await,
            // At least the image that the jobs run.
            Kind::Repository => Ok(true),
            _ => {
                let objects = self.list_objects(name, "").await?;
                Ok(objects.iter().any(|object| !is_bundle(object)))
            }
        }
    }
}

/// Reads one client, from lists where it is given them.
#[derive(Clone, Copy)]
struct Reader<'a> {
    cloud: &'a Cloud,
    inventory: Option<&'a Inventory>,
}

impl Reader<'_> {
    async fn read_alerts(self, declared: &Resources) -> Result<Resources, CloudError> {
        let client = &self.cloud.client;
        match self.inventory {
            Some(inventory) => Ok(inventory.alerts.of(client, declared)),
            None => Ok(self.cloud.list_alerts().await?.of(client, declared)),
        }
    }

    async fn read(self, declared: &Resources) -> Result<Actual, CloudError> {
        let ((once, secrets), (datasets, (jobs, alerts))) = try_join(
            try_join(self.read_once(declared), self.read_secrets(declared)),
            try_join(
                self.read_datasets(declared),
                try_join(self.read_jobs(declared), self.read_alerts(declared)),
            ),
        )
        .await?;
        let mut actual = secrets;
        let (jobs, usage) = jobs;
        actual.usage = usage;
        for resources in [once, datasets, jobs, alerts] {
            actual.resources.extend(resources);
        }
        Ok(actual)
    }

    /// What a client has once: APIs, accounts, bucket, repository, rights on the project.
    async fn read_once(self, declared: &Resources) -> Result<Resources, CloudError> {
        let apis: Vec<_> = named(declared, Kind::Api).collect();
        let project = self.members_on(Holder::Project);
        let (((apis, accounts), bucket), (repository, project)) = try_join(
            try_join(
                try_join(self.read_apis(&apis), self.read_accounts()),
                self.read_bucket(),
            ),
            try_join(self.read_repository(declared), project),
        )
        .await?;
        Ok([apis, accounts, bucket, repository, project]
            .into_iter()
            .flatten()
            .collect())
    }

    async fn read_apis(self, names: &[&str]) -> Result<Resources, CloudError> {
        let Some(inventory) = self.inventory else {
            return self.cloud.read_apis(names).await;
        };
        let on = names.iter().filter(|name| inventory.apis.contains(**name));
        Ok(on
            .map(|name| (Address::new(Kind::Api, *name), Resource::Api))
            .collect())
    }

    async fn read_accounts(self) -> Result<Resources, CloudError> {
        let names = [
            names::job_account(&self.cloud.client),
            names::trigger_account(&self.cloud.client),
        ];
        let found = try_join_all(names.iter().map(|name| async move {
            match self.inventory {
                Some(inventory) => Ok(inventory.accounts.get(name).cloned()),
                None => self.cloud.find_account(name).await,
            }
        }));
        let found = found.await?;
        Ok(together(Kind::ServiceAccount, names.into_iter().zip(found)))
    }

    async fn read_bucket(self) -> Result<Resources, CloudError> {
        let name = names::bucket(&self.cloud.project, &self.cloud.client);
        let Some(bucket) = self.find_bucket(&name).await? else {
            return Ok(Resources::new());
        };
        let members = self.members_on(Holder::Bucket(name.clone()));
        let (members, bundles) = try_join(members, self.read_bundles(&name)).await?;
        let mut resources = together(Kind::Bucket, [(name, Some(bucket))]);
        resources.extend(members);
        resources.extend(bundles);
        Ok(resources)
    }

    /// A bucket's name is everybody's: one that is not in the project may be another's.
    async fn find_bucket(self, name: &str) -> Result<Option<Resource>, CloudError> {
        let listed = self.inventory.and_then(|it| it.buckets.get(name));
        match listed {
            Some(bucket) => Ok(Some(bucket.clone())),
            None => self.cloud.find_bucket(name).await,
        }
    }

    async fn read_bundles(self, bucket: &str) -> Result<Resources, CloudError> {
        let names = self.cloud.match_objects(bucket, BUNDLES).await?;
        let bundles = names.into_iter().map(|name| {
            let address = Address::new(Kind::Bundle, format!("gs://{bucket}/{name}"));
            let object = Object {
                bucket: bucket.to_owned(),
                pipeline: name.split('/').next().unwrap_or_default().to_owned(),
                name,
                ..Object::default()
            };
            (address, Resource::Bundle { object })
        });
        Ok(bundles.collect())
    }

    async fn read_repository(self, declared: &Resources) -> Result<Resources, CloudError> {
        let name = names::repository(&self.cloud.client);
        let repository = self.find_repository(&name).await?;
        let images: Vec<_> = match repository {
            Some(_) => named(declared, Kind::Image).collect(),
            None => Vec::new(),
        };
        let found = try_join_all(images.iter().map(|image| self.has_image(image))).await?;
        let mut resources = together(Kind::Repository, [(name, repository)]);
        for (image, found) in images.into_iter().zip(found) {
            if found {
                resources.insert(Address::new(Kind::Image, image), Resource::Image);
            }
        }
        Ok(resources)
    }

    async fn find_repository(self, name: &str) -> Result<Option<Resource>, CloudError> {
        match self.region() {
            Some(region) => Ok(region.repositories.get(name).cloned()),
            None => self.cloud.find_repository(name).await,
        }
    }

    /// An image that was seen stays; one that was not may have come since.
    async fn has_image(self, image: &str) -> Result<bool, CloudError> {
        match self.inventory {
            Some(inventory) if inventory.assets.has_image(image) => Ok(true),
            _ => self.cloud.has_image(image).await,
        }
    }

    async fn read_secrets(self, declared: &Resources) -> Result<Actual, CloudError> {
        let secrets = self.list_secrets(declared).await?;
        let names: Vec<&String> = secrets.keys().collect();
        let (values, members) = try_join(
            try_join_all(names.iter().map(|name| self.has_value(name))),
            try_join_all(
                names
                    .iter()
                    .map(|name| self.members_on(Holder::Secret(name.to_string()))),
            ),
        )
        .await?;
        let empty = names.iter().zip(values).filter(|(_, has_value)| !has_value);
        let empty_secrets = empty.map(|(name, _)| name.to_string()).collect();
        let secrets = secrets.into_iter();
        Ok(Actual {
            usage: Usage::default(),
            empty_secrets,
            resources: secrets
                .map(|(name, secret)| (Address::new(Kind::Secret, name), secret))
                .chain(members.into_iter().flatten())
                .collect(),
        })
    }

    /// The client's secrets, and those of the declared names, whoever's they are.
    async fn list_secrets(
        self,
        declared: &Resources,
    ) -> Result<BTreeMap<String, Resource>, CloudError> {
        if let Some(inventory) = self.inventory {
            let declared: BTreeSet<&str> = named(declared, Kind::Secret).collect();
            let all = inventory.secrets.iter();
            let wanted = all
                .filter(|(name, it)| self.is_ours(it.owner()) || declared.contains(name.as_str()));
            return Ok(wanted
                .map(|(name, it)| (name.clone(), it.clone()))
                .collect());
        }
        let mut found: BTreeMap<_, _> = self.cloud.list_secrets().await?.into_iter().collect();
        let names = found.keys().cloned().collect();
        let others = missing(named(declared, Kind::Secret), &names);
        let secrets = others.iter().map(|name| self.cloud.find_secret(name));
        for (name, secret) in others.iter().zip(try_join_all(secrets).await?) {
            found.extend(secret.map(|secret| ((*name).to_owned(), secret)));
        }
        Ok(found)
    }

    async fn has_value(self, secret: &str) -> Result<bool, CloudError> {
        let listed = self
            .inventory
            .and_then(|it| it.assets.secret_has_value(secret));
        match listed {
            Some(true) => Ok(true),
            // One that was just stored may not be listed yet.
            _ => self.cloud.secret_has_value(secret).await,
        }
    }

    async fn read_datasets(self, declared: &Resources) -> Result<Resources, CloudError> {
        let client = &self.cloud.client;
        let mut names: BTreeSet<String> = match self.inventory {
            Some(inventory) => inventory.datasets_of(client).map(str::to_owned).collect(),
            None => self.cloud.list_datasets().await?.into_iter().collect(),
        };
        names.extend(named(declared, Kind::Dataset).map(str::to_owned));
        let found = try_join_all(names.iter().map(|name| self.find_dataset(name))).await?;
        let accounts = self.own_accounts();
        let mut resources = Resources::new();
        for (name, dataset) in names.into_iter().zip(found) {
            let Some(dataset) = dataset else { continue };
            for (role, account) in dataset.access {
                if accounts.contains(&account) {
                    let on = Holder::Dataset(name.clone());
                    let member = Member { on, role, account };
                    resources.insert(member.address(), Resource::Member(member));
                }
            }
            resources.insert(Address::new(Kind::Dataset, name), dataset.resource);
        }
        Ok(resources)
    }

    async fn find_dataset(self, name: &str) -> Result<Option<Found>, CloudError> {
        match self.inventory {
            Some(inventory) if !inventory.datasets.contains_key(name) => Ok(None),
            Some(inventory) if inventory.dataset(name).is_some() => {
                Ok(inventory.dataset(name).cloned())
            }
            _ => self.cloud.find_dataset(name).await,
        }
    }

    async fn read_jobs(self, declared: &Resources) -> Result<(Resources, Usage), CloudError> {
        let listed;
        let (jobs, schedules) = match self.region() {
            Some(region) => (&region.jobs, &region.schedules),
            None => {
                listed = try_join(self.cloud.list_jobs(), self.cloud.list_schedules()).await?;
                (&listed.0, &listed.1)
            }
        };
        let usage = Usage {
            jobs: jobs.len(),
            schedules: schedules.len(),
            accounts: self.inventory.map(|it| it.accounts.len()),
        };
        let is_declared = |kind, name: &String| {
            let address = Address::new(kind, name);
            declared.contains_key(&address)
        };
        let jobs = jobs
            .iter()
            .map(|(name, listed)| (name, &listed.job))
            .filter(|(name, job)| self.is_ours(Some(&job.owner)) || is_declared(Kind::Job, name));
        let jobs: BTreeMap<_, _> = jobs.collect();
        let schedules = schedules.iter().filter(|(name, schedule)| {
            self.is_ours(Some(&schedule.owner)) || is_declared(Kind::Schedule, name)
        });
        let members = jobs
            .keys()
            .map(|name| self.members_on(Holder::Job(name.to_string())));
        let members = try_join_all(members).await?;
        let jobs = jobs.into_iter().map(|(name, job)| {
            let job = Resource::Job(Box::new(job.clone()));
            (Address::new(Kind::Job, name), job)
        });
        let schedules = schedules.map(|(name, schedule)| {
            let schedule = Resource::Schedule(schedule.clone());
            (Address::new(Kind::Schedule, name), schedule)
        });
        let all = jobs.chain(schedules);
        let all = all.chain(members.into_iter().flatten());
        Ok((all.collect(), usage))
    }

    /// The rights our accounts have on it.
    async fn members_on(self, on: Holder) -> Result<Resources, CloudError> {
        let accounts = self.own_accounts();
        let listed = self
            .inventory
            .and_then(|it| it.policy(&on, &self.cloud.region));
        let members = match listed {
            Some(policy) => members_of(policy, &on, &accounts),
            None => self.cloud.members(on, &accounts).await?,
        };
        Ok(members
            .into_iter()
            .map(|member| (member.address(), Resource::Member(member)))
            .collect())
    }

    fn own_accounts(self) -> Vec<String> {
        let accounts = [
            names::job_account(&self.cloud.client),
            names::trigger_account(&self.cloud.client),
        ];
        accounts
            .map(|account| names::account_email(&account, &self.cloud.project))
            .to_vec()
    }

    fn is_ours(self, owner: Option<&Owner>) -> bool {
        owner.is_some_and(|owner| owner.client.as_ref() == Some(&self.cloud.client))
    }

    fn region(&self) -> Option<&Region> {
        self.inventory?.region(&self.cloud.region)
    }
}

/// `<pipeline>/bundle/<hash>.json`
fn is_bundle(object: &str) -> bool {
    object.split('/').nth(1) == Some("bundle")
}

fn named(resources: &Resources, kind: Kind) -> impl Iterator<Item = &str> {
    let addresses = resources.keys().filter(move |address| address.kind == kind);
    addresses.map(|address| address.name.as_str())
}

fn together(kind: Kind, found: impl IntoIterator<Item = (String, Option<Resource>)>) -> Resources {
    found
        .into_iter()
        .filter_map(|(name, resource)| Some((Address::new(kind, name), resource?)))
        .collect()
}
