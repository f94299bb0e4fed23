//! `xetl image build`: the image into folders and files, without a registry.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::image::{BuiltImage, Package};
use crate::images::package;
use crate::view::{View, bytes};

/// Write the image into a folder, and what is said of it into files
#[derive(clap::Args, Debug)]
#[group(id = "outputs", required = true, multiple = true)]
pub struct BuildArgs {
    /// Folder to write an OCI layout to
    #[arg(long, value_name = "DIR", group = "outputs")]
    oci_layout: Option<PathBuf>,
    /// Folder to write the image's files to, as the Dockerfile copies them
    #[arg(long, value_name = "DIR", group = "outputs")]
    rootfs: Option<PathBuf>,
    /// File to write the list of components to (CycloneDX)
    #[arg(long, value_name = "FILE", group = "outputs")]
    sbom: Option<PathBuf>,
    /// File to write the provenance to (in-toto, SLSA)
    #[arg(long, value_name = "FILE", group = "outputs")]
    provenance: Option<PathBuf>,
    /// A runtime for arm64, to make an index of both [env: XETL_RUNTIME_BIN_ARM64]
    #[arg(long, value_name = "PATH")]
    arm64_binary: Option<PathBuf>,
}

pub fn run(context: &Context, view: &mut View, args: &BuildArgs) -> Result<(), Failure> {
    let workspace = context.workspace().ok();
    let package = package(workspace.as_ref(), args.arm64_binary.as_deref())?;
    // What files hold is said of Cloud Run's image.
    let image = &package.images[0];
    if let Some(folder) = &args.oci_layout {
        package.write_layout(folder)?;
    }
    if let Some(folder) = &args.rootfs {
        image.write_rootfs(folder)?;
    }
    if let Some(file) = &args.sbom {
        write(file, image, "cyclonedx")?;
    }
    if let Some(file) = &args.provenance {
        write(file, image, "in-toto")?;
    }
    show(view, args, &package)
}

fn write(file: &Path, image: &BuiltImage, kind: &str) -> Result<(), Failure> {
    let mut attachments = image.attachments.iter();
    let attachment = attachments.find(|it| it.kind.contains(kind));
    let attachment = attachment.ok_or_else(|| {
        Failure::new(
            Kind::Failed,
            "the runtime carries no list of its components",
        )
        .hint("build it with `make runtime`, which puts one in")
    })?;
    fs::write(file, &attachment.statement)
        .map_err(|error| Failure::new(Kind::Failed, format!("`{}`: {error}", file.display())))
}

fn show(view: &mut View, args: &BuildArgs, package: &Package) -> Result<(), Failure> {
    let outputs = [&args.oci_layout, &args.rootfs, &args.sbom, &args.provenance];
    let outputs = outputs.into_iter().flatten();
    let outputs: Vec<String> = outputs.map(|path| path.display().to_string()).collect();
    let (digest, size) = (&package.digest, package.size());
    if view.is_json() {
        return Ok(view.json(&json!({"digest": digest, "size": size, "written": outputs}))?);
    }
    let (size, outputs) = (bytes(size), outputs.join(", "));
    Ok(view.line(format!("{digest} in {outputs}, {size}"))?)
}
