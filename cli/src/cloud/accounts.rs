//! IAM service accounts. They have no labels: the description says whose they are.

use std::time::Duration;

use google_cloud_iam_admin_v1::model::ServiceAccount;
use google_cloud_wkt::FieldMask;

use super::{Cloud, CloudError};
use crate::names;
use crate::resource::{self, Owner, Resource};

/// Looks at a new account until it is seen; mostly the first does.
const LOOKS: u32 = 30;

impl Cloud {
    pub(super) async fn find_account(&self, name: &str) -> Result<Option<Resource>, CloudError> {
        let found = self
            .accounts()
            .await?
            .get_service_account()
            .set_name(self.account_name(name))
            .send()
            .await
            .map_err(self.failed(&format!("account {name}")));
        match found {
            Ok(account) => Ok(Some(account_of(&account))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_account(&self, name: &str, owner: &Owner) -> Result<(), CloudError> {
        let account = ServiceAccount::new()
            .set_display_name(name)
            .set_description(owner.description());
        self.accounts()
            .await?
            .create_service_account()
            .set_name(self.in_project(""))
            .set_account_id(name)
            .set_service_account(account)
            .send()
            .await
            .map_err(self.failed(&format!("account {name}")))?;
        self.await_account(name).await
    }

    /// A new account is not seen everywhere at once; what names it next would fail.
    async fn await_account(&self, name: &str) -> Result<(), CloudError> {
        for _ in 0..LOOKS {
            if self.find_account(name).await?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        Err(CloudError::Unusable {
            what: format!("account {name}"),
            problem: "was made, but is still not to be seen after a minute".to_owned(),
        })
    }

    pub(super) async fn update_account(&self, name: &str, owner: &Owner) -> Result<(), CloudError> {
        let account = ServiceAccount::new()
            .set_name(self.account_name(name))
            .set_description(owner.description());
        self.accounts()
            .await?
            .patch_service_account()
            .set_service_account(account)
            .set_update_mask(FieldMask::default().set_paths(["description"]))
            .send()
            .await
            .map_err(self.failed(&format!("account {name}")))?;
        Ok(())
    }

    pub(super) async fn delete_account(&self, name: &str) -> Result<(), CloudError> {
        self.accounts()
            .await?
            .delete_service_account()
            .set_name(self.account_name(name))
            .send()
            .await
            .map_err(self.failed(&format!("account {name}")))
    }

    fn account_name(&self, name: &str) -> String {
        let email = names::account_email(name, &self.project);
        self.in_project(&format!("serviceAccounts/{email}"))
    }
}

/// The fields we manage of an account that is there.
pub(super) fn account_of(account: &ServiceAccount) -> Resource {
    let owner = Owner::of_description(&account.description);
    resource::ServiceAccount { owner }.into()
}
