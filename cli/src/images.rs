//! Which image a client's jobs run, and how it gets into the repository.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::apply::PushImage;
use crate::cloud::access_token;
use crate::desired::Image;
use crate::failure::{Failure, Kind, chain};
use crate::image::auth::Login;
use crate::image::registry::{Pushed, Registry, RegistryError};
use crate::image::{BuiltImage, local_image};
use crate::programs;
use crate::session::Session;
use crate::target::Target;

/// The image of a client's jobs: the user's own, or the runtime packed by xetl.
pub struct Images {
    image: Image,
    ours: Option<Ours>,
}

struct Ours {
    built: BuiltImage,
    target: Target,
    /// Where the registry of the client's region is.
    base: Url,
}

impl Images {
    pub fn of(session: &Session) -> Result<Images, Failure> {
        Images::shared(session, &mut None)
    }

    /// The same for one of many clients: `packed` keeps our image from one to the next.
    pub fn shared(session: &Session, packed: &mut Option<BuiltImage>) -> Result<Images, Failure> {
        if let Some(name) = &session.client.image {
            let image = Image::of_pin(name);
            return Ok(Images { image, ours: None });
        }
        let built = match packed {
            Some(built) => built.clone(),
            None => local_image(&runtime_binary()?, &session.workspace.cache().join("image"))?,
        };
        *packed = Some(built.clone());
        let address = session.target.registry(&session.client.region);
        let base = Url::parse(&address).map_err(|error| Failure::of(Kind::Usage, &error))?;
        let image = Image::Built {
            digest: built.digest.clone(),
        };
        let target = session.target.clone();
        let ours = Some(Ours {
            built,
            target,
            base,
        });
        Ok(Images { image, ours })
    }

    pub fn image(&self) -> Image {
        self.image.clone()
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
        let target = self.target.clone();
        let login = Login::Google(Arc::new(move || {
            let target = target.clone();
            Box::pin(async move { Ok(access_token(&target).await?) })
        }));
        let registry = Registry::new(
            reqwest::Client::new(),
            self.base.clone(),
            repository(image),
            login,
        );
        registry.push(&self.built, Some("latest")).await
    }
}

/// `P/xetl-acme/runtime` of `R-docker.pkg.dev/P/xetl-acme/runtime@sha256:...`.
fn repository(image: &str) -> &str {
    let path = image.split_once('/').map_or(image, |(_, path)| path);
    path.split_once('@').map_or(path, |(path, _)| path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_the_name_without_host_and_digest() {
        let name = "r1-docker.pkg.dev/example.com/p/xetl-acme/runtime@sha256:00";
        assert_eq!(repository(name), "example.com/p/xetl-acme/runtime");
    }
}
