//! What a client has: looked up by the names it should have, and found by
//! labels where the name is not declared any more. All at the same time.

use std::collections::BTreeSet;

use futures::future::{try_join, try_join_all};

use super::{Cloud, CloudError, missing};
use crate::names;
use crate::resource::{Address, Holder, Kind, Member, Object, Resource, Resources};

/// What a client has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Actual {
    pub resources: Resources,
    /// Names of its secrets that hold no readable value.
    pub empty_secrets: BTreeSet<String>,
}

impl Cloud {
    /// What of `declared` there is, and what else carries the client's labels.
    pub async fn read(&self, declared: &Resources) -> Result<Actual, CloudError> {
        let ((once, secrets), (datasets, jobs)) = try_join(
            try_join(self.read_once(declared), self.read_secrets(declared)),
            try_join(self.read_datasets(declared), self.read_jobs(declared)),
        )
        .await?;
        let mut actual = secrets;
        for resources in [once, datasets, jobs] {
            actual.resources.extend(resources);
        }
        Ok(actual)
    }

    /// What a client has once: APIs, accounts, bucket, repository, rights on the project.
    async fn read_once(&self, declared: &Resources) -> Result<Resources, CloudError> {
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

    async fn read_accounts(&self) -> Result<Resources, CloudError> {
        let names = [
            names::job_account(&self.client),
            names::trigger_account(&self.client),
        ];
        let found = try_join_all(names.iter().map(|name| self.find_account(name))).await?;
        Ok(together(Kind::ServiceAccount, names.into_iter().zip(found)))
    }

    async fn read_bucket(&self) -> Result<Resources, CloudError> {
        let name = names::bucket(&self.project, &self.client);
        let ((bucket, members), bundles) = try_join(
            try_join(
                self.find_bucket(&name),
                self.members_on(Holder::Bucket(name.clone())),
            ),
            self.read_bundles(&name),
        )
        .await?;
        let mut resources = together(Kind::Bucket, [(name, bucket)]);
        resources.extend(members);
        resources.extend(bundles);
        Ok(resources)
    }

    async fn read_bundles(&self, bucket: &str) -> Result<Resources, CloudError> {
        let pipelines = self.list_folders(bucket).await?;
        let list = |pipeline: &String| {
            let prefix = format!("{pipeline}/bundle/");
            async move { self.list_objects(bucket, &prefix).await }
        };
        let objects = try_join_all(pipelines.iter().map(list)).await?;
        let mut resources = Resources::new();
        for (pipeline, names) in pipelines.iter().zip(objects) {
            for name in names {
                let address = Address::new(Kind::Bundle, format!("gs://{bucket}/{name}"));
                let object = Object {
                    bucket: bucket.to_owned(),
                    name,
                    pipeline: pipeline.clone(),
                    ..Object::default()
                };
                resources.insert(address, Resource::Bundle { object });
            }
        }
        Ok(resources)
    }

    async fn read_repository(&self, declared: &Resources) -> Result<Resources, CloudError> {
        let name = names::repository(&self.client);
        let images: Vec<_> = named(declared, Kind::Image).collect();
        let (repository, found) = try_join(
            self.find_repository(&name),
            try_join_all(images.iter().map(|image| self.has_image(image))),
        )
        .await?;
        let mut resources = together(Kind::Repository, [(name, repository)]);
        for (image, found) in images.into_iter().zip(found) {
            if found {
                resources.insert(Address::new(Kind::Image, image), Resource::Image);
            }
        }
        Ok(resources)
    }

    async fn read_secrets(&self, declared: &Resources) -> Result<Actual, CloudError> {
        let mut found = self.list_secrets().await?;
        let names = found.iter().map(|(name, _)| name.clone()).collect();
        let others = missing(named(declared, Kind::Secret), &names);
        let secrets = try_join_all(others.iter().map(|name| self.find_secret(name))).await?;
        for (name, secret) in others.into_iter().zip(secrets) {
            found.extend(secret.map(|secret| (name.to_owned(), secret)));
        }
        let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
        let (values, members) = try_join(
            try_join_all(names.iter().map(|name| self.secret_has_value(name))),
            try_join_all(
                names
                    .iter()
                    .map(|name| self.members_on(Holder::Secret(name.clone()))),
            ),
        )
        .await?;
        let empty = names.iter().zip(values).filter(|(_, has_value)| !has_value);
        Ok(Actual {
            empty_secrets: empty.map(|(name, _)| name.clone()).collect(),
            resources: found
                .into_iter()
                .map(|(name, secret)| (Address::new(Kind::Secret, name), secret))
                .chain(members.into_iter().flatten())
                .collect(),
        })
    }

    async fn read_datasets(&self, declared: &Resources) -> Result<Resources, CloudError> {
        let mut names: BTreeSet<String> = self.list_datasets().await?.into_iter().collect();
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

    async fn read_jobs(&self, declared: &Resources) -> Result<Resources, CloudError> {
        let jobs: Vec<_> = named(declared, Kind::Job).collect();
        let schedules: Vec<_> = named(declared, Kind::Schedule).collect();
        let (jobs, schedules) =
            try_join(self.list_jobs(&jobs), self.list_schedules(&schedules)).await?;
        let members = jobs
            .keys()
            .map(|name| self.members_on(Holder::Job(name.clone())));
        let members = try_join_all(members).await?;
        let jobs = jobs
            .into_iter()
            .map(|(name, job)| (Address::new(Kind::Job, name), Resource::Job(Box::new(job))));
        let schedules = schedules
            .into_iter()
            .map(|(name, it)| (Address::new(Kind::Schedule, name), Resource::Schedule(it)));
        Ok(jobs
            .chain(schedules)
            .chain(members.into_iter().flatten())
            .collect())
    }

    /// The rights our accounts have on it.
    async fn members_on(&self, on: Holder) -> Result<Resources, CloudError> {
        let members = self.members(on, &self.own_accounts()).await?;
        Ok(members
            .into_iter()
            .map(|member| (member.address(), Resource::Member(member)))
            .collect())
    }

    fn own_accounts(&self) -> Vec<String> {
        let accounts = [
            names::job_account(&self.client),
            names::trigger_account(&self.client),
        ];
        accounts
            .map(|account| names::account_email(&account, &self.project))
            .to_vec()
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

    async fn holds_data(&self, address: &Address, actual: &Actual) -> Result<bool, CloudError> {
        let name = &address.name;
        match address.kind {
            Kind::Secret => Ok(!actual.empty_secrets.contains(name)),
            Kind::Dataset => self.dataset_has_tables(name).await,
            _ => {
                let objects = self.list_objects(name, "").await?;
                Ok(objects.iter().any(|object| !is_bundle(object)))
            }
        }
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
