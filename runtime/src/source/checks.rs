//! Whether a config works: the streams a manifest names for this are tried.

use std::borrow::Cow;

use futures::StreamExt;
use serde_json::{Map, Value as Json};

use crate::stream::{SourceError, State, Stream};

use super::blueprint::{Blueprint, Opened};
use super::component::Component;
use super::definitions::Definition;
use super::dynamic;

/// A field of the config that names other streams to try.
const STREAM_NAMES: &str = "__airbyte_check_stream_names";

/// Tries what the manifest's `check` says.
pub async fn run(blueprint: &Blueprint) -> Result<(), SourceError> {
    let root = Component::new(blueprint.manifest(), "manifest");
    let check = root.need("check")?;
    let check = Component::new(check.json(), "check");
    match check.field("config_overrides").and_then(Json::as_object) {
        Some(overrides) if !overrides.is_empty() => {
            check_overrides(&check, overrides, blueprint.manifest())?;
            try_streams(&check, &blueprint.overlaid(overrides)?).await
        }
        _ => try_streams(&check, blueprint).await,
    }
}

async fn try_streams(check: &Component<'_>, blueprint: &Blueprint) -> Result<(), SourceError> {
    match check.kind() {
        "CheckStream" => try_named(check, blueprint).await,
        "CheckDynamicStream" => try_first(check, blueprint).await,
        _ => Err(check.unknown("CheckStream or CheckDynamicStream")),
    }
}

fn check_overrides(
    check: &Component<'_>,
    overrides: &Map<String, Json>,
    manifest: &Json,
) -> Result<(), SourceError> {
    if let Some(key) = overrides.keys().find(|key| key.starts_with("__airbyte")) {
        return Err(check.error(format!("`config_overrides` cannot set `{key}`")));
    }
    match rotates_tokens(manifest) {
        true => Err(check.error(
            "`config_overrides` cannot be used with a `refresh_token_updater`, \
             which would keep what is meant for the check alone",
        )),
        false => Ok(()),
    }
}

fn rotates_tokens(value: &Json) -> bool {
    match value {
        Json::Object(fields) => {
            let keeps = fields
                .get("refresh_token_updater")
                .is_some_and(|updater| !updater.is_null());
            let kind = fields.get("type").and_then(Json::as_str);
            let is_authenticator =
                matches!(kind, Some("OAuthAuthenticator" | "CustomAuthenticator"));
            (keeps && is_authenticator) || fields.values().any(rotates_tokens)
        }
        Json::Array(values) => values.iter().any(rotates_tokens),
        _ => false,
    }
}

async fn try_named(check: &Component<'_>, blueprint: &Blueprint) -> Result<(), SourceError> {
    let dynamic = check.children("dynamic_streams_check_configs");
    let names = names(check, blueprint)?;
    if names.is_empty() && dynamic.is_empty() {
        return Err(
            check.error("`stream_names` is empty; name a stream that shows the config works")
        );
    }
    let written = blueprint.written();
    let is_written = |name: &String| written.iter().any(|stream| stream.name() == name);
    let streams = match dynamic.is_empty() && names.iter().all(is_written) {
        true => Cow::Borrowed(written),
        false => blueprint.all().await?,
    };
    for name in &names {
        let stream = streams.iter().find(|stream| stream.name() == name);
        let stream = stream.ok_or_else(|| check.error(format!("there is no stream `{name}`")))?;
        try_stream(stream, blueprint).await?;
    }
    for config in &dynamic {
        try_made(config, &streams, blueprint).await?;
    }
    Ok(())
}

fn names(check: &Component<'_>, blueprint: &Blueprint) -> Result<Vec<String>, SourceError> {
    let texts = |value: &Json| -> Option<Vec<String>> {
        let names = value.as_array()?.iter();
        names.map(|name| name.as_str().map(str::to_owned)).collect()
    };
    match blueprint.config().0.get(STREAM_NAMES) {
        Some(Json::Array(names)) if names.is_empty() => {}
        Some(names) => {
            return texts(names)
                .ok_or_else(|| check.error(format!("`{STREAM_NAMES}` is no list of names")));
        }
        None => {}
    }
    Ok(check
        .field("stream_names")
        .and_then(texts)
        .unwrap_or_default())
}

/// Tries the first streams that a dynamic stream made; all of them without a count.
async fn try_made(
    config: &Component<'_>,
    streams: &[Definition],
    blueprint: &Blueprint,
) -> Result<(), SourceError> {
    let name = config.text("dynamic_stream_name").unwrap_or_default();
    let written = blueprint.manifest()["dynamic_streams"].as_array();
    let mut written = written.into_iter().flatten().enumerate();
    if !written.any(|(index, json)| dynamic::name(json, index) == name) {
        return Err(config.error(format!("there is no dynamic stream `{name}`")));
    }
    let count = config.field("stream_count").and_then(Json::as_u64);
    let made = streams
        .iter()
        .filter(|stream| stream.made_by.as_deref() == Some(name))
        .take(count.map_or(usize::MAX, |count| count as usize));
    for stream in made {
        try_stream(stream, blueprint).await?;
    }
    Ok(())
}

/// Tries the first `stream_count` streams of all there are.
async fn try_first(check: &Component<'_>, blueprint: &Blueprint) -> Result<(), SourceError> {
    let streams = blueprint.all().await?;
    if streams.is_empty() {
        return Err(check.error("there are no streams to try"));
    }
    if check.field("use_check_availability") == Some(&Json::Bool(false)) {
        return Ok(());
    }
    let count = check.field("stream_count").and_then(Json::as_i64);
    let count = count.ok_or_else(|| check.error("CheckDynamicStream needs `stream_count`"))?;
    for stream in streams.iter().take(count.max(0) as usize) {
        try_stream(stream, blueprint).await?;
    }
    Ok(())
}

async fn try_stream(stream: &Definition, blueprint: &Blueprint) -> Result<(), SourceError> {
    let Opened { streams, unfit } = blueprint.open([stream]);
    match streams.first() {
        Some(stream) => first_record(stream.as_ref()).await,
        None => {
            let fit = blueprint.open(blueprint.written()).streams;
            let fit = fit.iter().map(|stream| stream.info().name.clone());
            let fit = fit.collect();
            Err(SourceError::CannotRun { unfit, fit })
        }
    }
}

/// Reads the first slice until it has a record or ends.
async fn first_record(stream: &dyn Stream) -> Result<(), SourceError> {
    let state = State::Null;
    let slice = stream.slices(&state).next().await.transpose()?;
    let Some(slice) = slice.filter(|slice| slice.closing.is_none()) else {
        return Err(SourceError::Config {
            at: "check".to_owned(),
            problem: format!(
                "stream `{}` has nothing to read: its parents have no records",
                stream.info().name
            ),
        });
    };
    let mut pages = stream.pages(&slice);
    while let Some(page) = pages.next().await.transpose()? {
        if !page.records.is_empty() {
            break;
        }
    }
    Ok(())
}
