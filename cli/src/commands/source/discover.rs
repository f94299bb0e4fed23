//! `xetl source discover`: a source's streams as they are with a config.

use serde_json::{Value, json};
use xetl_runtime::source::Wanted;
use xetl_runtime::stream::{Stream, StreamInfo};

use super::trial::{TrialArgs, trouble};
use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// Print a source's streams with their keys, cursors and schemas
#[derive(clap::Args, Debug)]
pub struct DiscoverArgs {
    #[command(flatten)]
    trial: TrialArgs,
    /// Only this stream (may be given again); its fields are listed
    #[arg(long = "stream", value_name = "STREAM")]
    streams: Vec<String>,
    /// Leave out streams that cannot run here
    #[arg(long)]
    skip_unsupported: bool,
}

pub async fn run(context: &Context, view: &mut View, args: &DiscoverArgs) -> Result<(), Failure> {
    let wanted = Wanted {
        skip_unsupported: args.skip_unsupported,
        ..Wanted::named(&args.streams)
    };
    let source = args.trial.open(context, &wanted, None).await?;
    let mut found = Vec::new();
    for stream in source.streams() {
        found.push(described(stream.as_ref()).await?);
    }
    if view.is_json() {
        let streams: Vec<Value> = found.iter().map(|it| catalog(&it.0, &it.1)).collect();
        return Ok(view.json(&json!({"streams": streams}))?);
    }
    let rows = found.iter().map(|(info, schema)| row(info, schema));
    view.cells(&["stream", "key", "cursor", "fields"], rows.collect(), &[3])?;
    if !args.streams.is_empty() {
        for (info, schema) in &found {
            view.line("")?;
            view.cells(&[&info.name, "type"], fields(schema), &[])?;
        }
    }
    Ok(())
}

async fn described(stream: &dyn Stream) -> Result<(StreamInfo, Value), Failure> {
    let schema = stream.schema().await.map_err(|error| trouble(&error))?;
    Ok((stream.info().clone(), schema))
}

/// A stream as Airbyte's catalog has it.
fn catalog(info: &StreamInfo, schema: &Value) -> Value {
    let key: Vec<Vec<&String>> = info.primary_key.iter().map(|key| vec![key]).collect();
    let modes = match info.cursor_field {
        Some(_) => json!(["full_refresh", "incremental"]),
        None => json!(["full_refresh"]),
    };
    json!({
        "name": info.name,
        "json_schema": schema,
        "supported_sync_modes": modes,
        "source_defined_primary_key": key,
        "default_cursor_field": info.cursor_field.iter().collect::<Vec<_>>(),
    })
}

fn row(info: &StreamInfo, schema: &Value) -> Vec<String> {
    let fields = schema["properties"].as_object();
    vec![
        info.name.clone(),
        info.primary_key.join(", "),
        info.cursor_field.clone().unwrap_or_default(),
        fields.map_or("-".to_owned(), |fields| fields.len().to_string()),
    ]
}

fn fields(schema: &Value) -> Vec<Vec<String>> {
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, property)| vec![name.clone(), kind(property)])
        .collect()
}

/// A property's type in a word, without `null`.
fn kind(property: &Value) -> String {
    let names = match &property["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::String(name) => vec![name.as_str()],
        _ => Vec::new(),
    };
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "null").collect();
    let format = property["format"].as_str();
    match (names.join(" or "), format) {
        (names, Some(format)) if !names.is_empty() => format!("{names} ({format})"),
        (names, _) if names.is_empty() => "any".to_owned(),
        (names, _) => names,
    }
}
