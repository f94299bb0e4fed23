//! An image the user names in xetl.yaml: whether jobs could run it, as far as its registry tells.

use super::place::Place;
use crate::failure::{Failure, Kind, chain};
use crate::image::document::Document;
use crate::image::registry::{Registry, RegistryError};
use crate::target::Target;

/// Looks at the image: an error where no job could run it, a remark where it is doubtful.
pub async fn check(target: &Target, name: &str) -> Result<Option<String>, Failure> {
    let place = Place::parse(name)?;
    if !place.serves_cloud_run() {
        return Err(foreign(&place, name));
    }
    let registry = place.registry(target, "REGISTRY", false).await?.to_read();
    match look(&registry, &place).await {
        Ok(found) => judge(name, &place, &found),
        Err(error) if error.is_absent() => Err(absent(&place, name)),
        // The jobs' service agent pulls, and may see what the caller may not.
        Err(error) => Ok(Some(format!(
            "Whether the image {name} is there is not known: {}.",
            chain(&error)
        ))),
    }
}

/// What the registry has under the name.
struct Found {
    digest: String,
    /// `linux/amd64`, of each image of it.
    platforms: Vec<String>,
}

async fn look(registry: &Registry, place: &Place) -> Result<Found, RegistryError> {
    let document = registry.manifest(place.reference()).await?;
    let platforms = match document.is_index() {
        true => document
            .children()
            .iter()
            .filter_map(|child| Some(child.platform.as_ref()?.to_string()))
            .collect(),
        false => vec![platform(registry, &document).await?],
    };
    Ok(Found {
        digest: document.digest,
        platforms,
    })
}

async fn platform(registry: &Registry, document: &Document) -> Result<String, RegistryError> {
    let Some(config) = document.config() else {
        return Ok("unknown".to_owned());
    };
    let config = registry.small_blob(&config.digest).await?;
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
    let word = |key: &str| config[key].as_str().unwrap_or("unknown").to_owned();
    Ok(format!("{}/{}", word("os"), word("architecture")))
}

fn judge(name: &str, place: &Place, found: &Found) -> Result<Option<String>, Failure> {
    if !found
        .platforms
        .iter()
        .any(|it| it.starts_with("linux/amd64"))
    {
        let has = found.platforms.join(", ");
        return Err(Failure::new(
            Kind::Usage,
            format!("the image {name} is for {has}, and Cloud Run needs linux/amd64"),
        ));
    }
    let is_pinned = place.digest.is_some();
    Ok((!is_pinned).then(|| {
        format!(
            "The image {name} is a tag, which may move between a plan and a run. \
             Pin it in xetl.yaml:\n  image: {}@{}",
            place.name(),
            found.digest
        )
    }))
}

fn foreign(place: &Place, name: &str) -> Failure {
    let sentence = format!(
        "Cloud Run cannot pull the image {name}: it takes them from Artifact Registry and Docker Hub, not from {}",
        place.host
    );
    let last = place.repository.rsplit('/').next().unwrap_or_default();
    Failure::new(Kind::Usage, sentence).hint(format!(
        "`xetl image copy {name} REGION-docker.pkg.dev/PROJECT/REPOSITORY/{last}`, and name that in xetl.yaml"
    ))
}

fn absent(place: &Place, name: &str) -> Failure {
    let sentence = format!("there is no image {name}, or you may not see it");
    Failure::new(Kind::Usage, sentence).hint(format!(
        "`xetl image list {}` shows what is there, `xetl image copy` brings one; \
         without `image:` in xetl.yaml xetl builds and pushes its own",
        place.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(platforms: &[&str]) -> Found {
        Found {
            digest: format!("sha256:{}", "a".repeat(64)),
            platforms: platforms.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    fn judged(name: &str, platforms: &[&str]) -> Result<Option<String>, String> {
        let place = Place::parse(name).unwrap();
        judge(name, &place, &found(platforms)).map_err(|failure| failure.sentence)
    }

    #[test]
    fn a_tag_is_told_its_digest_and_a_digest_nothing() {
        let remark = judged("r-docker.pkg.dev/p/r/i:v1", &["linux/amd64"]).unwrap();
        assert!(
            remark
                .unwrap()
                .contains("image: r-docker.pkg.dev/p/r/i@sha256:aaaa")
        );
        let pinned = format!("r-docker.pkg.dev/p/r/i@sha256:{}", "a".repeat(64));
        assert_eq!(judged(&pinned, &["linux/arm64", "linux/amd64"]), Ok(None));
    }

    #[test]
    fn an_image_for_another_machine_is_refused() {
        let error = judged("r-docker.pkg.dev/p/r/i:v1", &["linux/arm64/v8"]).unwrap_err();
        assert!(error.contains("is for linux/arm64/v8"), "{error}");
    }

    #[tokio::test]
    async fn a_registry_cloud_run_does_not_know_is_named_with_the_way_around() {
        let refused = check(&Target::google(), "ghcr.io/o/runtime:v1")
            .await
            .unwrap_err();
        assert!(refused.sentence.contains("not from ghcr.io"));
        assert!(
            refused
                .hint
                .unwrap()
                .contains("`xetl image copy ghcr.io/o/runtime:v1 ")
        );
    }
}
