//! `xetl source show`: a source's streams, and what it asks for.

use serde_json::{Value, json};

use crate::config::Manifest;
use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// Show a source's streams and the config it takes
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// Source by name, or a manifest file
    #[arg(value_name = "SOURCE|FILE")]
    source: String,
    /// Print the manifest itself
    #[arg(long)]
    manifest: bool,
}

pub fn run(context: &Context, view: &mut View, args: &ShowArgs) -> Result<(), Failure> {
    let source = super::find(context, &args.source)?;
    if args.manifest {
        return Ok(view.line(source.text.trim_end())?);
    }
    let manifest = Manifest::of(&source)?;
    let mut streams = manifest.stream_names();
    // Of streams under conditions several have one name.
    let mut known = std::collections::HashSet::new();
    streams.retain(|name| known.insert(name.clone()));
    let fields = fields(manifest.specification());
    if view.is_json() {
        return Ok(view.json(&json!({
            "source": source.name,
            "streams": streams,
            "config": manifest.specification(),
        }))?);
    }
    let count = super::counted(streams.len(), "stream");
    view.line(format!("{}: {count}", source.label()))?;
    for stream in &streams {
        view.line(format!("  {stream}"))?;
    }
    if manifest.has_dynamic_streams() {
        view.line("  and those it finds: xetl source discover")?;
    }
    view.line("")?;
    Ok(view.cells(&["config", "type", "", "what it is"], fields, &[])?)
}

/// A row for each field of the config: its path, type, whether it is needed, and its title.
fn fields(specification: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    collect(specification, "", true, &mut rows);
    rows
}

fn collect(schema: &Value, at: &str, required: bool, rows: &mut Vec<Vec<String>>) {
    for variant in schema["oneOf"].as_array().into_iter().flatten() {
        let title = variant["title"].as_str().unwrap_or_default();
        rows.push(vec![
            format!("{at}:"),
            title.to_owned(),
            String::new(),
            String::new(),
        ]);
        collect(variant, at, required, rows);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if property.get("const").is_some() {
            continue;
        }
        let needed = schema["required"].as_array();
        let needed = required && needed.is_some_and(|names| names.iter().any(|it| it == name));
        let path = match at {
            "" => name.clone(),
            at => format!("{at}.{name}"),
        };
        let nested = property.get("properties").is_some() || property.get("oneOf").is_some();
        if !nested {
            rows.push(row(&path, property, needed));
        }
        collect(property, &path, needed, rows);
    }
}

fn row(path: &str, property: &Value, needed: bool) -> Vec<String> {
    let kind = match (&property["airbyte_secret"], property["type"].as_str()) {
        (Value::Bool(true), _) => "secret",
        (_, kind) => kind.unwrap_or("any"),
    };
    let need = match (needed, property.get("default")) {
        (_, Some(Value::String(default))) => format!("default {}", short(default)),
        (_, Some(default)) => format!("default {}", short(&default.to_string())),
        (true, None) => "required".to_owned(),
        (false, None) => String::new(),
    };
    let title = property["title"]
        .as_str()
        .or(property["description"].as_str());
    let title = title.unwrap_or_default().trim().to_owned();
    vec![path.to_owned(), kind.to_owned(), need, title]
}

/// A long default is told in the manifest, and would make the table too wide.
fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
