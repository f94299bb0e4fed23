//! A discovery document: an API's methods and the schemas of what they take and give.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::exchange::Exchange;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    #[serde(default)]
    pub service_path: String,
    /// What every method takes in its query.
    #[serde(default)]
    pub parameters: BTreeMap<String, Schema>,
    #[serde(default)]
    pub schemas: HashMap<String, Schema>,
    #[serde(flatten)]
    root: Resource,
}

#[derive(Debug, Default, Deserialize)]
struct Resource {
    #[serde(default)]
    methods: BTreeMap<String, Method>,
    #[serde(default)]
    resources: BTreeMap<String, Resource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Method {
    /// `storage.buckets.insert`
    pub id: String,
    pub http_method: String,
    path: String,
    /// The path with each variable as one segment.
    flat_path: Option<String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, Schema>,
    pub request: Option<Reference>,
    pub response: Option<Reference>,
    media_upload: Option<MediaUpload>,
    #[serde(default)]
    supports_media_download: bool,
}

#[derive(Debug, Deserialize)]
struct MediaUpload {
    protocols: BTreeMap<String, Protocol>,
}

#[derive(Debug, Deserialize)]
struct Protocol {
    path: String,
}

#[derive(Debug, Deserialize)]
pub struct Reference {
    #[serde(rename = "$ref")]
    pub name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema {
    #[serde(rename = "$ref")]
    pub reference: Option<String>,
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub properties: BTreeMap<String, Schema>,
    pub additional_properties: Option<Box<Schema>>,
    pub items: Option<Box<Schema>>,
    #[serde(rename = "enum", default)]
    pub values: Vec<String>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub annotations: Annotations,
    /// Of a parameter.
    #[serde(default)]
    pub location: String,
    #[serde(default)]
    pub required: bool,
}

#[derive(Debug, Default, Deserialize)]
pub struct Annotations {
    /// The methods that need the field.
    #[serde(default)]
    pub required: Vec<String>,
}

impl Document {
    /// The method an exchange calls.
    pub fn find(&self, exchange: &Exchange) -> Option<&Method> {
        let mut found = Vec::new();
        self.root.gather(&mut |method| {
            if method.is_called_by(exchange, &self.service_path) {
                found.push(method);
            }
        });
        // A path without variables is the nearest.
        found.into_iter().min_by_key(|method| method.variables())
    }
}

impl Resource {
    fn gather<'d>(&'d self, take: &mut impl FnMut(&'d Method)) {
        self.methods.values().for_each(&mut *take);
        for resource in self.resources.values() {
            resource.gather(take);
        }
    }
}

impl Method {
    fn template(&self) -> &str {
        self.flat_path.as_deref().unwrap_or(&self.path)
    }

    fn variables(&self) -> usize {
        self.template().matches('{').count()
    }

    fn is_called_by(&self, exchange: &Exchange, service_path: &str) -> bool {
        let path = exchange.path.as_str();
        let plain = format!("/{service_path}{}", self.template());
        let is_method = exchange.method == self.http_method;
        let is_plain = || {
            let download = format!("/download{plain}");
            matches(&plain, path) || (self.supports_media_download && matches(&download, path))
        };
        let uploads = self
            .media_upload
            .iter()
            .flat_map(|upload| upload.protocols.values());
        let is_upload = || {
            uploads
                .into_iter()
                .any(|protocol| matches(&protocol.path, path))
        };
        // The pieces of a resumable upload go to its session: PUT, and DELETE to give it up.
        let is_piece = || exchange.parameters().any(|(name, _)| name == "upload_id");
        (is_method && is_plain()) || ((is_method || is_piece()) && is_upload())
    }
}

/// Whether a path as it was sent has the form of a template.
fn matches(template: &str, path: &str) -> bool {
    let (ours, verb) = parts(template);
    // A name may hold a colon; a verb is one only where the template has it.
    let theirs: Vec<&str> = match (verb, parts(path)) {
        (Some(verb), (theirs, Some(said))) if said == verb => theirs,
        (None, (before, said)) if said.is_none_or(|said| !is_verb(&before, said)) => {
            path.trim_start_matches('/').split('/').collect()
        }
        _ => return false,
    };
    let is_same = |(ours, theirs): (&&str, &&str)| {
        (ours.starts_with('{') && !theirs.is_empty()) || ours == theirs
    };
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(is_same)
}

/// Whether what follows a colon is a verb; a digest may by chance have no figure.
fn is_verb(before: &[&str], text: &str) -> bool {
    let name = before.last().copied().unwrap_or_default();
    let is_algorithm = name == "sha256" || name.ends_with("@sha256");
    let is_digest = is_algorithm && text.chars().all(|c| c.is_ascii_hexdigit());
    !is_digest && text.chars().all(|c| c.is_ascii_alphabetic())
}

/// The segments of a path, and the verb of the last.
fn parts(path: &str) -> (Vec<&str>, Option<&str>) {
    let (path, verb) = match path.rsplit_once(':') {
        Some((path, verb)) if !verb.contains(['/', '}']) => (path, Some(verb)),
        _ => (path, None),
    };
    (path.trim_start_matches('/').split('/').collect(), verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_one_segment_and_a_verb_is_not_a_name() {
        let job = "/v2/projects/{projectsId}/jobs/{jobsId}";
        assert!(matches(job, "/v2/projects/p/jobs/j"));
        assert!(!matches(job, "/v2/projects/p/jobs/j/k"));
        assert!(!matches(job, "/v2/projects/p/jobs/"));
        assert!(!matches(job, "/v2/projects/p/jobs/j:run"));
        let run = "/v2/projects/{projectsId}/jobs/{jobsId}:run";
        assert!(matches(run, "/v2/projects/p/jobs/j:run"));
        assert!(!matches(run, "/v2/projects/p/jobs/j"));
    }

    #[test]
    fn a_colon_in_a_name_is_no_verb() {
        let image = "/v1/projects/{projectsId}/dockerImages/{dockerImagesId}";
        assert!(matches(image, "/v1/projects/p/dockerImages/i@sha256:0f"));
    }

    #[test]
    fn a_digest_of_letters_only_is_no_verb() {
        let image = "/v1/projects/{projectsId}/dockerImages/{dockerImagesId}";
        assert!(matches(
            image,
            "/v1/projects/p/dockerImages/i@sha256:abcdef"
        ));
        assert!(!matches(image, "/v1/projects/p/dockerImages/i@sha256:scan"));
        let version = "/v1/packages/{packagesId}/versions/{versionsId}";
        assert!(matches(version, "/v1/packages/p/versions/sha256:abcdef"));
        assert!(!matches(version, "/v1/packages/p/versions/v:feed"));
    }
}
