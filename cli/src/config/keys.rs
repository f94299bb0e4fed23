//! Names of customers' keys, which have to be where the data is that they encrypt.

use std::collections::BTreeSet;

use super::ConfigError;

/// Stands for each of a secret's locations.
const PLACE: &str = "{location}";

/// A key by its whole name.
pub(super) fn well_formed(at: &str, key: Option<String>) -> Result<Option<String>, ConfigError> {
    if let Some(key) = &key {
        location(at, key)?;
    }
    Ok(key)
}

/// A key for what is in `place`, which Storage and BigQuery may write in upper case.
pub(super) fn of_place(
    at: &str,
    key: Option<String>,
    place: &str,
) -> Result<Option<String>, ConfigError> {
    if let Some(key) = &key {
        check_place(at, key, place)?;
    }
    Ok(key)
}

/// The keys of a secret: one for each location, or one of `global` where Google chooses.
pub(super) fn of_secrets(
    at: &str,
    key: Option<String>,
    locations: &[String],
) -> Result<BTreeSet<String>, ConfigError> {
    let Some(key) = key else {
        return Ok(BTreeSet::new());
    };
    if locations.is_empty() {
        check_place(at, &key, "global")?;
        return Ok(BTreeSet::from([key]));
    }
    let keys = locations.iter().map(|place| {
        let key = key.replace(PLACE, place);
        check_place(at, &key, place)?;
        Ok(key)
    });
    keys.collect()
}

fn check_place(at: &str, key: &str, place: &str) -> Result<(), ConfigError> {
    let location = location(at, key)?;
    if location.eq_ignore_ascii_case(place) {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        at: at.to_owned(),
        problem: format!(
            "the key is in `{location}`, but has to be in `{}`",
            place.to_lowercase()
        ),
        hint: match at.ends_with("secret_manager.kms_key") {
            true => Some(format!(
                "of several locations, write `locations/{PLACE}/keyRings/...`; without `locations`, a key of `global`"
            )),
            false => None,
        },
    })
}

/// Where a key is.
fn location<'a>(at: &str, key: &'a str) -> Result<&'a str, ConfigError> {
    let words: Vec<&str> = key.split('/').collect();
    match words[..] {
        [
            "projects",
            _,
            "locations",
            location,
            "keyRings",
            _,
            "cryptoKeys",
            _,
        ] => Ok(location),
        _ => Err(ConfigError::invalid(
            at,
            format!("`{key}` must be `projects/P/locations/L/keyRings/R/cryptoKeys/K`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(location: &str) -> Option<String> {
        Some(format!(
            "projects/p/locations/{location}/keyRings/r/cryptoKeys/k"
        ))
    }

    #[test]
    fn a_key_is_where_the_data_is() {
        assert!(of_place("bucket.kms_key", key("us"), "US").is_ok());
        of_place("bucket.kms_key", key("us"), "us-east1").unwrap_err();
        of_place("bucket.kms_key", Some("k".to_owned()), "us").unwrap_err();
        assert_eq!(of_place("bucket.kms_key", None, "us").unwrap(), None);
    }

    #[test]
    fn a_secret_has_a_key_for_each_of_its_locations() {
        let of = |place: &str, locations: &[&str]| {
            let locations: Vec<String> = locations.iter().map(|it| (*it).to_owned()).collect();
            of_secrets("secret_manager.kms_key", key(place), &locations)
        };
        assert_eq!(of("global", &[]).unwrap().len(), 1);
        assert_eq!(of("{location}", &["a1", "b1"]).unwrap().len(), 2);
        assert_eq!(of("a1", &["a1"]).unwrap().len(), 1);
        of("a1", &[]).unwrap_err();
        of("a1", &["a1", "b1"]).unwrap_err();
    }
}
