//! What a request to the registry protocol asks for, read from its method and path.

use axum::http::Method;

use super::digest::Digest;
use super::error::RegistryError;

/// An image's name inside the registry: `PROJECT/REPOSITORY/IMAGE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub project: String,
    pub repository: String,
    pub image: String,
}

impl Name {
    /// Reads `PROJECT/REPOSITORY/IMAGE`, where a project of a domain
    /// (`example.com:p`) takes two segments and the image one or more.
    pub fn parse(text: &str) -> Option<Name> {
        let (first, rest) = text.split_once('/')?;
        let (project, rest) = if first.contains('.') {
            let (second, rest) = rest.split_once('/')?;
            (format!("{first}:{second}"), rest)
        } else {
            (first.to_owned(), rest)
        };
        let (repository, image) = rest.split_once('/')?;
        let good = |part: &str| !part.is_empty() && part.chars().all(name_character);
        (good(repository) && good(&project.replace(':', "-")) && image.split('/').all(good)).then(
            || Name {
                project,
                repository: repository.to_owned(),
                image: image.to_owned(),
            },
        )
    }
}

fn name_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let project = self.project.replace(':', "/");
        write!(f, "{project}/{}/{}", self.repository, self.image)
    }
}

/// How a manifest is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    pub fn parse(text: &str) -> Result<Reference, RegistryError> {
        if text.contains(':') {
            return Ok(Reference::Digest(digest(text)?));
        }
        let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let good = |c: char| first(c) || c == '.' || c == '-';
        if text.len() <= 128 && text.starts_with(first) && text.chars().all(good) {
            return Ok(Reference::Tag(text.to_owned()));
        }
        Err(RegistryError::manifest_invalid(format!(
            "`{text}` is neither a tag nor a digest"
        )))
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Tag(tag) => f.write_str(tag),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

fn digest(text: &str) -> Result<Digest, RegistryError> {
    text.parse()
        .map_err(|error: super::digest::NoDigest| RegistryError::digest_invalid(error.to_string()))
}

/// A method of the distribution spec.
#[derive(Debug, PartialEq)]
pub enum Call {
    Ping,
    ReadBlob(Name, Digest),
    StartUpload(Name),
    UploadStatus(Name, String),
    AppendUpload(Name, String),
    FinishUpload(Name, String),
    CancelUpload(Name, String),
    ReadManifest(Name, Reference),
    WriteManifest(Name, Reference),
    DeleteManifest(Name, Reference),
    Tags(Name),
    Referrers(Name, Digest),
}

impl Call {
    /// `path` is what follows `/v2/`.
    pub fn parse(method: &Method, path: &str) -> Result<Call, RegistryError> {
        if path.is_empty() {
            return Ok(Call::Ping);
        }
        if let Some((name, upload)) = path.rsplit_once("/blobs/uploads") {
            return Call::upload(method, image(name)?, upload.trim_start_matches('/'));
        }
        let last = path.rsplit_once('/');
        let Some((front, last)) = last else {
            return Err(unsupported(method, path));
        };
        if let Some(name) = front.strip_suffix("/blobs") {
            return Call::blob(method, image(name)?, digest(last)?);
        }
        if let Some(name) = front.strip_suffix("/manifests") {
            return Call::manifest(method, image(name)?, Reference::parse(last)?);
        }
        if let (&Method::GET, Some(name)) = (method, path.strip_suffix("/tags/list")) {
            return Ok(Call::Tags(image(name)?));
        }
        if let (&Method::GET, Some(name)) = (method, front.strip_suffix("/referrers")) {
            return Ok(Call::Referrers(image(name)?, digest(last)?));
        }
        Err(unsupported(method, path))
    }

    fn upload(method: &Method, name: Name, upload: &str) -> Result<Call, RegistryError> {
        let id = upload.to_owned();
        match *method {
            Method::POST if id.is_empty() => Ok(Call::StartUpload(name)),
            Method::GET => Ok(Call::UploadStatus(name, id)),
            Method::PATCH => Ok(Call::AppendUpload(name, id)),
            Method::PUT => Ok(Call::FinishUpload(name, id)),
            Method::DELETE => Ok(Call::CancelUpload(name, id)),
            _ => Err(unsupported(method, "uploads")),
        }
    }

    fn blob(method: &Method, name: Name, digest: Digest) -> Result<Call, RegistryError> {
        match *method {
            Method::GET | Method::HEAD => Ok(Call::ReadBlob(name, digest)),
            _ => Err(unsupported(method, "a blob")),
        }
    }

    fn manifest(method: &Method, name: Name, reference: Reference) -> Result<Call, RegistryError> {
        match *method {
            Method::GET | Method::HEAD => Ok(Call::ReadManifest(name, reference)),
            Method::PUT => Ok(Call::WriteManifest(name, reference)),
            Method::DELETE => Ok(Call::DeleteManifest(name, reference)),
            _ => Err(unsupported(method, "a manifest")),
        }
    }

    /// Whether the call changes the registry, which takes the `push` scope.
    pub fn is_push(&self) -> bool {
        !matches!(
            self,
            Call::Ping
                | Call::ReadBlob(..)
                | Call::ReadManifest(..)
                | Call::Tags(_)
                | Call::Referrers(..)
        )
    }

    /// What Artifact Registry asks for it.
    pub fn permission(&self) -> &'static str {
        match self {
            Call::DeleteManifest(_, Reference::Tag(_)) => "artifactregistry.tags.delete",
            Call::DeleteManifest(..) => "artifactregistry.versions.delete",
            _ if self.is_push() => "artifactregistry.repositories.uploadArtifacts",
            _ => "artifactregistry.repositories.downloadArtifacts",
        }
    }

    pub fn name(&self) -> Option<&Name> {
        match self {
            Call::Ping => None,
            Call::StartUpload(name) | Call::Tags(name) => Some(name),
            Call::ReadBlob(name, _) | Call::Referrers(name, _) => Some(name),
            Call::ReadManifest(name, _)
            | Call::WriteManifest(name, _)
            | Call::DeleteManifest(name, _) => Some(name),
            Call::UploadStatus(name, _)
            | Call::AppendUpload(name, _)
            | Call::FinishUpload(name, _)
            | Call::CancelUpload(name, _) => Some(name),
        }
    }
}

fn image(text: &str) -> Result<Name, RegistryError> {
    Name::parse(text).ok_or_else(|| RegistryError::name_invalid(text))
}

fn unsupported(method: &Method, what: &str) -> RegistryError {
    RegistryError::unsupported(format!("the registry does not serve {method} of {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::parse("p/r/a/b").unwrap()
    }

    #[test]
    fn an_image_may_have_slashes() {
        assert_eq!(name().image, "a/b");
        let call = Call::parse(&Method::GET, "p/r/a/b/tags/list");
        assert_eq!(call, Ok(Call::Tags(name())));
    }

    #[test]
    fn a_project_of_a_domain_takes_two_segments() {
        let name = Name::parse("example.com/p/r/i").unwrap();
        assert_eq!(name.project, "example.com:p");
        assert_eq!(name.to_string(), "example.com/p/r/i");
    }

    #[test]
    fn names_that_leave_the_registry_are_refused() {
        for text in ["p", "p/r", "p/r/", "P/r/i", "p/r/i//j", "p//i"] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn uploads_are_started_and_named() {
        let start = Call::parse(&Method::POST, "p/r/a/b/blobs/uploads/");
        assert_eq!(start, Ok(Call::StartUpload(name())));
        let finish = Call::parse(&Method::PUT, "p/r/a/b/blobs/uploads/u1");
        assert_eq!(finish, Ok(Call::FinishUpload(name(), "u1".to_owned())));
    }

    #[test]
    fn a_manifest_is_named_by_tag_or_digest() {
        let tag = Call::parse(&Method::HEAD, "p/r/a/b/manifests/v1.0").unwrap();
        assert_eq!(
            tag,
            Call::ReadManifest(name(), Reference::Tag("v1.0".to_owned()))
        );
        assert!(!tag.is_push());
        let digest = Digest::of(b"x");
        let path = format!("p/r/a/b/manifests/{digest}");
        let put = Call::parse(&Method::PUT, &path).unwrap();
        assert_eq!(put, Call::WriteManifest(name(), Reference::Digest(digest)));
        assert!(put.is_push());
    }

    #[test]
    fn what_the_spec_does_not_know_is_refused() {
        assert_eq!(
            Call::parse(&Method::DELETE, "p/r/i/tags/list")
                .unwrap_err()
                .code,
            "UNSUPPORTED"
        );
        assert_eq!(
            Call::parse(&Method::GET, "p/r/i/blobs/sha256:00")
                .unwrap_err()
                .code,
            "DIGEST_INVALID"
        );
    }
}
