//! An image as a folder in the OCI layout, to look at or to push with other tools.

use std::path::Path;

use oci_spec::image::{ImageIndexBuilder, MediaType, OciLayoutBuilder, SCHEMA_VERSION};

use super::manifest::{descriptor, stable_json};
use super::{BlobInfo, BuiltImage, ImageError, replace};

pub fn write(image: &BuiltImage, folder: &Path) -> Result<(), ImageError> {
    let blobs = [
        image.layer_bytes()?,
        image.config.clone(),
        image.manifest.clone(),
    ];
    for bytes in blobs {
        let name = BlobInfo::of(&bytes).digest.replace(':', "/");
        replace(&folder.join("blobs").join(name), &bytes)?;
    }
    let documents = || {
        let manifest = descriptor(MediaType::ImageManifest, &BlobInfo::of(&image.manifest))?;
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([manifest])
            .build()?;
        let layout = OciLayoutBuilder::default()
            .image_layout_version("1.0.0")
            .build()?;
        Ok((stable_json(&index)?, stable_json(&layout)?))
    };
    let (index, layout) = documents().map_err(ImageError::Describe)?;
    replace(&folder.join("index.json"), &index)?;
    replace(&folder.join("oci-layout"), &layout)
}
