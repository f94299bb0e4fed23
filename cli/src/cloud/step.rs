//! Carrying out one step of a plan.

use std::collections::BTreeSet;

use super::{Cloud, CloudError};
use crate::plan::{Change, Step};
use crate::resource::{Address, Kind, Resource};

/// Kinds that can be looked up by their names.
const KNOWN: [Kind; 7] = [
    Kind::ServiceAccount,
    Kind::Bucket,
    Kind::Secret,
    Kind::Repository,
    Kind::Dataset,
    Kind::Job,
    Kind::Schedule,
];

impl Cloud {
    /// Does what the step says. Done already is done; images are `image`'s business.
    ///
    /// `lose` are the kinds that may be deleted with the data they hold.
    pub async fn carry_out(&self, step: &Step, lose: &BTreeSet<Kind>) -> Result<(), CloudError> {
        let address = &step.address;
        match &step.change {
            Change::Create { after } => self.create_or_adopt(address, after).await,
            Change::Update { after, .. } => self.update(address, after).await,
            Change::Replace { before, after } => {
                self.check_empty(address).await?;
                self.delete_or_miss(address, before).await?;
                self.create_or_adopt(address, after).await
            }
            Change::Delete { before } => {
                if address.kind.holds_data() && !lose.contains(&address.kind) {
                    self.check_empty(address).await?;
                }
                self.delete_or_miss(address, before).await
            }
            Change::Keep { .. } | Change::Refuse { .. } => Ok(()),
        }
    }

    async fn create_or_adopt(&self, address: &Address, after: &Resource) -> Result<(), CloudError> {
        match self.create(address, after).await {
            Err(error) if error.already_exists() && error.lag().is_none() => {
                self.adopt(address, after, error).await
            }
            result => result,
        }
    }

    async fn delete_or_miss(&self, address: &Address, before: &Resource) -> Result<(), CloudError> {
        match self.delete(address, before).await {
            Err(error) if error.is_absent() => Ok(()),
            result => result,
        }
    }

    /// It was empty when the plan was made; data that came since must not be lost.
    async fn check_empty(&self, address: &Address) -> Result<(), CloudError> {
        match self.holds_data_now(address).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(CloudError::Unusable {
                what: address.to_string(),
                problem: "holds data by now, which would be lost; plan again".to_owned(),
            }),
            Err(error) if error.is_absent() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, address: &Address, after: &Resource) -> Result<(), CloudError> {
        let name = &address.name;
        match after {
            Resource::Api => self.enable_apis(std::slice::from_ref(name)).await,
            Resource::ServiceAccount(account) => self.create_account(name, &account.owner).await,
            Resource::Bucket(bucket) => self.create_bucket(name, bucket).await,
            Resource::Secret(secret) => self.create_secret(name, secret).await,
            Resource::Repository(repository) => self.create_repository(name, repository).await,
            Resource::Dataset(dataset) => self.create_dataset(name, dataset).await,
            Resource::Member(member) => self.grant(member).await,
            Resource::Image => Ok(()),
            Resource::Bundle { object } => self.write_object(object).await,
            Resource::Job(job) => self.create_job(name, job).await,
            Resource::Schedule(schedule) => self.create_schedule(name, schedule).await,
            Resource::Channel(channel) => self.put_channel(name, channel).await,
            Resource::Metric(metric) => self.put_metric(name, metric).await,
            Resource::Alert(alert) => self.put_alert(name, alert).await,
        }
    }

    async fn update(&self, address: &Address, after: &Resource) -> Result<(), CloudError> {
        let name = &address.name;
        match after {
            Resource::ServiceAccount(account) => self.update_account(name, &account.owner).await,
            Resource::Bucket(bucket) => self.update_bucket(name, bucket).await,
            Resource::Secret(secret) => self.update_secret(name, secret).await,
            Resource::Repository(repository) => self.update_repository(name, repository).await,
            Resource::Dataset(dataset) => self.update_dataset(name, dataset).await,
            Resource::Job(job) => self.update_job(name, job).await,
            Resource::Schedule(schedule) => self.update_schedule(name, schedule).await,
            Resource::Channel(channel) => self.put_channel(name, channel).await,
            Resource::Metric(metric) => self.put_metric(name, metric).await,
            Resource::Alert(alert) => self.put_alert(name, alert).await,
            // These have nothing to change: there or not.
            Resource::Api | Resource::Member(_) | Resource::Image | Resource::Bundle { .. } => {
                self.create(address, after).await
            }
        }
    }

    async fn delete(&self, address: &Address, before: &Resource) -> Result<(), CloudError> {
        let name = &address.name;
        match before {
            Resource::Api | Resource::Image => Ok(()),
            Resource::ServiceAccount(_) => self.delete_account(name).await,
            Resource::Bucket(_) => self.delete_bucket(name).await,
            Resource::Secret(_) => self.delete_secret(name).await,
            Resource::Repository(_) => self.delete_repository(name).await,
            Resource::Dataset(_) => self.delete_dataset(name).await,
            Resource::Member(member) => self.revoke(member).await,
            Resource::Bundle { object } => self.delete_object(&object.bucket, &object.name).await,
            Resource::Job(_) => self.delete_job(name).await,
            Resource::Schedule(_) => self.delete_schedule(name).await,
            Resource::Channel(_) => self.delete_channel(name).await,
            Resource::Metric(_) => self.delete_metric(name).await,
            Resource::Alert(_) => self.delete_alert(name).await,
        }
    }

    /// What a create found there: ours from an earlier try is made right, another's is an error.
    async fn adopt(
        &self,
        address: &Address,
        after: &Resource,
        error: CloudError,
    ) -> Result<(), CloudError> {
        let Some(found) = self.find(address).await? else {
            return Err(match KNOWN.contains(&address.kind) {
                true => error.leaving(),
                false => error,
            });
        };
        if found == *after {
            return Ok(());
        }
        let owners = (found.owner(), after.owner());
        let ours = matches!(owners, (Some(found), Some(after)) if found.client == after.client);
        match ours && found.location() == after.location() {
            true => self.update(address, after).await,
            false => Err(error),
        }
    }

    async fn find(&self, address: &Address) -> Result<Option<Resource>, CloudError> {
        let name = &address.name;
        let found = match address.kind {
            Kind::ServiceAccount => self.find_account(name).await?,
            Kind::Bucket => self.find_bucket(name).await?,
            Kind::Secret => self.find_secret(name).await?,
            Kind::Repository => self.find_repository(name).await?,
            Kind::Dataset => self.find_dataset(name).await?.map(|found| found.resource),
            Kind::Job => self.find_job(name).await?.map(Resource::from),
            Kind::Schedule => self.find_schedule(name).await?.map(Resource::from),
            _ => None,
        };
        Ok(found)
    }
}
