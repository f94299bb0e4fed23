//! Judges what went over the wire by Google's own words: the discovery documents.
//!
//! An exchange, as the local cloud records it (`xetl-local serve --record`), is
//! set against the method of Google's that it claims to be: path, query, body
//! and answer. This knows neither xetl nor the local cloud, and nothing of what
//! the values mean; value rules and behaviour are not in the documents.

mod body;
mod document;
mod exchange;
mod method;
mod query;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use exchange::{Exchange, exchanges};

use document::Document;

/// The documents of the APIs that the local cloud serves, by the host that serves them.
const DOCUMENTS: [(&str, &[&str]); 15] = [
    ("artifactregistry.googleapis.com", &["artifactregistry.v1"]),
    ("bigquery.googleapis.com", &["bigquery.v2"]),
    ("cloudasset.googleapis.com", &["cloudasset.v1"]),
    ("cloudbilling.googleapis.com", &["cloudbilling.v1"]),
    ("cloudkms.googleapis.com", &["cloudkms.v1"]),
    (
        "cloudresourcemanager.googleapis.com",
        &["cloudresourcemanager.v1", "cloudresourcemanager.v3"],
    ),
    ("cloudscheduler.googleapis.com", &["cloudscheduler.v1"]),
    ("iam.googleapis.com", &["iam.v1"]),
    ("iamcredentials.googleapis.com", &["iamcredentials.v1"]),
    ("logging.googleapis.com", &["logging.v2"]),
    ("monitoring.googleapis.com", &["monitoring.v3"]),
    ("run.googleapis.com", &["run.v1", "run.v2"]),
    ("secretmanager.googleapis.com", &["secretmanager.v1"]),
    ("serviceusage.googleapis.com", &["serviceusage.v1"]),
    ("storage.googleapis.com", &["storage.v1"]),
];

#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("cannot read `{}`", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("`{}` is no discovery document", path.display())]
    Form {
        path: PathBuf,
        source: serde_json::Error,
    },
}

/// What is wrong with an exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// `POST /v2/projects/p/locations/l/jobs, sent by gcloud`
    pub call: String,
    /// `request template.containers: an object is not an array`
    pub problem: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.call, self.problem)
    }
}

/// Holds the documents.
pub struct Judge {
    documents: BTreeMap<String, Vec<Document>>,
}

impl Judge {
    /// Reads the documents as `google-api-python-client` brings them.
    ///
    /// # Errors
    /// Where one is missing or has another form.
    pub fn open(folder: &Path) -> Result<Judge, DocumentError> {
        let mut documents = BTreeMap::new();
        for (host, names) in DOCUMENTS {
            let read = names.iter().map(|name| read(folder, name));
            documents.insert(host.to_owned(), read.collect::<Result<_, _>>()?);
        }
        Ok(Judge { documents })
    }

    /// All that is wrong with an exchange; nothing for one Google would know.
    pub fn findings(&self, exchange: &Exchange) -> Vec<Finding> {
        let call = exchange.to_string();
        let problems = self.problems(exchange).into_iter();
        problems
            .map(|problem| Finding {
                call: call.clone(),
                problem,
            })
            .collect()
    }

    fn problems(&self, exchange: &Exchange) -> Vec<String> {
        let documents: Vec<_> = match &exchange.service {
            Some(service) => match self.documents.get(service) {
                Some(documents) => vec![documents],
                None => {
                    return vec![format!(
                        "{service} has no document here: `DOCUMENTS` lacks it"
                    )];
                }
            },
            None => self.documents.values().collect(),
        };
        let documents = documents.into_iter().flatten();
        let found = documents.filter_map(|document| Some((document, document.find(exchange)?)));
        // The same path may be another API's too, where nobody says whose it is.
        let judged = found.map(|(document, method)| method::problems(document, method, exchange));
        judged
            .min_by_key(Vec::len)
            .unwrap_or_else(|| vec!["no API of Google's has this method and path".to_owned()])
    }
}

fn read(folder: &Path, name: &str) -> Result<Document, DocumentError> {
    let path = folder.join(format!("{name}.json"));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(DocumentError::Read { path, source }),
    };
    serde_json::from_slice(&text).map_err(|source| DocumentError::Form { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A small document with one of each.
    fn judge() -> Judge {
        let document = json!({
            "servicePath": "shop/v1/",
            "parameters": {
                "alt": {"type": "string", "location": "query"},
                "fields": {"type": "string", "location": "query"},
            },
            "resources": {"things": {"methods": {
                "insert": {
                    "id": "shop.things.insert", "httpMethod": "POST", "path": "things",
                    "parameters": {
                        "project": {"type": "string", "location": "query", "required": true},
                        "view": {"type": "string", "location": "query", "enum": ["BASIC", "FULL"]},
                        "most": {"type": "integer", "location": "query"},
                    },
                    "request": {"$ref": "Thing"}, "response": {"$ref": "Thing"},
                },
                "update": {
                    "id": "shop.things.update", "httpMethod": "PUT", "path": "things/{thing}",
                    "parameters": {"thing": {"type": "string", "location": "path"}},
                    "request": {"$ref": "Thing"}, "response": {"$ref": "Thing"},
                },
                "delete": {
                    "id": "shop.things.delete", "httpMethod": "DELETE", "path": "things/{thing}",
                    "parameters": {"thing": {"type": "string", "location": "path"}},
                },
            }}},
            "schemas": {
                "Thing": {"type": "object", "properties": {
                    "name": {"type": "string", "annotations": {"required": ["shop.things.insert"]}},
                    "size": {"type": "string", "format": "int64"},
                    "kind": {"type": "string", "enum": ["ROUND", "SQUARE"]},
                    "made": {"type": "string", "format": "google-datetime", "readOnly": true},
                    "wait": {"type": "string", "format": "google-duration"},
                    "parts": {"type": "array", "items": {"$ref": "Part"}},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "result": {"type": "object", "additionalProperties": {"type": "any"}},
                }},
                "Part": {"type": "object", "properties": {"weight": {"type": "number"}}},
            },
        });
        let document = serde_json::from_value(document).unwrap();
        Judge {
            documents: BTreeMap::from([("shop.googleapis.com".to_owned(), vec![document])]),
        }
    }

    fn problems(exchange: Value) -> Vec<String> {
        let exchange: Exchange = serde_json::from_value(exchange).unwrap();
        let findings = judge().findings(&exchange).into_iter();
        findings.map(|finding| finding.problem).collect()
    }

    /// An insert with this body in return for that one.
    fn insert(query: &str, request: Value, response: Value) -> Vec<String> {
        problems(json!({
            "service": "shop.googleapis.com", "method": "POST", "path": "/shop/v1/things",
            "query": query, "request": request, "status": 200, "response": response,
        }))
    }

    fn sent(request: Value) -> Vec<String> {
        insert("project=p", request, json!({}))
    }

    fn given(response: Value) -> Vec<String> {
        insert("project=p", json!({"name": "a"}), response)
    }

    #[test]
    fn what_google_knows_is_fine() {
        let thing = json!({
            "name": "a", "size": "12", "kind": "ROUND", "made": "2024-01-01T00:00:00.5Z", "wait": "1.5s",
            "parts": [{"weight": 1}, {}], "labels": {"any": "x"}, "result": {"@type": "x/shop.Part", "weight": 1.5},
        });
        assert_eq!(given(thing), Vec::<String>::new());
        let numbers = "project=p&view=1&%24alt=json%3Benum-encoding%3Dint";
        assert_eq!(
            insert(numbers, json!({"name": "a", "kind": 2}), json!({"kind": 2})),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_unknown_field_is_found_wherever_it_is() {
        let request = json!({"name": "a", "colour": 1, "parts": [{"weigth": 1}]});
        assert_eq!(
            sent(request),
            [
                "request.colour: unknown field",
                "request.parts[0].weigth: unknown field"
            ]
        );
        let response = json!({"result": {"@type": "x/shop.Part", "height": 1}});
        assert_eq!(given(response), ["response.result.height: unknown field"]);
    }

    #[test]
    fn a_value_has_its_type() {
        let response = json!({"name": 1, "size": 12, "parts": {}, "labels": {"a": 1}});
        assert_eq!(
            given(response),
            [
                "response.name: a number is no string",
                "response.size: a number is no string (int64)",
                "response.parts: an object is no array",
                "response.labels.a: a number is no string",
            ]
        );
        let texts = json!({"size": "many", "made": "yesterday", "wait": "60"});
        assert_eq!(
            given(texts),
            [
                "response.size: `many` is no int64",
                "response.made: `yesterday` is no google-datetime",
                "response.wait: `60` is no google-duration",
            ]
        );
    }

    #[test]
    fn an_enum_has_its_values_and_numbers_only_where_asked_for() {
        assert_eq!(
            given(json!({"kind": "FLAT"})),
            [r#"response.kind: `FLAT` is none of ["ROUND", "SQUARE"]"#]
        );
        assert_eq!(
            given(json!({"kind": 1})),
            ["response.kind: a number is no string"]
        );
    }

    #[test]
    fn a_request_says_nothing_that_google_sets() {
        let made = json!({"name": "a", "made": "2024-01-01T00:00:00Z"});
        assert_eq!(sent(made), ["request.made: Google sets it, no request may"]);
        assert_eq!(sent(json!({"name": "a", "made": ""})), Vec::<String>::new());
    }

    #[test]
    fn googles_own_clients_may_send_back_a_resource_as_they_read_it() {
        let replace = |agent: &str| {
            problems(json!({
                "service": "shop.googleapis.com", "method": "PUT", "path": "/shop/v1/things/a",
                "agent": agent, "request": {"name": "a", "made": "2024-01-01T00:00:00Z"}, "status": 200,
            }))
        };
        assert_eq!(replace("gcloud/528.0.0 command/x"), Vec::<String>::new());
        assert_eq!(replace("xetl/0.1.0").len(), 1);
        assert_eq!(replace("").len(), 1);
    }

    #[test]
    fn what_a_method_needs_is_there() {
        assert_eq!(sent(json!({})), ["request.name: this method needs it"]);
        assert_eq!(
            insert("", json!({"name": "a"}), json!({})),
            ["query project: this method needs it"]
        );
    }

    #[test]
    fn a_query_has_known_names_and_values() {
        let query = "project=p&view=HALF&most=x&colour=red";
        assert_eq!(
            insert(query, json!({"name": "a"}), json!({})),
            [
                r#"query view: `HALF` is none of ["BASIC", "FULL"]"#,
                "query most: `x` is no integer",
                "query colour: unknown parameter",
            ]
        );
    }

    #[test]
    fn a_service_without_a_document_is_no_service() {
        let call = json!({
            "service": "mint.googleapis.com", "method": "GET", "path": "/shop/v1/things", "status": 200,
        });
        let wanted = "mint.googleapis.com has no document here: `DOCUMENTS` lacks it";
        assert_eq!(problems(call), [wanted]);
    }

    #[test]
    fn a_method_has_its_verb_its_path_and_its_bodies() {
        let call = |method: &str, path: &str, body: Value| {
            problems(json!({
                "service": "shop.googleapis.com", "method": method, "path": path, "status": 200,
                "request": body, "response": body,
            }))
        };
        let nobody = ["no API of Google's has this method and path"];
        assert_eq!(call("PATCH", "/shop/v1/things/a", Value::Null), nobody);
        assert_eq!(call("DELETE", "/shop/v2/things/a", Value::Null), nobody);
        assert_eq!(
            call("DELETE", "/shop/v1/things/a", Value::Null),
            Vec::<String>::new()
        );
        assert_eq!(
            call("DELETE", "/shop/v1/things/a", json!({"a": 1})),
            [
                "request: this method takes no body",
                "response: this method gives no body"
            ]
        );
    }
}
