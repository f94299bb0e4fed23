//! An image's name, and the registry it leads to: where that is, and who signs in there.

use std::env;
use std::str::FromStr;

use oci_spec::distribution::Reference;
use url::Url;

use crate::cloud::access_token;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::image::auth::{Basic, Login};
use crate::image::credentials::docker_login;
use crate::image::registry::Registry;
use crate::target::Target;

/// An image's name taken apart: `HOST/REPOSITORY[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub host: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Place {
    pub fn parse(name: &str) -> Result<Place, Failure> {
        let reference = Reference::from_str(name).map_err(|error| {
            Failure::new(Kind::Usage, format!("`{name}` is no image name: {error}"))
                .hint("HOST/PATH[:TAG], or HOST/PATH@sha256:...")
        })?;
        let says_tag = name.rsplit('/').next().is_some_and(|it| {
            let it = it.split('@').next().unwrap_or(it);
            it.contains(':')
        });
        Ok(Place {
            host: reference.resolve_registry().to_owned(),
            repository: reference.repository().to_owned(),
            tag: reference.tag().filter(|_| says_tag).map(str::to_owned),
            digest: reference.digest().map(str::to_owned),
        })
    }

    /// What is asked for: the digest, else the tag, else `latest`.
    pub fn reference(&self) -> &str {
        let tag = self.tag.as_deref();
        self.digest.as_deref().or(tag).unwrap_or("latest")
    }

    /// `HOST/REPOSITORY`
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// Whether Cloud Run pulls from there (Artifact Registry, its older names, Docker Hub).
    pub fn serves_cloud_run(&self) -> bool {
        let host = self.host.as_str();
        self.location().is_some()
            || host == "gcr.io"
            || host.ends_with(".gcr.io")
            || host.ends_with("docker.io")
    }

    /// The location of an Artifact Registry.
    pub fn location(&self) -> Option<&str> {
        self.host.strip_suffix("-docker.pkg.dev")
    }

    /// The registry, for who is named by the variables `XETL_<variables>_USER` and `_PASSWORD`,
    /// by Google's credentials for Artifact Registry, or by Docker's config.
    pub async fn registry(
        &self,
        target: &Target,
        variables: &str,
        insecure: bool,
    ) -> Result<Registry, Failure> {
        let base = match self.location() {
            Some(location) => target.registry(location),
            None if insecure => format!("http://{}", self.host),
            None => format!("https://{}", self.host),
        };
        let base = Url::parse(&base)
            .map_err(|error| Failure::new(Kind::Usage, format!("`{}`: {error}", self.name())))?;
        let login = match of_environment(variables) {
            Some(basic) => Login::Basic(basic),
            None if self.location().is_some() => self.google(target).await?,
            None => docker_login(&self.host).await?,
        };
        Ok(Registry::new(base, &self.repository, login))
    }

    /// Google's credentials; Docker's where there are none.
    async fn google(&self, target: &Target) -> Result<Login, Failure> {
        if access_token(target).await.is_err() {
            let login = docker_login(&self.host).await?;
            if !matches!(login, Login::Anonymous) {
                return Ok(login);
            }
        }
        Ok(google_login(target))
    }
}

/// Google's credentials, as Artifact Registry takes them.
pub fn google_login(target: &Target) -> Login {
    let target = target.clone();
    Login::Google(std::sync::Arc::new(move || {
        let target = target.clone();
        Box::pin(async move { Ok(access_token(&target).await?) })
    }))
}

/// The workspace's target for a place of Artifact Registry; Google's where there is no workspace.
pub async fn target_of(context: &Context, places: &[&Place]) -> Result<Target, Failure> {
    // A local cloud is not started for a registry that is none of it.
    let is_google = places.iter().any(|place| place.location().is_some());
    match context.workspace() {
        Ok(workspace) if is_google => context.target(&workspace).await,
        _ => Ok(Target::google()),
    }
}

fn of_environment(variables: &str) -> Option<Basic> {
    let variable = |part: &str| env::var(format!("XETL_{variables}_{part}")).ok();
    Some(Basic {
        user: variable("USER")?,
        password: variable("PASSWORD")?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_a_host_a_repository_and_a_reference() {
        let place = Place::parse("r1-docker.pkg.dev/p/xetl-acme/runtime:v1").unwrap();
        assert_eq!(place.location(), Some("r1"));
        assert_eq!(place.name(), "r1-docker.pkg.dev/p/xetl-acme/runtime");
        assert_eq!(place.reference(), "v1");
        let digest = format!("sha256:{}", "a".repeat(64));
        let place = Place::parse(&format!("127.0.0.1:5000/a@{digest}")).unwrap();
        assert_eq!((place.reference(), place.tag.as_deref()), (&*digest, None));
        let place = Place::parse("127.0.0.1:5000/a").unwrap();
        assert_eq!((place.reference(), place.tag.as_deref()), ("latest", None));
        assert!(Place::parse("a b").is_err());
    }

    #[test]
    fn cloud_run_pulls_from_few_registries() {
        for (name, serves) in [
            ("r1-docker.pkg.dev/p/r/i", true),
            ("eu.gcr.io/p/i", true),
            ("debian:12", true),
            ("ghcr.io/o/i", false),
            ("evilgcr.io/o/i", false),
        ] {
            assert_eq!(
                Place::parse(name).unwrap().serves_cloud_run(),
                serves,
                "{name}"
            );
        }
    }
}
