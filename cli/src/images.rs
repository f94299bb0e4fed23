//! Which image a client's jobs run, and how it gets into the repository.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;

use crate::apply::PushImage;
use crate::config::Workspace;
use crate::desired::Image;
use crate::failure::{Failure, Kind, chain};
use crate::image::registry::{Pushed, Registry, RegistryError};
use crate::image::{Package, local_package};
use crate::names;
use crate::programs;
use crate::session::Session;
use crate::target::Target;

mod given;
mod neighbours;
pub mod pin;
pub mod place;

use neighbours::Neighbours;
use place::google_login;

/// The image of a client's jobs: the user's own, or the runtime packed by xetl.
pub struct Images {
    image: Image,
    pinned: Option<String>,
    target: Target,
    ours: Option<Ours>,
}

struct Ours {
    package: Arc<Package>,
    target: Target,
    /// Where the registry of the client's region is.
    base: Url,
    neighbours: Neighbours,
}

impl Images {
    pub fn of(session: &Session) -> Result<Images, Failure> {
        Images::shared(session, &mut None)
    }

    /// The same for one of many clients: `packed` keeps our image from one to the next.
    pub fn shared(session: &Session, packed: &mut Option<Arc<Package>>) -> Result<Images, Failure> {
        if let Some(pin) = &session.client.image {
            return Ok(Images {
                image: Image::of_pin(pin),
                pinned: pinned_by(session),
                target: session.target.clone(),
                ours: None,
            });
        }
        let package = match packed {
            Some(package) => Arc::clone(package),
            None => Arc::new(package(Some(&session.workspace), None)?),
        };
        *packed = Some(Arc::clone(&package));
        Images::packed(session, package)
    }

    /// The images of a package that is at hand.
    pub fn packed(session: &Session, package: Arc<Package>) -> Result<Images, Failure> {
        let target = session.target.clone();
        let address = target.registry(&session.client.region);
        let base = Url::parse(&address).map_err(|error| Failure::of(Kind::Usage, &error))?;
        let image = Image::Built {
            digest: package.digest.clone(),
        };
        let neighbours = Neighbours::of(&session.workspace, &session.client, &address);
        let ours = Some(Ours {
            package,
            target: target.clone(),
            base,
            neighbours,
        });
        Ok(Images {
            image,
            pinned: None,
            target,
            ours,
        })
    }

    pub fn image(&self) -> Image {
        self.image.clone()
    }

    /// The full name of the user's own, where the jobs run that.
    pub fn pinned(&self) -> Option<&str> {
        self.pinned.as_deref()
    }

    /// Looks at an image of the user's own: an error where no job could run it, a remark where
    /// it is doubtful.
    pub async fn check(&self) -> Result<Option<String>, Failure> {
        match &self.pinned {
            Some(name) => given::check(&self.target, name).await,
            None => Ok(None),
        }
    }

    /// Pushes our image under its full name; `None` where the jobs run the user's own.
    pub async fn push_to(&self, image: &str) -> Result<Option<Pushed>, RegistryError> {
        match &self.ours {
            Some(ours) => ours.push(image).await.map(Some),
            None => Ok(None),
        }
    }
}

impl PushImage for Images {
    async fn push(&self, image: &str) -> Result<(), String> {
        match self.push_to(image).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                Err("the client's file pins it, and it is not in the repository".to_owned())
            }
            Err(error) => Err(chain(&error)),
        }
    }
}

impl Ours {
    async fn push(&self, image: &str) -> Result<Pushed, RegistryError> {
        let repository = repository(image);
        let login = google_login(&self.target);
        let registry = Registry::new(self.base.clone(), repository, login)
            .beside(self.neighbours.all(repository));
        let pushed = registry.push(&self.package, Some("latest")).await?;
        self.neighbours.remember(repository);
        Ok(pushed)
    }
}

/// The full name of what the client's file pins: a name, or a digest in its own repository.
pub fn pinned_by(session: &Session) -> Option<String> {
    let pin = session.client.image.as_ref()?;
    Some(match Image::of_pin(pin) {
        Image::Given { name } => name,
        Image::Built { digest } => format!("{}@{digest}", name_of(session)),
    })
}

/// `P/xetl-acme/runtime` of `R-docker.pkg.dev/P/xetl-acme/runtime@sha256:...`.
fn repository(image: &str) -> &str {
    let path = image.split_once('/').map_or(image, |(_, path)| path);
    path.split_once('@').map_or(path, |(path, _)| path)
}

/// The image of the runtime that is at hand; cached in the workspace, where there is one.
pub fn package(workspace: Option<&Workspace>, arm64: Option<&Path>) -> Result<Package, Failure> {
    let cache = match workspace {
        Some(workspace) => workspace.cache(),
        None => env::temp_dir().join("xetl-cache"),
    };
    let variable = env::var_os("XETL_RUNTIME_BIN_ARM64").map(PathBuf::from);
    let arm64 = arm64.map(Path::to_owned).or(variable);
    let package = local_package(&runtime_binary()?, arm64.as_deref(), &cache.join("image"))?;
    Ok(package)
}

/// The static `xetl-runtime` that goes into the image.
pub fn runtime_binary() -> Result<PathBuf, Failure> {
    if let Some(path) = env::var_os("XETL_RUNTIME_BIN") {
        return Ok(path.into());
    }
    programs::find("xetl-runtime").ok_or_else(|| {
        Failure::new(
            Kind::Usage,
            "there is no `xetl-runtime` beside xetl or in PATH to make the image of",
        )
        .hint("build it with `make runtime`, or name it in XETL_RUNTIME_BIN")
    })
}

/// The name of the client's image without a digest.
pub fn name_of(session: &Session) -> String {
    let client = &session.client;
    names::image(&client.project, &client.region, &client.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_the_name_without_host_and_digest() {
        let name = "r1-docker.pkg.dev/example.com/p/xetl-acme/runtime@sha256:00";
        assert_eq!(repository(name), "example.com/p/xetl-acme/runtime");
    }
}
