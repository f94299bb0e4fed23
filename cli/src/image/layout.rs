//! An image as a folder in the OCI layout, to look at or to push with other tools.

use std::path::Path;

use oci_spec::image::{ImageIndexBuilder, MediaType, OciLayoutBuilder, SCHEMA_VERSION};

use super::manifest::{descriptor, stable_json};
use super::{BlobInfo, ImageError, Package, replace};

pub fn write(package: &Package, folder: &Path) -> Result<(), ImageError> {
    let root = package.root();
    let mut blobs = vec![root.bytes.clone()];
    for image in &package.images {
        blobs.extend([
            image.layer_bytes()?,
            image.config.clone(),
            image.manifest.clone(),
        ]);
    }
    for bytes in blobs {
        let name = BlobInfo::of(&bytes).digest.replace(':', "/");
        replace(&folder.join("blobs").join(name), &bytes)?;
    }
    let documents = || {
        let kind = MediaType::from(root.media_type.as_str());
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([descriptor(kind, &BlobInfo::of(&root.bytes))?])
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
