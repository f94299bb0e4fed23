//! Which image a client's jobs run, and how it gets into the repository.

use crate::apply::PushImage;
use crate::desired::Image;
use crate::failure::{Failure, Kind};
use crate::session::Session;

/// The image of a client's jobs.
pub struct Images {
    image: Image,
}

impl Images {
    pub fn of(session: &Session) -> Result<Images, Failure> {
        match &session.client.image {
            Some(name) => Ok(Images {
                image: Image::Given { name: name.clone() },
            }),
            None => Err(
                Failure::new(Kind::Usage, "xetl.yaml names no image for the jobs")
                    .hint("add `image: ...@sha256:...`"),
            ),
        }
    }

    pub fn image(&self) -> Image {
        self.image.clone()
    }
}

impl PushImage for Images {
    async fn push(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}
