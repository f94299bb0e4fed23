//! What a project's lists say, so that many clients are read with few calls.
//!
//! A list costs one call a page, whatever the number of clients; reading each resource
//! would cost a thousand clients ten thousand calls, which no quota allows. What no list
//! tells (policies, datasets' rights, whether a secret holds a value) comes from `assets`,
//! where that API is on, and is read one by one where it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{try_join, try_join_all};
use google_cloud_gax::error::Error as GaxError;
use google_cloud_gax::paginator::ItemPaginator;
use google_cloud_iam_v1::model::Policy;

use super::accounts::account_of;
use super::alerts::Alerts;
use super::assets::Assets;
use super::buckets::bucket_of;
use super::datasets::Found;
use super::jobs::ListedJob;
use super::repositories::repository_of;
use super::{Cloud, CloudError, Connection, last_part, secrets};
use crate::plan::quota::Usage;
use crate::resource::{Holder, Owner, Resource, Resources, Schedule};

/// What there is in a project, by name; of all clients, and of others.
#[derive(Debug, Default)]
pub struct Inventory {
    pub(super) apis: BTreeSet<String>,
    pub(super) accounts: BTreeMap<String, Resource>,
    pub(super) buckets: BTreeMap<String, Resource>,
    pub(super) secrets: BTreeMap<String, Resource>,
    /// Whose each dataset is.
    pub(super) datasets: BTreeMap<String, Owner>,
    pub(super) policy: Option<Policy>,
    pub(super) assets: Assets,
    pub(super) alerts: Alerts,
    regions: BTreeMap<String, Region>,
}

/// What there is in one of its regions.
#[derive(Debug, Default)]
pub(super) struct Region {
    pub repositories: BTreeMap<String, Resource>,
    pub jobs: BTreeMap<String, ListedJob>,
    pub schedules: BTreeMap<String, Schedule>,
}

/// Where something of a client was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    pub client: String,
    /// The region of its jobs, schedules and repository; the bucket's where it has none.
    pub region: Option<String>,
}

impl Inventory {
    pub(super) fn region(&self, name: &str) -> Option<&Region> {
        self.regions.get(name)
    }

    /// The datasets of a client.
    pub(super) fn datasets_of<'a>(&'a self, client: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.datasets.iter();
        let ours = all.filter(move |(_, owner)| owner.client.as_deref() == Some(client));
        ours.map(|(name, _)| name.as_str())
    }

    /// The policy of what the assets know; the project's own was read.
    pub(super) fn policy(&self, on: &Holder, region: &str) -> Option<&Policy> {
        match on {
            Holder::Project => self.policy.as_ref(),
            on => self.assets.policy(on, region),
        }
    }

    pub(super) fn dataset(&self, name: &str) -> Option<&Found> {
        self.assets.dataset(name)
    }

    /// Whether the details came from lists as well.
    pub fn has_assets(&self) -> bool {
        self.assets.are_known()
    }

    /// The jobs of a region by name.
    pub fn jobs(&self, region: &str) -> impl Iterator<Item = (&String, &ListedJob)> {
        let jobs = self.regions.get(region).map(|region| region.jobs.iter());
        jobs.into_iter().flatten()
    }

    pub fn schedule(&self, region: &str, name: &str) -> Option<&Schedule> {
        self.regions.get(region)?.schedules.get(name)
    }

    pub fn has_dataset(&self, name: &str) -> bool {
        self.datasets.contains_key(name)
    }

    /// Whom the alerts of a client tell, as far as xetl made the channels.
    pub fn emails(&self, client: &str) -> BTreeSet<String> {
        let alerts = self.alerts.of(client, &Resources::new());
        let alerts = alerts.into_values().filter_map(|it| match it {
            Resource::Alert(alert) => Some(alert.emails),
            _ => None,
        });
        alerts.flatten().collect()
    }

    /// A job of a region.
    pub fn job(&self, region: &str, name: &str) -> Option<&ListedJob> {
        self.regions.get(region)?.jobs.get(name)
    }

    /// Of what Google limits, of all clients.
    pub fn usage(&self, region: &str) -> Usage {
        let region = self.regions.get(region);
        Usage {
            jobs: region.map_or(0, |it| it.jobs.len()),
            schedules: region.map_or(0, |it| it.schedules.len()),
            accounts: Some(self.accounts.len()),
        }
    }

    /// The clients that have something here that says so, each once.
    pub fn clients(&self) -> Vec<Sighting> {
        let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (region, owner) in self.owners() {
            let Some(client) = &owner.client else {
                continue;
            };
            let known = found.entry(client.clone()).or_default();
            *known = known.take().or(region.map(str::to_owned));
        }
        let sightings = found.into_iter();
        sightings
            .map(|(client, region)| Sighting { client, region })
            .collect()
    }

    /// Whether there are jobs of a client in the regions that were listed.
    pub fn has_jobs_of(&self, client: &str) -> bool {
        let mut jobs = self.regions.values().flat_map(|it| it.jobs.values());
        jobs.any(|it| it.job.owner.client.as_deref() == Some(client))
    }

    /// All owners, those first whose region is certain.
    fn owners(&self) -> impl Iterator<Item = (Option<&str>, &Owner)> {
        let regional = self.regions.iter().flat_map(|(name, region)| {
            let jobs = region.jobs.values().map(|it| &it.job.owner);
            let schedules = region.schedules.values().map(|schedule| &schedule.owner);
            let repositories = region.repositories.values().filter_map(Resource::owner);
            let all = jobs.chain(schedules).chain(repositories);
            all.map(|owner| (Some(name.as_str()), owner))
        });
        let placed = self.buckets.values();
        let placed = placed.filter_map(|bucket| Some((bucket.location(), bucket.owner()?)));
        let others = self.accounts.values().chain(self.secrets.values());
        let others = others.filter_map(Resource::owner);
        let others = others.chain(self.datasets.values());
        regional
            .chain(placed)
            .chain(others.map(|owner| (None, owner)))
    }
}

impl Cloud {
    /// Lists all there is in a project, and in these regions of it.
    pub async fn inventory(
        connection: &Arc<Connection>,
        project: &str,
        regions: &BTreeSet<String>,
    ) -> Result<Inventory, CloudError> {
        // Of no client: what is listed is everybody's.
        let cloud = Cloud::new(connection.clone(), "", project, "");
        let regional = try_join_all(regions.iter().map(|region| {
            let cloud = Cloud::new(connection.clone(), "", project, region);
            async move { Ok::<_, CloudError>((region.clone(), cloud.list_region().await?)) }
        }));
        let named = try_join(
            try_join(cloud.list_apis(), cloud.list_accounts()),
            try_join(cloud.named_buckets(), cloud.list_all_secrets()),
        );
        let rights = try_join(
            cloud.list_all_datasets(),
            try_join(
                cloud.project_policy(),
                try_join(cloud.list_assets(), cloud.list_alerts()),
            ),
        );
        let ((named, rights), regional) = try_join(try_join(named, rights), regional).await?;
        let ((apis, accounts), (buckets, secrets)) = named;
        let (datasets, (policy, (assets, alerts))) = rights;
        Ok(Inventory {
            apis,
            accounts,
            buckets,
            secrets,
            datasets,
            policy,
            assets,
            alerts,
            regions: regional.into_iter().collect(),
        })
    }

    async fn list_region(&self) -> Result<Region, CloudError> {
        let (repositories, (jobs, schedules)) = try_join(
            self.list_repositories(),
            try_join(self.list_jobs(), self.list_schedules()),
        )
        .await?;
        Ok(Region {
            repositories,
            jobs,
            schedules,
        })
    }

    async fn project_policy(&self) -> Result<Option<Policy>, CloudError> {
        match self.policy(&Holder::Project).await {
            Ok(policy) => Ok(Some(policy)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list_accounts(&self) -> Result<BTreeMap<String, Resource>, CloudError> {
        let list = self.accounts().await?.list_service_accounts();
        let list = list.set_name(self.in_project("")).set_page_size(100);
        let mut items = list.by_item();
        let next = async || items.next().await;
        self.listed("accounts", next, |account| {
            let name = account.email.split('@').next().unwrap_or_default();
            (name.to_owned(), account_of(&account))
        })
        .await
    }

    async fn list_all_secrets(&self) -> Result<BTreeMap<String, Resource>, CloudError> {
        let list = self.secrets().await?.list_secrets();
        let mut items = list
            .set_parent(self.in_project(""))
            .set_page_size(PAGE)
            .by_item();
        self.listed(
            "secrets",
            async || items.next().await,
            |secret| (last_part(&secret.name), secrets::resource(&secret)),
        )
        .await
    }

    async fn list_all_datasets(&self) -> Result<BTreeMap<String, Owner>, CloudError> {
        let list = self.datasets().await?.list_datasets();
        let mut items = list
            .set_project_id(&self.project)
            .set_max_results(PAGE as u32)
            .by_item();
        self.listed(
            "datasets",
            async || items.next().await,
            |item| {
                let name = item.dataset_reference.map(|it| it.dataset_id);
                (name.unwrap_or_default(), Owner::of_labels(&item.labels))
            },
        )
        .await
    }

    async fn list_repositories(&self) -> Result<BTreeMap<String, Resource>, CloudError> {
        let list = self.repositories().await?.list_repositories();
        let mut items = list
            .set_parent(self.in_region(""))
            .set_page_size(PAGE)
            .by_item();
        self.listed(
            "repositories",
            async || items.next().await,
            |repository| (last_part(&repository.name), repository_of(&repository)),
        )
        .await
    }

    async fn named_buckets(&self) -> Result<BTreeMap<String, Resource>, CloudError> {
        let found = self.list_buckets().await?;
        let named = found.iter().map(|bucket| {
            let name = bucket["name"].as_str().unwrap_or_default();
            (name.to_owned(), bucket_of(bucket))
        });
        Ok(named.collect())
    }

    /// All of a list by name; none where its API is off or the project is not there.
    pub(super) async fn listed<T, V>(
        &self,
        what: &str,
        mut next: impl AsyncFnMut() -> Option<Result<T, GaxError>>,
        of: impl Fn(T) -> (String, V),
    ) -> Result<BTreeMap<String, V>, CloudError> {
        let what = format!("{what} of project {}", self.project);
        let mut found = BTreeMap::new();
        while let Some(item) = next().await {
            match item.map_err(self.failed(&what)) {
                Ok(item) => found.extend([of(item)]),
                Err(error) if error.is_absent() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

/// Items a page; where a service allows fewer, it gives fewer.
pub(super) const PAGE: i32 = 1000;
