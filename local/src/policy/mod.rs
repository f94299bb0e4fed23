//! IAM policies of every resource, read and set as Google's services do.
//!
//! Knows resources only by their names; whether one exists is its service's matter.

mod api;
mod asked;
mod tidy;

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use api::{get_iam_policy, require, set_iam_policy, test_iam_permissions, tested};
pub use asked::routes as asked_routes;

use crate::accounts::Accounts;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::lag::Lag;
use crate::roles;
use crate::store::{Collection, Store};
use asked::Asked;
use tidy::{is_google_managed, tidy};

/// The etag of a policy nobody has set.
const UNSET: &str = "ACAB";

/// Who has which roles on a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    #[serde(default)]
    pub version: u8,
    #[serde(default)]
    pub etag: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit_configs: Vec<Value>,
}

/// Members that have a role, perhaps under a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    pub role: String,
    #[serde(default)]
    pub members: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Value>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            version: 1,
            etag: UNSET.to_owned(),
            bindings: Vec::new(),
            audit_configs: Vec::new(),
        }
    }
}

/// All policies, by resource name (`projects/P/secrets/S`, `buckets/B`).
pub struct Policies {
    policies: Collection<Policy>,
    accounts: Arc<Accounts>,
    pub lag: Lag,
    asked: Asked,
}

impl Policies {
    pub fn open(store: &Store, accounts: Arc<Accounts>) -> io::Result<Policies> {
        Ok(Policies {
            policies: store.collection("policies")?,
            accounts,
            lag: Lag::default(),
            asked: Asked::default(),
        })
    }

    pub fn get(&self, resource: &str) -> Policy {
        self.policies.get(resource).unwrap_or_default()
    }

    /// Replaces a policy; without an etag it overwrites whatever is there.
    ///
    /// # Errors
    /// `ABORTED` when the etag is not the present policy's, `INVALID_ARGUMENT` for a
    /// member that does not exist or is ill-formed.
    pub fn set(&self, resource: &str, policy: Policy) -> Result<Policy, ApiError> {
        let sent_etag = policy.etag.clone();
        let policy = tidy(policy)?;
        for member in policy.bindings.iter().flat_map(|binding| &binding.members) {
            self.check_member(member)?;
        }
        self.policies.update(resource, |present| {
            let present_etag = present.as_ref().map_or(UNSET, |policy| &policy.etag);
            if !sent_etag.is_empty() && !is_same(&sent_etag, present_etag) {
                return Err(ApiError::aborted(
                    "There were concurrent policy changes. Please retry the whole \
                     read-modify-write with exponential backoff.",
                ));
            }
            let before = present.replace(policy.clone()).unwrap_or_default();
            for (role, member) in policy.grants().filter(|grant| !before.has(grant)) {
                self.lag.made(&lagging(resource, role, member));
            }
            Ok(policy)
        })
    }

    /// Whether `member` has `role` on the resource or on its project.
    ///
    /// Conditions are not evaluated: a conditional binding grants nothing here.
    pub fn grants(&self, resource: &str, role: &str, member: &str) -> bool {
        self.roles(resource, member).iter().any(|held| held == role)
    }

    /// The roles of `member` on the resource and on its project.
    pub fn roles(&self, resource: &str, member: &str) -> Vec<String> {
        std::iter::once(resource)
            .chain(project_of(resource).filter(|project| *project != resource))
            .flat_map(|resource| self.roles_on(resource, member))
            .collect()
    }

    fn roles_on(&self, resource: &str, member: &str) -> Vec<String> {
        let bindings = self.get(resource).bindings.into_iter();
        let held = bindings.filter(|it| it.condition.is_none() && it.covers(member));
        held.map(|binding| binding.role)
            .filter(|role| self.lag.shows(&lagging(resource, role, member)))
            .collect()
    }

    /// Whether a caller who wants to do this may.
    pub fn permits(&self, resource: &str, permission: &str, caller: &Caller) -> bool {
        self.asked.note(caller, permission);
        self.would_permit(resource, permission, caller)
    }

    /// Whether a caller may do this: the user may do everything, an account what its roles say.
    fn would_permit(&self, resource: &str, permission: &str, caller: &Caller) -> bool {
        let Caller::ServiceAccount(_) = caller else {
            return true;
        };
        self.roles(resource, &caller.member())
            .iter()
            .any(|role| roles::contains(role, permission))
    }

    /// Whether a caller may have something run as this account, which must exist.
    pub fn may_act_as(&self, caller: &Caller, email: &str) -> bool {
        let account = self.accounts.get(email);
        account.is_some_and(|it| self.permits(&it.name, "iam.serviceAccounts.actAs", caller))
    }

    /// Drops the policy of a resource that is gone.
    pub fn forget(&self, resource: &str) -> io::Result<()> {
        self.policies.remove(resource).map(|_| ())
    }

    /// Renames a member everywhere, as Google does when an account is deleted or comes back.
    pub fn rename_member(&self, from: &str, to: &str) -> Result<(), ApiError> {
        for (resource, _) in self.policies.list("") {
            self.policies.update(&resource, |policy| {
                if let Some(policy) = policy {
                    policy.rename_member(from, to);
                }
                Ok::<_, ApiError>(())
            })?;
        }
        Ok(())
    }

    fn check_member(&self, member: &str) -> Result<(), ApiError> {
        match member.strip_prefix("serviceAccount:") {
            Some(email) if !self.accounts.exists(email) && !is_google_managed(email) => Err(
                ApiError::invalid(format!("Service account {email} does not exist.")),
            ),
            _ => Ok(()),
        }
    }
}

/// A grant, as the lag knows it.
fn lagging(resource: &str, role: &str, member: &str) -> String {
    format!("{resource} {role} {member}")
}

impl Policy {
    /// Each role with each of its members.
    fn grants(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings.iter().flat_map(|binding| {
            let members = binding.members.iter();
            members.map(|member| (binding.role.as_str(), member.as_str()))
        })
    }

    fn has(&self, grant: &(&str, &str)) -> bool {
        self.grants().any(|it| it == *grant)
    }

    fn rename_member(&mut self, from: &str, to: &str) {
        let members = self
            .bindings
            .iter_mut()
            .flat_map(|binding| &mut binding.members);
        let mut renamed = false;
        for member in members.filter(|member| *member == from) {
            *member = to.to_owned();
            renamed = true;
        }
        if renamed {
            self.etag = new_etag();
        }
    }

    /// The policy as a reader of `version` sees it: below 3 there are no conditions.
    pub fn seen_at(mut self, version: u8) -> Policy {
        if version < 3 && self.version == 3 {
            self.version = 1;
            for (index, binding) in self.bindings.iter_mut().enumerate() {
                if binding.condition.take().is_some() {
                    binding.role = format!("{}_withcond_{index:020x}", binding.role);
                }
            }
        }
        self
    }
}

impl Binding {
    fn covers(&self, member: &str) -> bool {
        self.members
            .iter()
            .any(|held| held == member || held == "allUsers" || held == "allAuthenticatedUsers")
    }
}

fn project_of(resource: &str) -> Option<&str> {
    let rest = resource.strip_prefix("projects/")?;
    let end = rest
        .find('/')
        .map_or(resource.len(), |at| at + "projects/".len());
    Some(&resource[..end])
}

/// Whether two texts are the same bytes: gcloud sends back in base64's other alphabet what it read.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace('-', "+").replace('_', "/");
    plain(one).trim_end_matches('=') == plain(other).trim_end_matches('=')
}

fn new_etag() -> String {
    STANDARD.encode(rand::random::<u64>().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policies(folder: &tempfile::TempDir) -> Policies {
        let store = Store::open(folder.path()).unwrap();
        let accounts = Arc::new(Accounts::open(&store).unwrap());
        Policies::open(&store, accounts).unwrap()
    }

    fn policy(etag: &str, bindings: Value) -> Policy {
        serde_json::from_value(json!({"etag": etag, "bindings": bindings})).unwrap()
    }

    #[test]
    fn a_lost_race_is_aborted_and_no_etag_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let policies = policies(&folder);
        let mine = json!([{"role": "roles/viewer", "members": ["user:A@x.com"]}]);
        let first = policies
            .set("projects/p", policy(UNSET, mine.clone()))
            .unwrap();
        assert_eq!(first.bindings[0].members, ["user:a@x.com"]);
        let lost = policies
            .set("projects/p", policy(UNSET, mine.clone()))
            .unwrap_err();
        assert_eq!(lost.status, "ABORTED");
        policies
            .set("projects/p", policy("", mine.clone()))
            .unwrap();
        let gone = policies
            .set("projects/p", policy(&first.etag, mine))
            .unwrap_err();
        assert_eq!(gone.code, 409);
    }

    #[test]
    fn an_etag_is_bytes_in_either_alphabet_of_base64() {
        assert!(is_same("Bw-_1A==", "Bw+/1A=="));
        assert!(!is_same("Bw-_1A==", "Bw+/1B=="));
    }

    #[test]
    fn an_account_that_does_not_exist_gets_no_role() {
        let folder = tempfile::tempdir().unwrap();
        let policies = policies(&folder);
        let bind =
            |member: &str| policy("", json!([{"role": "roles/viewer", "members": [member]}]));
        let error = policies
            .set(
                "projects/p",
                bind("serviceAccount:a@p.iam.gserviceaccount.com"),
            )
            .unwrap_err();
        assert_eq!(
            error.message,
            "Service account a@p.iam.gserviceaccount.com does not exist."
        );
        let agent = "serviceAccount:service-1@gcp-sa-cloudscheduler.iam.gserviceaccount.com";
        assert!(policies.set("projects/p", bind(agent)).is_ok());
        assert!(policies.set("projects/p", bind("somebody")).is_err());
    }

    #[test]
    fn bindings_of_one_role_become_one() {
        let folder = tempfile::tempdir().unwrap();
        let set = policies(&folder)
            .set(
                "buckets/b",
                policy(
                    "",
                    json!([
                        {"role": "roles/viewer", "members": ["user:b@x.com", "user:a@x.com"]},
                        {"role": "roles/viewer", "members": ["user:a@x.com"]},
                        {"role": "roles/editor", "members": []},
                    ]),
                ),
            )
            .unwrap();
        assert_eq!(set.bindings.len(), 1);
        assert_eq!(set.bindings[0].members, ["user:a@x.com", "user:b@x.com"]);
    }

    #[test]
    fn a_role_on_the_project_counts_on_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let policies = policies(&folder);
        let bindings = json!([{"role": "roles/viewer", "members": ["user:a@x.com"]}]);
        policies.set("projects/p", policy("", bindings)).unwrap();
        assert!(policies.grants("projects/p/secrets/s", "roles/viewer", "user:a@x.com"));
        assert!(!policies.grants("projects/pp/secrets/s", "roles/viewer", "user:a@x.com"));
    }

    #[test]
    fn conditions_need_version_3_to_be_written_and_seen() {
        let folder = tempfile::tempdir().unwrap();
        let policies = policies(&folder);
        let mut conditional = policy(
            "",
            json!([{"role": "roles/viewer", "members": ["user:a@x.com"],
                    "condition": {"title": "t", "expression": "true"}}]),
        );
        assert!(policies.set("projects/p", conditional.clone()).is_err());
        conditional.version = 3;
        policies.set("projects/p", conditional).unwrap();
        let seen = policies.get("projects/p").seen_at(1);
        assert!(seen.bindings[0].role.contains("_withcond_"));
        assert!(
            policies.get("projects/p").seen_at(3).bindings[0]
                .condition
                .is_some()
        );
    }
}
