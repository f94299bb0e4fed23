//! Load jobs: Parquet files in a bucket become rows of a table, all or none.
//!
//! `load_plan` decides, from schemas alone, what the table's schema will be and
//! what is read; here the files are read and committed once.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::commit::{Change, apply};
use super::files::{Part, Source as ParquetSource};
use super::load_plan::{Plan, plan};
pub use super::objects::{Object, resolve};
use super::parquet_schema::{Reading, infer as infer_file, is_list, mismatch};
use super::reference::TableRef;
use super::resource::Object as Settings;
use super::schema::{Field, Mode, Schema, Type};
use super::table::{Commit, DataFile, Kind, Table};
use super::{conform, layout, partitions, tables};
use crate::cloud::Cloud;
use crate::error::ApiError;

/// Where Parquet comes from and how it is read: shared by loads and external tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub uris: Vec<String>,
    pub reading: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Write {
    #[default]
    #[serde(rename = "WRITE_APPEND")]
    Append,
    #[serde(rename = "WRITE_TRUNCATE")]
    Truncate,
    /// Replaces the rows and keeps the schema.
    #[serde(rename = "WRITE_TRUNCATE_DATA")]
    TruncateData,
    #[serde(rename = "WRITE_EMPTY")]
    Empty,
}

/// `configuration.load`, as far as it is served.
#[derive(Debug, Clone)]
pub struct Load {
    pub destination: TableRef,
    /// `20240131` of a destination `t$20240131`.
    pub partition: Option<String>,
    pub source: Source,
    pub write: Write,
    pub create: bool,
    pub schema: Option<Schema>,
    pub add_fields: bool,
    pub relax_fields: bool,
    /// Partitioning, clustering and labels for a table that the load creates.
    pub settings: Settings,
}

impl Load {
    /// WRITE_TRUNCATE of a whole table replaces its schema too.
    pub fn keeps_schema(&self) -> bool {
        self.write != Write::Truncate || self.partition.is_some()
    }
}

pub fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .filter_map(|item| Some(item.as_str()?.to_owned()))
        .collect()
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, value: &Value) -> Result<Option<T>, ApiError> {
    if value.is_null() {
        return Ok(None);
    }
    serde_json::from_value(value.clone())
        .map(Some)
        .map_err(|error| ApiError::invalid(format!("Invalid value for {name}: {error}")))
}

impl Source {
    fn of(config: &Value) -> Result<Source, ApiError> {
        let format = config["sourceFormat"].as_str().unwrap_or("CSV");
        if format != "PARQUET" {
            return Err(ApiError::unimplemented(format!(
                "the local cloud reads sourceFormat PARQUET only, not {format}"
            )));
        }
        let options = &config["parquetOptions"];
        let decimals: Vec<Type> =
            parse("decimalTargetTypes", &config["decimalTargetTypes"])?.unwrap_or_default();
        Ok(Source {
            uris: texts(&config["sourceUris"]),
            reading: Reading {
                list_inference: options["enableListInference"].as_bool().unwrap_or(false),
                enum_as_string: options["enumAsString"].as_bool().unwrap_or(false),
                decimals: if decimals.is_empty() {
                    vec![Type::Numeric]
                } else {
                    decimals
                },
            },
        })
    }

    pub fn of_external(config: &Value) -> Result<Source, ApiError> {
        if config
            .get("hivePartitioningOptions")
            .is_some_and(|options| !options.is_null())
        {
            return Err(ApiError::unimplemented(
                "the local cloud serves no hive partitioning",
            ));
        }
        Source::of(config)
    }
}

impl Load {
    pub fn parse(config: &Value) -> Result<Load, ApiError> {
        let destination: TableRef = parse("destinationTable", &config["destinationTable"])?
            .ok_or_else(|| ApiError::invalid("Required parameter is missing: destinationTable"))?;
        let (destination, partition) = destination.undecorated();
        destination.check()?;
        let schema: Option<Schema> = parse("schema", &config["schema"])?;
        let schema = schema.filter(|schema| !schema.fields.is_empty());
        if let Some(schema) = &schema {
            schema.check()?;
            check_loadable(&schema.fields)?;
        }
        let options = texts(&config["schemaUpdateOptions"]);
        let has = |name: &str| options.iter().any(|option| option == name);
        let write = parse("writeDisposition", &config["writeDisposition"])?.unwrap_or_default();
        check_update_options(&options, write, partition.is_some())?;
        Ok(Load {
            destination,
            partition,
            source: Source::of(config)?,
            write,
            create: config["createDisposition"].as_str() != Some("CREATE_NEVER"),
            schema,
            add_fields: has("ALLOW_FIELD_ADDITION"),
            relax_fields: has("ALLOW_FIELD_RELAXATION"),
            settings: table_settings(config),
        })
    }
}

/// Which jobs may change the schema of the table they write.
pub fn check_update_options(
    options: &[String],
    write: Write,
    one_partition: bool,
) -> Result<(), ApiError> {
    let served = match write {
        Write::Append | Write::TruncateData => true,
        Write::Truncate => one_partition,
        Write::Empty => false,
    };
    if options.is_empty() || served {
        return Ok(());
    }
    Err(ApiError::invalid(
        "Schema update options should only be specified with WRITE_APPEND disposition, or with WRITE_TRUNCATE \
         disposition on a table partition.",
    ))
}

/// Partitioning and clustering that a job asks for.
pub fn table_settings(config: &Value) -> Settings {
    let mut settings = Map::new();
    for name in ["timePartitioning", "rangePartitioning", "clustering"] {
        if let Some(value) = config
            .get(name)
            .filter(|value| value.as_object().is_some_and(|value| !value.is_empty()))
        {
            settings.insert(name.to_owned(), value.clone());
        }
    }
    settings
}

/// A Parquet load cannot fill these by any route.
fn check_loadable(fields: &[Field]) -> Result<(), ApiError> {
    for field in fields {
        if matches!(field.kind, Type::Json | Type::Interval | Type::Range) {
            return Err(ApiError::invalid(format!(
                "Unsupported field type: {}",
                field.kind.name()
            )));
        }
        check_loadable(&field.fields)?;
    }
    Ok(())
}

/// The schema of the last file by name.
pub fn infer(objects: &[Object], source: &Source) -> Result<Schema, ApiError> {
    let last = objects.iter().max_by(|a, b| a.uri.cmp(&b.uri));
    let Some(object) = last else {
        return Ok(Schema::default());
    };
    let root = open(object)?.root();
    infer_file(&root, &source.reading).map_err(|what| unreadable(object, &what))
}

fn open(object: &Object) -> Result<ParquetSource, ApiError> {
    ParquetSource::open(&object.path).map_err(|error| {
        unreadable(
            object,
            &format!("Input file is not in Parquet format. {error}"),
        )
    })
}

fn unreadable(object: &Object, what: &str) -> ApiError {
    ApiError::invalid(format!(
        "Error while reading data, error message: {what} File: {}",
        object.uri
    ))
}

/// How often a load is planned anew when the table's schema changes under it.
const TRIES: usize = 5;

/// Reads the files and commits them; blocks on disk.
pub fn run(cloud: &Cloud, load: &Load, job: &str) -> Result<Settings, ApiError> {
    let mut result = attempt(cloud, load, job);
    for _ in 1..TRIES {
        match result {
            Err(error) if error.status == "ABORTED" => result = attempt(cloud, load, job),
            settled => return settled,
        }
    }
    result
}

fn attempt(cloud: &Cloud, load: &Load, job: &str) -> Result<Settings, ApiError> {
    let dataset = cloud.bigquery.dataset(&load.destination.dataset())?;
    let present = cloud.bigquery.live(&load.destination);
    check_destination(load, present.as_ref())?;
    let objects = resolve(cloud, &load.source.uris, &dataset.location)?;
    check_alike(load, &objects)?;
    let inferred = infer(&objects, &load.source)?;
    let plan = plan(load, &inferred, present.as_ref().map(|table| &table.schema))?;
    plan.table.check()?;
    check_layout(load, present.as_ref(), &plan.table)?;
    let mut part = Part::create(&cloud.bigquery.data, plan.table.arrow())?;
    for object in &objects {
        copy(object, load, &plan, &mut part)?;
    }
    let mut file = part.finish()?;
    let kept = match &load.partition {
        Some(name) => {
            partitions::replaced(cloud, load, name, present.as_ref(), &plan.table, &mut file)?
        }
        None => None,
    };
    let planned_on = present.map(|table| table.schema).unwrap_or_default();
    let statistics = load_statistics(&objects, &file);
    let change = Change {
        schema: plan.table,
        file,
        write: load.write,
        settings: load.settings.clone(),
        planned_on: load.keeps_schema().then_some(planned_on),
        kept,
    };
    let commit = Commit {
        job: job.to_owned(),
        statistics: statistics.clone(),
    };
    apply(cloud, &load.destination, &dataset, &change, commit)?;
    Ok(statistics)
}

/// Partitioning and clustering of the load against the table's, or its columns.
fn check_layout(load: &Load, present: Option<&Table>, schema: &Schema) -> Result<(), ApiError> {
    match present {
        None => layout::check(&load.settings, schema),
        Some(table) => {
            check_same_layout(&load.settings, table)?;
            layout::check(&table.settings, schema)
        }
    }
}

/// A job that says how its destination is partitioned must say what it is.
pub fn check_same_layout(settings: &Settings, table: &Table) -> Result<(), ApiError> {
    let given = ["timePartitioning", "rangePartitioning"]
        .iter()
        .any(|name| settings.contains_key(*name));
    if !given || layout::same(settings, &table.settings)? {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Incompatible table partitioning specification. Table {} exists with another partitioning than the job's.",
        table.reference
    )))
}

fn check_destination(load: &Load, present: Option<&Table>) -> Result<(), ApiError> {
    match present {
        None if !load.create => Err(tables::not_found(&load.destination)),
        Some(table) if table.kind != Kind::Native => Err(ApiError::invalid(format!(
            "{} is not allowed for this operation because it is currently a {}.",
            table.reference,
            if table.kind == Kind::View {
                "VIEW"
            } else {
                "EXTERNAL"
            },
        ))),
        Some(table) if load.write == Write::Empty && table.rows() > 0 => {
            Err(tables::already_exists(&load.destination))
        }
        _ => Ok(()),
    }
}

/// One schema for all files of a wildcard, in the same order.
fn check_alike(load: &Load, objects: &[Object]) -> Result<(), ApiError> {
    if !load.source.uris.iter().any(|uri| uri.contains('*')) {
        return Ok(());
    }
    let names = |object: &Object| -> Result<Vec<String>, ApiError> {
        let root = open(object)?.root();
        Ok(root
            .get_fields()
            .iter()
            .map(|node| node.name().to_owned())
            .collect())
    };
    let Some((first, rest)) = objects.split_first() else {
        return Ok(());
    };
    let wanted = names(first)?;
    for object in rest {
        if names(object)? != wanted {
            return Err(unreadable(
                object,
                &format!("the file's columns differ from those of {}.", first.uri),
            ));
        }
    }
    Ok(())
}

/// Appends one file's rows to `part`, in the table's form.
fn copy(object: &Object, load: &Load, plan: &Plan, part: &mut Part) -> Result<(), ApiError> {
    let source = open(object)?;
    let root = source.root();
    let have = infer_file(&root, &load.source.reading).map_err(|what| unreadable(object, &what))?;
    let mut read = Vec::new();
    for name in &plan.from_files {
        let (Some(want), Some(have)) = (plan.table.field(name), have.field(name)) else {
            continue;
        };
        // A list read without inference into a REPEATED column: the job succeeds and the arrays are empty.
        if !load.source.reading.list_inference
            && want.mode == Mode::Repeated
            && is_list(&root, name)
        {
            continue;
        }
        if let Some(what) = mismatch(have, want) {
            return Err(unreadable(object, &what));
        }
        read.push(want.clone());
    }
    let read = Schema { fields: read };
    let arrow = plan.table.arrow();
    for batch in source.batches(&read)? {
        let batch = batch.map_err(|error| unreadable(object, &error.to_string()))?;
        let batch = conform::conform(&batch, &plan.table, &arrow)
            .map_err(|error| unreadable(object, &error.to_string()))?;
        if let Some(what) = conform::null_violation(&batch, &plan.table) {
            return Err(unreadable(object, &what));
        }
        part.write(&batch)?;
    }
    Ok(())
}

fn load_statistics(objects: &[Object], file: &DataFile) -> Settings {
    let statistics = json!({"load": {
        "inputFiles": objects.len().to_string(),
        "inputFileBytes": objects.iter().map(|object| object.size).sum::<u64>().to_string(),
        "outputRows": file.rows.to_string(),
        "outputBytes": file.bytes.to_string(),
        "badRecords": "0",
    }});
    statistics.as_object().cloned().unwrap_or_default()
}
