//! How images look: what a push or a copy did, a repository's list, all of one image.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::{BOLD, DIM, View};
use crate::cloud::StoredImage;
use crate::image::document::Descriptor;
use crate::image::inspect::{InspectedImage, Inspection};
use crate::image::registry::{Copied, Pushed};

/// `12.3 MiB`
pub fn bytes(size: u64) -> String {
    indicatif::BinaryBytes(size).to_string()
}

/// The jobs that pin a digest.
type Pins = BTreeMap<String, Vec<String>>;

impl View {
    /// The image's full name on stdout, which jobs can pin.
    pub fn pushed(&mut self, name: &str, pushed: &Pushed) -> io::Result<()> {
        let image = format!("{name}@{}", pushed.digest);
        if self.is_json() {
            return self.json(&json!({"image": image, "sent": pushed.sent}));
        }
        self.sent(pushed.sent);
        self.line(image)
    }

    pub fn copied(&mut self, name: &str, tag: Option<&str>, copied: &Copied) -> io::Result<()> {
        let image = format!("{name}@{}", copied.digest);
        if self.is_json() {
            return self.json(&json!({"image": image, "tag": tag, "sent": copied.sent,
                "referrers": copied.referrers}));
        }
        self.sent(copied.sent);
        match copied.referrers {
            0 => {}
            1 => self.note("1 manifest that refers to it came along."),
            some => self.note(format!("{some} manifests that refer to it came along.")),
        }
        self.line(image)
    }

    fn sent(&mut self, sent: u64) {
        self.note(match sent {
            0 => "The image was there already.".to_owned(),
            sent => format!("Sent {}.", bytes(sent)),
        });
    }

    /// What a repository holds; `pins` where the jobs of its client are known.
    pub fn images(
        &mut self,
        name: &str,
        images: &[StoredImage],
        pins: Option<&Pins>,
    ) -> io::Result<()> {
        if self.is_json() {
            return self.json(&json!({"repository": name, "images": images
                .iter().map(|image| listed(image, pins)).collect::<Vec<_>>()}));
        }
        if images.is_empty() {
            self.note(format!("There is no image in {name}."));
            return Ok(());
        }
        let mut header = vec!["DIGEST", "TAGS", "KIND", "SIZE"];
        // Only Artifact Registry's own API knows when, and only of a client its jobs are known.
        if pins.is_some() {
            header.extend(["UPLOADED", "PINNED BY"]);
        }
        let rows = images.iter().map(|image| row(image, pins)).collect();
        self.cells(&header, rows, &[3])
    }

    /// All of one image.
    pub fn inspection(&mut self, name: &str, found: &Inspection) -> io::Result<()> {
        if self.is_json() {
            return self.json(&found.json(name));
        }
        self.line(format!("{BOLD}{name}@{}{BOLD:#}", found.document.digest))?;
        self.line(format!("  type       {}", found.document.media_type))?;
        for image in &found.images {
            self.inspected(image, found.document.is_index())?;
        }
        self.referrers(&found.referrers)
    }

    fn inspected(&mut self, image: &InspectedImage, of_index: bool) -> io::Result<()> {
        let document = &image.document;
        let platform = image.platform.as_ref();
        let platform = platform.map_or_else(|| "no platform".to_owned(), ToString::to_string);
        match of_index {
            true => {
                self.line("")?;
                self.line(format!(
                    "{BOLD}{platform}{BOLD:#}  {DIM}{}{DIM:#}",
                    document.digest
                ))?;
            }
            false => self.line(format!("  platform   {platform}"))?,
        }
        for (label, value) in facts(&image.config) {
            self.line(format!("  {label:<10} {value}"))?;
        }
        let annotations = document.as_referrer().annotations;
        self.named(
            "labels",
            annotations.iter().map(|(key, value)| {
                let key = key.trim_start_matches("org.opencontainers.image.");
                format!("{key}={value}")
            }),
        )?;
        self.named("layers", document.layers().iter().map(described))?;
        self.referrers(&image.referrers)
    }

    fn referrers(&mut self, referrers: &[Descriptor]) -> io::Result<()> {
        self.named("referrers", referrers.iter().map(described))
    }

    /// Lines under one label, which stands before the first.
    fn named(&mut self, label: &str, lines: impl Iterator<Item = String>) -> io::Result<()> {
        for (number, line) in lines.enumerate() {
            let label = if number == 0 { label } else { "" };
            self.line(format!("  {label:<10} {line}"))?;
        }
        Ok(())
    }
}

fn listed(image: &StoredImage, pins: Option<&Pins>) -> Value {
    let mut value = json!({"digest": image.digest, "tags": image.tags, "kind": kind(image),
        "media_type": image.media_type, "size": image.size, "uploaded": image.uploaded});
    if let Some(pins) = pins {
        value["pinned_by"] = json!(pins.get(&image.digest).cloned().unwrap_or_default());
    }
    value
}

fn row(image: &StoredImage, pins: Option<&Pins>) -> Vec<String> {
    let size = match image.size {
        0 => String::new(),
        size => bytes(size),
    };
    let mut row = vec![
        image.digest.clone(),
        image.tags.join(","),
        kind(image),
        size,
    ];
    if let Some(pins) = pins {
        let uploaded = image.uploaded.as_deref().unwrap_or("");
        // To the minute, which is enough to tell two apart.
        let uploaded = uploaded.get(..16).unwrap_or(uploaded).replace('T', " ");
        let jobs = pins.get(&image.digest).map(|jobs| jobs.join(","));
        row.extend([uploaded, jobs.unwrap_or_default()]);
    }
    row
}

/// A word for what it is.
fn kind(image: &StoredImage) -> String {
    let artifact = image.artifact_type.as_str();
    if image.media_type.contains("index") || image.media_type.contains("manifest.list") {
        return "index".to_owned();
    }
    if artifact.is_empty()
        || artifact.contains("image.config")
        || artifact.contains("container.image")
    {
        return "image".to_owned();
    }
    short(artifact)
}

/// `application/vnd.cyclonedx+json` without what all types have.
fn short(kind: &str) -> String {
    let kind = kind.trim_start_matches("application/");
    let kind = kind.trim_start_matches("vnd.");
    kind.trim_end_matches("+json").to_owned()
}

fn described(descriptor: &Descriptor) -> String {
    let kind = descriptor.artifact_type.as_deref();
    let kind = short(kind.unwrap_or(&descriptor.media_type));
    format!(
        "{} {DIM}{kind}, {}{DIM:#}",
        descriptor.digest,
        bytes(descriptor.size)
    )
}

/// What an image's config says of the program.
fn facts(config: &Value) -> Vec<(&'static str, String)> {
    let process = &config["config"];
    let words = |key: &str| -> String {
        let words = process[key].as_array().into_iter().flatten();
        let words: Vec<&str> = words.filter_map(Value::as_str).collect();
        words.join(" ")
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let program = [words("Entrypoint"), words("Cmd")].join(" ");
    let facts = [
        ("created", word(&config["created"])),
        ("program", program.trim().to_owned()),
        ("user", word(&process["User"])),
        ("env", words("Env")),
    ];
    facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}
