//! The name of a key, which says where it is.

use std::fmt;

use crate::cloud::Cloud;
use crate::error::ApiError;

/// `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyName {
    project: String,
    pub location: String,
    ring: String,
    key: String,
}

impl KeyName {
    /// `None` where the text is no name of a key; one of its versions is none.
    pub fn of(text: &str) -> Option<KeyName> {
        let parts: Vec<&str> = text.split('/').collect();
        let [
            "projects",
            project,
            "locations",
            location,
            "keyRings",
            ring,
            "cryptoKeys",
            key,
        ] = parts[..]
        else {
            return None;
        };
        let parts = [project, location, ring, key];
        parts.iter().all(|part| !part.is_empty()).then(|| KeyName {
            project: project.to_owned(),
            location: location.to_owned(),
            ring: ring.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Whether the key is where a service keeps its data; Storage and BigQuery write `US` for `us`.
    pub fn is_in(&self, location: &str) -> bool {
        self.location.eq_ignore_ascii_case(location)
    }

    /// The same with the project's id, if its number was written.
    pub fn by_id(&self, cloud: &Cloud) -> Result<KeyName, ApiError> {
        Ok(KeyName {
            project: cloud.projects.id(&self.project)?,
            ..self.clone()
        })
    }

    /// The name of the key's ring.
    pub fn ring(&self) -> String {
        let KeyName {
            project,
            location,
            ring,
            ..
        } = self;
        format!("projects/{project}/locations/{location}/keyRings/{ring}")
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/cryptoKeys/{}", self.ring(), self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_name_says_where_it_is() {
        let text = "projects/p/locations/us/keyRings/r/cryptoKeys/k";
        let name = KeyName::of(text).unwrap();
        assert_eq!(name.to_string(), text);
        assert!(name.is_in("US") && !name.is_in("us-east1"));
        for wrong in [
            "k",
            "projects/p/locations/us/keyRings/r/cryptoKeys/",
            "projects/p/locations/us/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
        ] {
            assert_eq!(KeyName::of(wrong), None, "{wrong}");
        }
    }
}
