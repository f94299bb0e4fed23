//! What the source's words for a job's state mean.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::stream::SourceError;

use super::super::super::component::Component;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Running,
    Completed,
    Failed,
    TimedOut,
    /// There is nothing to download.
    Skipped,
}

const STATUSES: [(&str, Status, bool); 5] = [
    ("running", Status::Running, true),
    ("completed", Status::Completed, true),
    ("failed", Status::Failed, true),
    ("timeout", Status::TimedOut, true),
    ("skipped", Status::Skipped, false),
];

/// The source's words.
pub struct StatusMap(HashMap<String, Status>);

impl StatusMap {
    pub fn open(component: &Component<'_>) -> Result<StatusMap, SourceError> {
        let mut words = HashMap::new();
        for (name, status, required) in STATUSES {
            let list = component.field(name).and_then(Json::as_array);
            if list.is_none() && required {
                return Err(component.error(format!("`{name}` needs a list, be it empty")));
            }
            for word in list.into_iter().flatten().filter_map(Json::as_str) {
                if words.insert(word.to_owned(), status).is_some() {
                    return Err(component.error(format!("`{word}` stands for two states")));
                }
            }
        }
        Ok(StatusMap(words))
    }

    pub fn get(&self, word: &str) -> Option<Status> {
        self.0.get(word).copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn open(json: Json) -> Result<StatusMap, String> {
        StatusMap::open(&Component::new(&json, "map")).map_err(|error| error.to_string())
    }

    #[test]
    fn every_state_but_skipped_needs_its_words() {
        let words = json!({"running": ["a"], "completed": ["b"], "failed": [], "timeout": []});
        let map = open(words.clone()).unwrap();
        assert_eq!(
            (map.get("b"), map.get("c")),
            (Some(Status::Completed), None)
        );
        let mut without = words.clone();
        without.as_object_mut().unwrap().remove("failed");
        assert_eq!(
            open(without).err().unwrap(),
            "map: `failed` needs a list, be it empty"
        );
        let mut twice = words;
        twice["skipped"] = json!(["a"]);
        assert_eq!(open(twice).err().unwrap(), "map: `a` stands for two states");
    }
}
