//! Policies as they are kept: checked, merged and sorted.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Binding, Policy, new_etag};
use crate::error::ApiError;

const MOST_MEMBERS: usize = 1500;

/// One binding a role and condition, members sorted, empty bindings dropped, a new etag.
pub fn tidy(policy: Policy) -> Result<Policy, ApiError> {
    let mut merged: BTreeMap<(String, String), Binding> = BTreeMap::new();
    for binding in policy.bindings {
        check_role(&binding.role)?;
        let condition = binding.condition.clone().filter(|value| !value.is_null());
        let key = (
            binding.role.clone(),
            condition.as_ref().map(Value::to_string).unwrap_or_default(),
        );
        let entry = merged.entry(key).or_insert(Binding {
            role: binding.role,
            members: Vec::new(),
            condition,
        });
        for member in binding.members {
            entry.members.push(tidy_member(&member)?);
        }
        entry.members.sort();
        entry.members.dedup();
    }
    merged.retain(|_, binding| !binding.members.is_empty());
    let bindings: Vec<Binding> = merged.into_values().collect();
    let conditional = bindings.iter().any(|binding| binding.condition.is_some());
    if conditional && policy.version != 3 {
        return Err(ApiError::invalid(
            "A policy with conditions must be sent with a version of at least 3.",
        ));
    }
    if bindings
        .iter()
        .map(|binding| binding.members.len())
        .sum::<usize>()
        > MOST_MEMBERS
    {
        return Err(ApiError::invalid(format!(
            "The number of members in the policy exceeds {MOST_MEMBERS}."
        )));
    }
    Ok(Policy {
        version: if conditional { 3 } else { 1 },
        etag: new_etag(),
        bindings,
        audit_configs: policy.audit_configs,
    })
}

fn check_role(role: &str) -> Result<(), ApiError> {
    let known = ["roles/", "projects/", "organizations/"];
    if known.iter().any(|prefix| role.starts_with(prefix)) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Role ({role}) does not exist in the resource's hierarchy."
    )))
}

/// Google treats emails as case-insensitive and gives them back in lower case.
fn tidy_member(member: &str) -> Result<String, ApiError> {
    const KINDS: [&str; 9] = [
        "user",
        "serviceAccount",
        "group",
        "domain",
        "deleted",
        "projectOwner",
        "projectEditor",
        "projectViewer",
        "principal",
    ];
    if matches!(member, "allUsers" | "allAuthenticatedUsers") || member.starts_with("principalSet:")
    {
        return Ok(member.to_owned());
    }
    match member.split_once(':') {
        Some((kind @ ("user" | "serviceAccount" | "group" | "domain"), name))
            if !name.is_empty() =>
        {
            Ok(format!("{kind}:{}", name.to_lowercase()))
        }
        Some((kind, name)) if KINDS.contains(&kind) && !name.is_empty() => Ok(member.to_owned()),
        _ => Err(ApiError::invalid(format!(
            "Invalid value at 'policy.bindings.members': `{member}` is no member; \
             write for example `serviceAccount:NAME@PROJECT.iam.gserviceaccount.com`."
        ))),
    }
}

/// Accounts Google keeps in its own projects: service agents and the defaults.
pub fn is_google_managed(email: &str) -> bool {
    email.starts_with("service-") && email.ends_with(".iam.gserviceaccount.com")
        || email.starts_with("bq-")
            && email.ends_with("@bigquery-encryption.iam.gserviceaccount.com")
        || email.ends_with("-compute@developer.gserviceaccount.com")
        || email.ends_with("@appspot.gserviceaccount.com")
        || email.ends_with("@cloudbuild.gserviceaccount.com")
        || email.ends_with("@cloudservices.gserviceaccount.com")
}
