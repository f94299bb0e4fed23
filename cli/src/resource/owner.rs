//! Whose a resource is, as labels and as a description.

use std::collections::BTreeMap;

use serde::Serialize;

/// Whose a resource is: its labels, or its description where it can have no labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// `None`: not made by xetl.
    #[serde(rename = "xetl-client")]
    pub client: Option<String>,
    #[serde(rename = "xetl-pipeline", skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
}

pub(super) const MANAGED_BY: &str = "managed-by";
pub(super) const CLIENT: &str = "xetl-client";
pub(super) const PIPELINE: &str = "xetl-pipeline";

impl Owner {
    pub fn client(client: &str) -> Owner {
        Owner {
            client: Some(client.to_owned()),
            pipeline: None,
        }
    }

    pub fn pipeline(client: &str, pipeline: &str) -> Owner {
        Owner {
            client: Some(client.to_owned()),
            pipeline: Some(pipeline.to_owned()),
        }
    }

    /// The labels that say so.
    pub fn labels(&self) -> impl Iterator<Item = (String, String)> {
        let managed = self.client.as_ref().map(|_| (MANAGED_BY, "xetl"));
        let client = self.client.as_deref().map(|client| (CLIENT, client));
        let pipeline = self.pipeline.as_deref().map(|name| (PIPELINE, name));
        [managed, client, pipeline]
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    }

    /// Whose labels these are.
    pub fn of_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Owner {
        Owner::of_pairs(
            labels
                .into_iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        )
    }

    /// `managed-by=xetl xetl-client=acme`
    pub fn description(&self) -> String {
        let words: Vec<_> = self.labels().map(|(k, v)| format!("{k}={v}")).collect();
        words.join(" ")
    }

    /// Whose description this is.
    pub fn of_description(text: &str) -> Owner {
        Owner::of_pairs(
            text.split_whitespace()
                .filter_map(|word| word.split_once('=')),
        )
    }

    fn of_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Owner {
        let pairs: BTreeMap<_, _> = pairs.collect();
        if pairs.get(MANAGED_BY) != Some(&"xetl") {
            return Owner::default();
        }
        Owner {
            client: pairs.get(CLIENT).map(|&client| client.to_owned()),
            pipeline: pairs.get(PIPELINE).map(|&pipeline| pipeline.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_back_from_labels_and_description() {
        for owner in [Owner::client("acme"), Owner::pipeline("acme", "xero")] {
            let labels: BTreeMap<_, _> = owner.labels().collect();
            assert_eq!(Owner::of_labels(&labels), owner);
            assert_eq!(Owner::of_description(&owner.description()), owner);
        }
        assert_eq!(Owner::of_description("xetl-client=acme"), Owner::default());
    }
}
