//! One request and its answer, as the local cloud writes them down: a line of JSON each.

use serde::Deserialize;
use serde_json::Value;

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// `run.googleapis.com`; none where the local cloud does not serve the path.
    #[serde(default)]
    pub service: Option<String>,
    /// The client, as it calls itself.
    #[serde(default)]
    pub agent: String,
    pub method: String,
    /// As it was sent, percent-encoded.
    pub path: String,
    #[serde(default)]
    pub query: String,
    /// The JSON that was sent; none where nothing was, or something else.
    #[serde(default)]
    pub request: Option<Value>,
    pub status: u16,
    /// The JSON of the answer; none where it was empty, or something else.
    #[serde(default)]
    pub response: Option<Value>,
}

impl Exchange {
    /// The query's names and values; the `$` of system parameters is stripped, as Google does it.
    pub fn parameters(&self) -> impl Iterator<Item = (String, String)> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.map(|(name, value)| {
            let name = match name.strip_prefix('$') {
                Some(system) if !system.starts_with('.') => system,
                _ => &name,
            };
            (name.to_owned(), value.into_owned())
        })
    }

    /// Whether the bytes of an object go over the wire here, which no schema describes.
    pub fn is_media(&self) -> bool {
        self.parameters().any(|(name, value)| match name.as_str() {
            "alt" => value == "media",
            "uploadType" => value == "media",
            "upload_id" => true,
            _ => false,
        })
    }

    /// Whether one of Google's clients, or somebody's hand, sends back a whole resource that it read before, with what
    /// only Google sets in it: Google passes over that. Ours sends what it means, and says `xetl`
    /// or nothing.
    pub fn sends_back(&self) -> bool {
        matches!(self.method.as_str(), "PUT" | "PATCH") && !self.is_ours()
    }

    /// Whether xetl sent it.
    pub fn is_ours(&self) -> bool {
        self.agent.is_empty() || self.agent.starts_with("xetl")
    }

    /// Whether enums go as numbers.
    pub fn has_numeric_enums(&self) -> bool {
        self.parameters()
            .any(|(name, value)| name == "alt" && value.contains("enum-encoding=int"))
    }
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let agent = self.agent.split([' ', '/']).next().unwrap_or_default();
        write!(
            f,
            "{} {} ({}, sent by {agent})",
            self.method, self.path, self.status
        )
    }
}

/// The exchanges of a record. A line that a kill tore is none.
pub fn exchanges(record: &str) -> Vec<Exchange> {
    let lines = record.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(query: &str) -> Exchange {
        let text =
            format!(r#"{{"method": "GET", "path": "/v1/x", "query": "{query}", "status": 200}}"#);
        exchanges(&text).remove(0)
    }

    #[test]
    fn a_system_parameter_is_read_with_and_without_its_dollar() {
        assert!(exchange("%24alt=json;enum-encoding=int").has_numeric_enums());
        assert!(exchange("alt=json;enum-encoding=int").has_numeric_enums());
        assert!(!exchange("alt=json").has_numeric_enums());
    }

    #[test]
    fn a_torn_line_is_no_exchange() {
        assert!(exchanges("{\"method\": \"GE\n\n").is_empty());
    }
}
