//! Service accounts: IAM Admin v1.

mod api;
mod keys;
mod tokens;

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::lag::Lag;
use crate::router::Route;
use crate::store::{Collection, Store};

/// Google's default quota of a project.
const MOST_ACCOUNTS: usize = 100;
const MOST_NAME_BYTES: usize = 100;
const MOST_DESCRIPTION_BYTES: usize = 256;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub name: String,
    pub project_id: String,
    pub unique_id: String,
    pub email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub etag: String,
    pub oauth2_client_id: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// What a caller may write of an account; output fields are taken and ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Draft {
    display_name: Option<String>,
    description: Option<String>,
}

/// The accounts that are there, by email, and those deleted, by unique id.
pub struct Accounts {
    live: Collection<Account>,
    keys: keys::Keys,
    deleted: Collection<Account>,
    pub lag: Lag,
}

impl Accounts {
    pub fn open(store: &Store) -> io::Result<Accounts> {
        Ok(Accounts {
            live: store.collection("accounts")?,
            keys: keys::Keys::open(store)?,
            deleted: store.collection("accounts-deleted")?,
            lag: Lag::default(),
        })
    }

    pub fn count(&self) -> usize {
        self.live.count()
    }

    pub fn exists(&self, email: &str) -> bool {
        self.live.get(email).is_some() && self.lag.shows(email)
    }

    /// An account by its email or unique id.
    pub fn get(&self, email_or_id: &str) -> Option<Account> {
        let found = self.live.get(email_or_id).or_else(|| {
            let named = self.live.select("", |it| it.unique_id == email_or_id);
            named.into_iter().map(|(_, account)| account).next()
        });
        found.filter(|account| self.lag.shows(&account.email))
    }

    /// The account that signed an assertion with one of its keys.
    pub fn signer(&self, assertion: &str) -> Option<String> {
        let email = self.keys.signer(assertion)?;
        let account = self.live.get(&email).filter(|account| !account.disabled)?;
        Some(account.email)
    }

    pub fn list(&self, project: &str) -> Vec<(String, Account)> {
        self.live.select("", |it| it.project_id == project)
    }

    fn create(&self, project: &str, id: &str, draft: Draft) -> Result<Account, ApiError> {
        check_id(id)?;
        check(&draft)?;
        if self.list(project).len() >= MOST_ACCOUNTS {
            return Err(ApiError::resource_exhausted(format!(
                "Maximum number of service accounts on project {project} reached ({MOST_ACCOUNTS})."
            )));
        }
        let account = new_account(project, id, draft);
        self.live.update(&account.email.clone(), |present| {
            if present.is_some() {
                return Err(ApiError::already_exists(format!(
                    "Service account {id} already exists within project projects/{project}."
                )));
            }
            self.lag.made(&account.email);
            *present = Some(account.clone());
            Ok(account)
        })
    }

    fn change(&self, email: &str, change: impl FnOnce(&mut Account)) -> Result<Account, ApiError> {
        self.live.update(email, |account| {
            let account = account.as_mut().ok_or_else(|| missing(email))?;
            change(account);
            account.etag = new_etag();
            Ok(account.clone())
        })
    }

    fn delete(&self, account: &Account) -> Result<(), ApiError> {
        self.deleted.put(&account.unique_id, account.clone())?;
        self.live.remove(&account.email)?;
        Ok(())
    }

    fn undelete(&self, unique_id: &str) -> Result<Account, ApiError> {
        let account = self
            .deleted
            .get(unique_id)
            .ok_or_else(|| missing(unique_id))?;
        self.live.update(&account.email.clone(), |present| {
            if present.is_some() {
                return Err(ApiError::failed_precondition(format!(
                    "A service account named {} exists again; it cannot be restored.",
                    account.email
                )));
            }
            *present = Some(account.clone());
            Ok(())
        })?;
        self.deleted.remove(unique_id)?;
        Ok(account)
    }
}

/// The IAM API.
pub fn routes() -> Vec<Route> {
    api::routes().into_iter().chain(keys::routes()).collect()
}

pub use tokens::{oauth_routes, routes as token_routes};

fn new_account(project: &str, id: &str, draft: Draft) -> Account {
    // A domain-scoped project `example.com:p` turns round in emails: `p.example.com`.
    let host = match project.split_once(':') {
        Some((domain, project)) => format!("{project}.{domain}"),
        None => project.to_owned(),
    };
    let email = format!("{id}@{host}.iam.gserviceaccount.com");
    let unique_id = format!("1{:020}", rand::random::<u64>());
    Account {
        name: format!("projects/{project}/serviceAccounts/{email}"),
        project_id: project.to_owned(),
        oauth2_client_id: unique_id.clone(),
        unique_id,
        email,
        display_name: draft.display_name.unwrap_or_default(),
        description: draft.description.unwrap_or_default(),
        etag: new_etag(),
        disabled: false,
    }
}

/// `[a-z]([-a-z0-9]*[a-z0-9])`, 6 to 30 characters.
fn check_id(id: &str) -> Result<(), ApiError> {
    let inner =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let well_formed = (6..=30).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_lowercase())
        && !id.ends_with('-')
        && id.chars().all(inner);
    if well_formed {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "The account ID \"{id}\" does not have a length between 6 and 30, or is not of the form \
         [a-z]([-a-z0-9]*[a-z0-9])."
    )))
}

fn check(draft: &Draft) -> Result<(), ApiError> {
    let too_long =
        |text: &Option<String>, most: usize| text.as_ref().is_some_and(|text| text.len() > most);
    if too_long(&draft.display_name, MOST_NAME_BYTES) {
        return Err(ApiError::invalid(
            "The display name is longer than 100 bytes.",
        ));
    }
    if too_long(&draft.description, MOST_DESCRIPTION_BYTES) {
        return Err(ApiError::invalid(
            "The description is longer than 256 bytes.",
        ));
    }
    Ok(())
}

fn missing(account: &str) -> ApiError {
    ApiError::not_found(format!("Unknown service account: {account}"))
}

fn new_etag() -> String {
    STANDARD.encode(rand::random::<u64>().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(folder: &tempfile::TempDir) -> Accounts {
        Accounts::open(&Store::open(folder.path()).unwrap()).unwrap()
    }

    #[test]
    fn an_account_comes_back_under_its_unique_id() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = accounts(&folder);
        let made = accounts
            .create("acme-prod", "runner", Draft::default())
            .unwrap();
        assert_eq!(made.email, "runner@acme-prod.iam.gserviceaccount.com");
        accounts.delete(&made).unwrap();
        assert!(!accounts.exists(&made.email));
        accounts.undelete(&made.unique_id).unwrap();
        assert!(accounts.exists(&made.email));
    }

    #[test]
    fn a_second_account_of_the_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = accounts(&folder);
        accounts
            .create("acme-prod", "runner", Draft::default())
            .unwrap();
        let error = accounts
            .create("acme-prod", "runner", Draft::default())
            .unwrap_err();
        assert_eq!(error.status, "ALREADY_EXISTS");
    }

    #[test]
    fn an_account_id_has_6_to_30_characters() {
        for id in [
            "short",
            "Runner",
            "1runner",
            "runner-",
            &"a".repeat(31),
            "run_ner",
        ] {
            assert!(check_id(id).is_err(), "{id}");
        }
        assert!(check_id("xetl-run-acme").is_ok());
    }
}
