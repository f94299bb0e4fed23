//! Rights: one member a step, read, changed and written with the etag.

use std::sync::Arc;

use google_cloud_iam_v1::model::{Binding, GetPolicyOptions, Policy};
use serde_json::Value;

use super::{Cloud, CloudError, datasets};
use crate::resource::{Holder, Member};

/// Lost races on an etag before giving up.
const RACES: u32 = 8;

impl Cloud {
    /// What our accounts have on `on`; nothing where it is not there.
    pub(super) async fn members(
        &self,
        on: Holder,
        accounts: &[String],
    ) -> Result<Vec<Member>, CloudError> {
        let policy = match self.policy(&on).await {
            Err(error) if error.is_absent() => return Ok(Vec::new()),
            policy => policy?,
        };
        Ok(members_of(&policy, &on, accounts))
    }

    pub(super) async fn grant(&self, member: &Member) -> Result<(), CloudError> {
        self.change(member, true).await
    }

    pub(super) async fn revoke(&self, member: &Member) -> Result<(), CloudError> {
        self.change(member, false).await
    }

    async fn change(&self, member: &Member, has: bool) -> Result<(), CloudError> {
        let turn = self.turn(&member.on);
        let _turn = turn.lock().await;
        let mut races = 0;
        loop {
            match self.change_once(member, has).await {
                Err(error) if error.is_conflict() && races < RACES => {
                    races += 1;
                    tokio::time::sleep(super::retry::wait(races, None)).await;
                }
                result => return result,
            }
        }
    }

    async fn change_once(&self, member: &Member, has: bool) -> Result<(), CloudError> {
        if let Holder::Dataset(name) = &member.on {
            let change = |access: &mut Vec<Value>| change_access(access, member, has);
            return self.change_access(name, change).await;
        }
        let mut policy = self.policy(&member.on).await?;
        match change_policy(&mut policy, member, has) {
            true => self.set_policy(&member.on, policy).await,
            false => Ok(()),
        }
    }

    pub(super) fn turn(&self, on: &Holder) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = match self.connection.policies.lock() {
            Ok(turns) => turns,
            // A map of locks is never left half-changed.
            Err(poisoned) => poisoned.into_inner(),
        };
        turns.entry(on.to_string()).or_default().clone()
    }

    pub(super) async fn policy(&self, on: &Holder) -> Result<Policy, CloudError> {
        let what = format!("policy of {on}");
        // Without version 3, rights with conditions would come back without them.
        let options = GetPolicyOptions::new().set_requested_policy_version(3);
        let resource = self.holder_name(on);
        let found = match on {
            Holder::Bucket(name) => return read_policy(self.bucket_policy(name).await?, &what),
            Holder::Dataset(_) => return Ok(Policy::new()),
            Holder::Project => {
                let get = self.projects().await?.get_iam_policy();
                get.set_resource(resource).set_options(options).send().await
            }
            Holder::Secret(_) => {
                let get = self.secrets().await?.get_iam_policy();
                get.set_resource(resource).set_options(options).send().await
            }
            Holder::Job(_) => {
                let get = self.jobs().await?.get_iam_policy();
                get.set_resource(resource).set_options(options).send().await
            }
        };
        found.map_err(self.failed(&what))
    }

    async fn set_policy(&self, on: &Holder, policy: Policy) -> Result<(), CloudError> {
        let what = format!("policy of {on}");
        let resource = self.holder_name(on);
        let policy = policy.set_version(3);
        let set = match on {
            Holder::Bucket(name) => {
                let policy =
                    serde_json::to_value(policy).map_err(|error| CloudError::Unusable {
                        what,
                        problem: error.to_string(),
                    })?;
                return self.set_bucket_policy(name, policy).await;
            }
            Holder::Dataset(_) => return Ok(()),
            Holder::Project => {
                let set = self.projects().await?.set_iam_policy();
                set.set_resource(resource).set_policy(policy).send().await
            }
            Holder::Secret(_) => {
                let set = self.secrets().await?.set_iam_policy();
                set.set_resource(resource).set_policy(policy).send().await
            }
            Holder::Job(_) => {
                let set = self.jobs().await?.set_iam_policy();
                set.set_resource(resource).set_policy(policy).send().await
            }
        };
        set.map(drop).map_err(self.failed(&what))
    }

    fn holder_name(&self, on: &Holder) -> String {
        match on {
            Holder::Project => self.in_project(""),
            Holder::Bucket(name) | Holder::Dataset(name) => name.clone(),
            Holder::Secret(name) => self.in_project(&format!("secrets/{name}")),
            Holder::Job(name) => self.in_region(&format!("jobs/{name}")),
        }
    }
}

/// The rights a policy gives these accounts.
pub(super) fn members_of(policy: &Policy, on: &Holder, accounts: &[String]) -> Vec<Member> {
    let mut members = Vec::new();
    for binding in &policy.bindings {
        for account in accounts {
            // A right with a condition is not one of ours.
            if binding.condition.is_none() && binding.members.contains(&member_name(account)) {
                members.push(Member {
                    on: on.clone(),
                    role: binding.role.clone(),
                    account: account.clone(),
                });
            }
        }
    }
    members
}

pub(super) fn read_policy(json: Value, what: &str) -> Result<Policy, CloudError> {
    serde_json::from_value(json).map_err(|error| CloudError::Unusable {
        what: what.to_owned(),
        problem: error.to_string(),
    })
}

fn member_name(account: &str) -> String {
    format!("serviceAccount:{account}")
}

/// Gives or takes the member; `false` where that is so already.
fn change_policy(policy: &mut Policy, member: &Member, has: bool) -> bool {
    let name = member_name(&member.account);
    let former = format!("deleted:{name}?uid=");
    let binding = policy
        .bindings
        .iter_mut()
        .find(|binding| binding.role == member.role && binding.condition.is_none());
    let had = binding
        .as_ref()
        .is_some_and(|binding| binding.members.contains(&name));
    match (binding, has) {
        _ if had == has => return false,
        (Some(binding), true) => {
            // The account that had the name before; it never comes back.
            binding.members.retain(|it| !it.starts_with(&former));
            binding.members.push(name);
        }
        (Some(binding), false) => binding.members.retain(|member| *member != name),
        (None, _) => {
            let binding = Binding::new().set_role(&member.role).set_members([name]);
            policy.bindings.push(binding);
        }
    }
    policy
        .bindings
        .retain(|binding| !binding.members.is_empty());
    true
}

fn change_access(access: &mut Vec<Value>, member: &Member, has: bool) -> bool {
    let entry = datasets::entry(&member.role, &member.account);
    let same = |other: &Value| {
        other["role"] == entry["role"]
            && (other["userByEmail"] == entry["userByEmail"]
                || other["iamMember"] == member_name(&member.account))
    };
    if access.iter().any(same) == has {
        return false;
    }
    match has {
        true => access.push(entry),
        false => access.retain(|other| !same(other)),
    }
    access.retain(|entry| !datasets::is_of_deleted(entry));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        Member {
            on: Holder::Project,
            role: "r".to_owned(),
            account: "a@p".to_owned(),
        }
    }

    #[test]
    fn a_member_joins_the_binding_of_its_role_once() {
        let others = Binding::new().set_role("r").set_members(["user:u"]);
        let mut policy = Policy::new().set_bindings([others]);
        assert!(change_policy(&mut policy, &member(), true));
        assert!(!change_policy(&mut policy, &member(), true));
        assert_eq!(policy.bindings.len(), 1);
        assert_eq!(policy.bindings[0].members, ["user:u", "serviceAccount:a@p"]);
    }

    #[test]
    fn the_last_member_takes_the_binding_along() {
        let mut policy = Policy::new();
        change_policy(&mut policy, &member(), true);
        assert!(change_policy(&mut policy, &member(), false));
        assert!(policy.bindings.is_empty());
    }

    #[test]
    fn a_right_with_a_condition_is_left_alone() {
        let theirs: Binding = serde_json::from_value(serde_json::json!({
            "role": "r",
            "members": ["serviceAccount:a@p"],
            "condition": {"expression": "request.time < timestamp('2030-01-01T00:00:00Z')"},
        }))
        .unwrap();
        let mut policy = Policy::new().set_bindings([theirs]);
        assert!(!change_policy(&mut policy, &member(), false));
        assert!(change_policy(&mut policy, &member(), true));
        assert_eq!(policy.bindings.len(), 2);
    }

    #[test]
    fn an_account_that_was_deleted_leaves_its_rights_to_the_one_of_its_name() {
        let former = "deleted:serviceAccount:a@p?uid=1";
        let there = Binding::new().set_role("r").set_members([former, "user:u"]);
        let mut policy = Policy::new().set_bindings([there]);
        assert!(change_policy(&mut policy, &member(), true));
        assert_eq!(policy.bindings[0].members, ["user:u", "serviceAccount:a@p"]);

        let mut access = vec![serde_json::json!({"role": "r", "iamMember": former})];
        assert!(change_access(&mut access, &member(), true));
        assert_eq!(access, [datasets::entry("r", "a@p")]);
    }

    #[test]
    fn a_datasets_list_gains_and_loses_one_entry() {
        let mut access = vec![serde_json::json!({"role": "OWNER", "userByEmail": "o@p"})];
        assert!(change_access(&mut access, &member(), true));
        assert!(!change_access(&mut access, &member(), true));
        assert!(change_access(&mut access, &member(), false));
        assert_eq!(access.len(), 1);
    }
}
