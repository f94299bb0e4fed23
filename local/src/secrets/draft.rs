//! What a caller may write of a secret.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Secret, encryption, new_etag};
use crate::clock::now;
use crate::error::ApiError;

/// Never taken from a caller.
const OUTPUT_ONLY: [&str; 4] = ["name", "createTime", "etag", "policyMember"];
/// Would have to do something here: delete, notify, encrypt.
const NOT_SERVED: [&str; 8] = [
    "topics",
    "expireTime",
    "ttl",
    "rotation",
    "versionDestroyTtl",
    "customerManagedEncryption",
    "tags",
    "secretType",
];

/// A new secret of what was sent.
pub fn create(sent: &Value) -> Result<Secret, ApiError> {
    let sent = object(sent)?;
    let mut secret = Secret {
        create_time: now(),
        etag: new_etag(),
        replication: replication(&sent)?,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        version_aliases: BTreeMap::new(),
        last_version: 0,
        versions: BTreeMap::new(),
    };
    for (field, value) in sent.iter().filter(|(field, _)| *field != "replication") {
        write(&mut secret, field, value)?;
    }
    Ok(secret)
}

/// Writes the fields the mask names; one that was not sent becomes empty.
pub fn patch(secret: &mut Secret, sent: &Value, mask: &str) -> Result<(), ApiError> {
    let sent = object(sent)?;
    if mask.is_empty() {
        return Err(ApiError::invalid("The update mask is required."));
    }
    for field in mask.split(',').map(str::trim) {
        let field = match field {
            "version_aliases" => "versionAliases",
            field => field,
        };
        if field == "replication" {
            secret.replication = rewritten(&secret.replication, &sent)?;
            continue;
        }
        // `labels.team` writes one key and leaves the others.
        match field.split_once('.') {
            Some((map, key)) => write_key(secret, map, key, &sent)?,
            None => write(secret, field, sent.get(field).unwrap_or(&Value::Null))?,
        }
    }
    secret.etag = new_etag();
    Ok(())
}

fn object(sent: &Value) -> Result<Map<String, Value>, ApiError> {
    match sent {
        Value::Object(map) => Ok(map.clone()),
        _ => Err(ApiError::invalid("The secret must be a JSON object.")),
    }
}

fn write(secret: &mut Secret, field: &str, value: &Value) -> Result<(), ApiError> {
    match field {
        "labels" => secret.labels = labels(value)?,
        "annotations" => secret.annotations = texts(field, value)?,
        "versionAliases" => secret.version_aliases = aliases(value)?,
        field if OUTPUT_ONLY.contains(&field) => {}
        field if NOT_SERVED.contains(&field) => {
            if !is_empty(value) {
                return Err(ApiError::unimplemented(format!(
                    "the local cloud does not serve `{field}` of a secret"
                )));
            }
        }
        _ => {
            return Err(ApiError::invalid(format!(
                "Invalid JSON payload received. Unknown name \"{field}\" at 'secret': Cannot find field."
            )));
        }
    }
    Ok(())
}

fn write_key(
    secret: &mut Secret,
    map: &str,
    key: &str,
    sent: &Map<String, Value>,
) -> Result<(), ApiError> {
    let value = sent.get(map).and_then(|map| map.get(key));
    let target = match map {
        "labels" => &mut secret.labels,
        "annotations" => &mut secret.annotations,
        _ => return Err(ApiError::invalid(format!("Unknown field `{map}.{key}`."))),
    };
    match value.and_then(Value::as_str) {
        Some(text) => target.insert(key.to_owned(), text.to_owned()),
        None => target.remove(key),
    };
    Ok(())
}

fn replication(sent: &Map<String, Value>) -> Result<Value, ApiError> {
    let replication = sent.get("replication").unwrap_or(&Value::Null);
    let replicas = &replication["userManaged"]["replicas"];
    let located = |replica: &Value| {
        replica["location"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    };
    let whole = match (replication.get("automatic"), replicas.as_array()) {
        (Some(_), None) => true,
        (None, Some(replicas)) => !replicas.is_empty() && replicas.iter().all(located),
        _ => false,
    };
    if !whole {
        return Err(ApiError::invalid(
            "The secret's replication is required: `automatic` or `userManaged` with locations.",
        ));
    }
    Ok(replication.clone())
}

/// The keys of a replication may change, its places not.
fn rewritten(before: &Value, sent: &Map<String, Value>) -> Result<Value, ApiError> {
    let after = replication(sent)?;
    match encryption::places(before) == encryption::places(&after) {
        true => Ok(after),
        false => Err(ApiError::invalid(
            "The locations of a secret's replication cannot be changed.",
        )),
    }
}

fn labels(value: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let labels = texts("labels", value)?;
    for (key, value) in &labels {
        check_label(key, value)?;
    }
    if labels.len() > 64 {
        return Err(ApiError::invalid("A secret has at most 64 labels."));
    }
    Ok(labels)
}

/// Keys begin with a letter; both are lower case, digits, `_` and `-`, up to 63.
fn check_label(key: &str, value: &str) -> Result<(), ApiError> {
    let fits = |letter: char| {
        letter.is_lowercase()
            || letter.is_numeric()
            || letter.is_alphabetic() && !letter.is_uppercase()
            || matches!(letter, '_' | '-')
    };
    let key_fits = key.starts_with(|first: char| first.is_alphabetic())
        && key.chars().count() <= 63
        && key.chars().all(fits);
    if key_fits && value.chars().count() <= 63 && value.chars().all(fits) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Label `{key}: {value}` is invalid: lower-case letters, digits, `_` and `-`, at most 63."
    )))
}

fn texts(field: &str, value: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    if value.is_null() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_value(value.clone())
        .map_err(|_| ApiError::invalid(format!("`{field}` must map text to text.")))
}

fn aliases(value: &Value) -> Result<BTreeMap<String, u64>, ApiError> {
    let entries = value.as_object().cloned().unwrap_or_default();
    let aliases = entries.into_iter().map(|(alias, number)| {
        let number = number
            .as_u64()
            .or_else(|| number.as_str().and_then(|text| text.parse().ok()))
            .ok_or_else(|| {
                ApiError::invalid(format!("Alias `{alias}` names no version number."))
            })?;
        Ok((alias, number))
    });
    aliases.collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() || text == "SECRET_TYPE_UNSPECIFIED",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Bool(value) => !value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_needs_a_replication_and_keeps_it() {
        assert!(create(&json!({})).is_err());
        assert!(create(&json!({"replication": {"userManaged": {"replicas": []}}})).is_err());
        let mut secret = create(&json!({"replication": {"automatic": {}}})).unwrap();
        assert!(patch(&mut secret, &json!({}), "replication").is_err());
        let elsewhere = json!({"replication": {"userManaged": {"replicas": [{"location": "a"}]}}});
        assert!(patch(&mut secret, &elsewhere, "replication").is_err());
    }

    #[test]
    fn a_patch_writes_only_what_its_mask_names() {
        let sent = json!({"replication": {"automatic": {}}, "labels": {"a": "1"}, "annotations": {"n": "x"}});
        let mut secret = create(&sent).unwrap();
        patch(
            &mut secret,
            &json!({"labels": {"b": "2"}, "annotations": {}}),
            "labels",
        )
        .unwrap();
        assert_eq!(
            secret.labels,
            BTreeMap::from([("b".to_owned(), "2".to_owned())])
        );
        assert_eq!(secret.annotations["n"], "x");
    }

    #[test]
    fn what_would_need_an_action_is_refused_not_swallowed() {
        let error = create(&json!({"replication": {"automatic": {}}, "ttl": "60s"})).unwrap_err();
        assert_eq!(error.code, 501);
        let error = create(&json!({"replication": {"automatic": {}}, "lables": {}})).unwrap_err();
        assert_eq!(error.code, 400);
    }

    #[test]
    fn labels_are_lower_case() {
        assert!(check_label("team", "Data").is_err());
        assert!(check_label("managed-by", "xetl").is_ok());
    }
}
