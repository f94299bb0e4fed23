//! JsonFileSchemaLoader: schemas in files beside the manifest.
//!
//! Whoever reads a manifest's file attaches the schema files to it, as text under
//! one key, so that the manifest stays whole wherever it goes. When a manifest is
//! opened each loader gets its file's schema, as if it stood in the manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use crate::source::component::Component;
use crate::source::template::Scope;

/// Where a manifest keeps the text of its schema files, by their paths beside it.
const FILES: &str = "$schema_files";
/// More is no folder of schemas.
const MOST_FILES: usize = 1000;
const LONGEST_FILE: u64 = 4 * 1024 * 1024;
/// References that lead on for longer lead in a circle.
const DEEPEST: usize = 50;

/// Adds the schema files beside a manifest's file to the manifest.
pub fn attach_files(manifest: &mut Json, file: &Path) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut found = BTreeMap::new();
    collect(folder, &folder.join("schemas"), &mut found)?;
    if let (Some(fields), false) = (manifest.as_object_mut(), found.is_empty()) {
        fields.insert(FILES.to_owned(), json!(found));
    }
    Ok(())
}

fn collect(
    root: &Path,
    folder: &Path,
    found: &mut BTreeMap<String, String>,
) -> std::io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, found)?;
        } else if is_schema(&path) && found.len() < MOST_FILES {
            let name = path.strip_prefix(root).unwrap_or(&path);
            let name = name.to_string_lossy().replace('\\', "/");
            found.insert(name, std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

fn is_schema(path: &Path) -> bool {
    let short = path.metadata().is_ok_and(|file| file.len() <= LONGEST_FILE);
    path.extension().is_some_and(|ending| ending == "json") && short
}

/// Puts the attached schemas where a resolved manifest's streams load them from files.
pub fn place_files(manifest: &mut Json, scope: &Scope) {
    let Some(Json::Object(files)) = manifest
        .as_object_mut()
        .and_then(|it| it.shift_remove(FILES))
    else {
        return;
    };
    let files = Files(files);
    if let Some(streams) = manifest.get_mut("streams") {
        place(streams, &files, scope);
    }
}

fn place(node: &mut Json, files: &Files, scope: &Scope) {
    match node {
        Json::Array(values) => values
            .iter_mut()
            .for_each(|value| place(value, files, scope)),
        Json::Object(fields) => {
            if fields.get("type") == Some(&Json::from("DeclarativeStream")) {
                place_in_stream(fields, files, scope);
            }
            fields
                .values_mut()
                .for_each(|value| place(value, files, scope));
        }
        _ => {}
    }
}

fn place_in_stream(stream: &mut Map<String, Json>, files: &Files, scope: &Scope) {
    let name = stream
        .get("name")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let default = format!("schemas/{name}.json");
    match stream.get_mut("schema_loader") {
        None => {
            if let Some(schema) = files.schema(&default) {
                stream.insert("schema_loader".to_owned(), inline(schema));
            }
        }
        Some(Json::Array(loaders)) => {
            for loader in loaders {
                place_in_loader(loader, &default, files, scope);
            }
        }
        Some(loader) => place_in_loader(loader, &default, files, scope),
    }
}

fn place_in_loader(loader: &mut Json, default: &str, files: &Files, scope: &Scope) {
    let component = Component::new(loader, "schema_loader");
    if component.kind() != "JsonFileSchemaLoader" {
        return;
    }
    let path = component.template("file_path").ok().flatten();
    let path = path.and_then(|path| path.text(scope).ok());
    let path = path.filter(|path| !path.is_empty());
    if let Some(schema) = files.schema(path.as_deref().unwrap_or(default)) {
        *loader = inline(schema);
    }
}

fn inline(schema: Json) -> Json {
    json!({"type": "InlineSchemaLoader", "schema": schema})
}

struct Files(Map<String, Json>);

impl Files {
    /// The schema in a file, its references looked up.
    fn schema(&self, path: &str) -> Option<Json> {
        let name = self.name(path)?;
        let schema = self.read(&name)?;
        Some(self.whole(&schema, &schema, &name, 0))
    }

    /// A path as the files have it: in the reference the first folder is the connector's package.
    fn name(&self, path: &str) -> Option<String> {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let after_package = path.split_once('/').map_or(path, |(_, rest)| rest);
        let in_folder = format!("schemas/{path}");
        let names = [path, after_package, &in_folder];
        let found = names.into_iter().find(|name| self.0.contains_key(*name));
        found.map(str::to_owned)
    }

    fn read(&self, name: &str) -> Option<Json> {
        let text = self.0.get(name)?.as_str()?;
        let schema = serde_json::from_str(text);
        schema
            .inspect_err(|error| tracing::warn!(%error, name, "a schema file is no JSON"))
            .ok()
    }

    fn whole(&self, node: &Json, root: &Json, file: &str, depth: usize) -> Json {
        match node {
            Json::Object(fields) => match fields.get("$ref").and_then(Json::as_str) {
                Some(reference) if depth < DEEPEST => self.referred(reference, root, file, depth),
                _ => {
                    let fields = fields
                        .iter()
                        .filter(|(key, _)| depth > 0 || *key != "definitions");
                    let whole = |value| self.whole(value, root, file, depth + 1);
                    fields
                        .map(|(key, value)| (key.clone(), whole(value)))
                        .collect()
                }
            },
            Json::Array(values) => {
                let whole = |value| self.whole(value, root, file, depth + 1);
                values.iter().map(whole).collect()
            }
            other => other.clone(),
        }
    }

    /// `#/definitions/x`, or a file in the shared folder, or a part of one.
    fn referred(&self, reference: &str, root: &Json, file: &str, depth: usize) -> Json {
        let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        if name.is_empty() {
            let found = root.pointer(pointer).cloned().unwrap_or_else(|| json!({}));
            return self.whole(&found, root, file, depth + 1);
        }
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let places = [
            format!("{folder}/shared/{name}"),
            format!("{folder}/{name}"),
        ];
        let found = places
            .iter()
            .find_map(|place| Some((place, self.read(place)?)));
        let Some((place, other)) = found else {
            tracing::warn!(
                reference,
                file,
                "a schema refers to a file that is not there"
            );
            return json!({});
        };
        let part = other.pointer(pointer).cloned().unwrap_or_else(|| json!({}));
        let mut part = self.whole(&part, &other, place, depth + 1);
        if let Some(fields) = part.as_object_mut() {
            fields.shift_remove("definitions");
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_in_files_are_placed_in_their_streams() {
        let folder = tempfile::tempdir().unwrap();
        let schemas = folder.path().join("schemas");
        std::fs::create_dir_all(schemas.join("shared")).unwrap();
        let write = |name: &str, schema: Json| {
            std::fs::write(schemas.join(name), schema.to_string()).unwrap();
        };
        write(
            "users.json",
            json!({"properties": {"a": {"$ref": "part.json"}, "b": {"$ref": "#/definitions/x"}},
            "definitions": {"x": {"type": "string"}}}),
        );
        write(
            "shared/part.json",
            json!({"type": "object", "definitions": {}}),
        );
        write("plain.json", json!({"properties": {"#/x": {}}}));
        let stream = |name: &str, loader: Json| json!({"type": "DeclarativeStream", "name": name, "schema_loader": loader});
        let by_file = |path: &str| json!({"type": "JsonFileSchemaLoader", "file_path": path});
        let mut manifest = json!({"type": "DeclarativeSource", "streams": [
            stream("a", by_file("./source_x/schemas/{{ config.file }}.json")),
            stream("plain", by_file("")),
            {"type": "DeclarativeStream", "name": "plain"},
            stream("missing", by_file("./schemas/none.json")),
        ]});
        attach_files(&mut manifest, &folder.path().join("manifest.yaml")).unwrap();
        let mut manifest = crate::source::manifest::resolve(&manifest).unwrap();
        place_files(
            &mut manifest,
            &Scope::new(minijinja::context! { file => "users" }),
        );
        let streams = &manifest["streams"];
        assert_eq!(
            streams[0]["schema_loader"]["schema"],
            json!({"properties": {"a": {"type": "object"}, "b": {"type": "string"}}})
        );
        let plain = json!({"properties": {"#/x": {}}});
        assert_eq!(streams[1]["schema_loader"]["schema"], plain);
        assert_eq!(streams[2]["schema_loader"]["schema"], plain);
        assert_eq!(streams[3]["schema_loader"]["type"], "JsonFileSchemaLoader");
        assert_eq!(manifest.get(FILES), None);
    }
}
