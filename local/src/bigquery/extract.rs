//! Extract jobs: a table's rows as Parquet, JSON lines or CSV in a bucket.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression as GzipLevel;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel as ParquetGzip, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempPath};

use super::export::{csv_header, csv_line, json_line};
use super::files::Source;
use super::objects::{check_location, split};
use super::reference::TableRef;
use super::resource::Object;
use super::schema::{Field, Mode, Schema, Type};
use super::table::{Kind, Table};
use crate::cloud::Cloud;
use crate::error::ApiError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
    Parquet,
}

/// `configuration.extract`, as far as it is served.
#[derive(Debug, Clone)]
pub struct Extract {
    pub source: TableRef,
    pub uri: String,
    format: Format,
    compression: String,
    delimiter: String,
    header: bool,
}

impl Extract {
    pub fn parse(config: &Value) -> Result<Extract, ApiError> {
        let source: TableRef =
            serde_json::from_value(config["sourceTable"].clone()).map_err(|error| {
                ApiError::invalid(format!("Invalid value for sourceTable: {error}"))
            })?;
        source.check()?;
        let format = match config["destinationFormat"].as_str().unwrap_or("CSV") {
            "CSV" => Format::Csv,
            "NEWLINE_DELIMITED_JSON" => Format::Json,
            "PARQUET" => Format::Parquet,
            other => {
                return Err(ApiError::unimplemented(format!(
                    "the local cloud extracts PARQUET, NEWLINE_DELIMITED_JSON and CSV, not {other}"
                )));
            }
        };
        let compression = config["compression"].as_str().unwrap_or("NONE").to_owned();
        check_compression(format, &compression)?;
        let text = |name: &str| config[name].as_str().map(str::to_owned);
        Ok(Extract {
            source,
            uri: only_uri(config)?,
            format,
            compression,
            delimiter: match text("fieldDelimiter").as_deref() {
                None | Some("") => ",".to_owned(),
                Some("tab" | "\\t") => "\t".to_owned(),
                Some(other) => other.to_owned(),
            },
            header: config["printHeader"].as_bool().unwrap_or(true),
        })
    }
}

fn only_uri(config: &Value) -> Result<String, ApiError> {
    let listed = config["destinationUris"].as_array().into_iter().flatten();
    let mut uris: Vec<String> = listed
        .chain(Some(&config["destinationUri"]))
        .filter_map(|uri| Some(uri.as_str()?.to_owned()))
        .collect();
    match (uris.pop(), uris.is_empty()) {
        (Some(uri), true) => {
            split(&uri)?;
            Ok(uri)
        }
        (None, _) => Err(ApiError::invalid(
            "Required parameter is missing: destinationUris",
        )),
        _ => Err(ApiError::unimplemented(
            "the local cloud extracts to one URI",
        )),
    }
}

fn check_compression(format: Format, compression: &str) -> Result<(), ApiError> {
    let known = match format {
        Format::Parquet => matches!(compression, "NONE" | "SNAPPY" | "GZIP" | "ZSTD"),
        _ => matches!(compression, "NONE" | "GZIP"),
    };
    known.then_some(()).ok_or_else(|| {
        ApiError::invalid(format!(
            "Compression {compression} is not supported for this destinationFormat"
        ))
    })
}

/// Writes the files, then puts them into the bucket.
pub async fn run(cloud: &Arc<Cloud>, extract: &Extract) -> Result<Object, ApiError> {
    let table = cloud.bigquery.table(&extract.source)?;
    if table.kind != Kind::Native {
        return Err(ApiError::invalid(format!(
            "{} is not allowed for this operation because it is not a table.",
            extract.source
        )));
    }
    let (bucket, pattern) = split(&extract.uri)?;
    check_location(cloud, bucket, &table.location)?;
    if extract.format == Format::Csv {
        check_flat(&table.schema)?;
    }
    let bytes = table.bytes();
    let (folder, wanted) = (cloud.bigquery.data.clone(), extract.clone());
    let written = tokio::task::spawn_blocking(move || write(&folder, &table, &wanted));
    let path = written
        .await
        .map_err(|error| ApiError::internal(error.to_string()))??;
    let name = pattern.replace('*', "000000000000");
    cloud.storage.put(bucket, &name, path).await?;
    let statistics = json!({"extract": {
        "destinationUriFileCounts": ["1"],
        "inputBytes": bytes.to_string(),
    }});
    Ok(statistics.as_object().cloned().unwrap_or_default())
}

fn check_flat(schema: &Schema) -> Result<(), ApiError> {
    let nested = |field: &&Field| field.kind == Type::Record || field.mode == Mode::Repeated;
    match schema.fields.iter().find(nested) {
        Some(field) => Err(ApiError::invalid(format!(
            "Operation cannot be performed on a nested schema. Field: {}",
            field.name
        ))),
        None => Ok(()),
    }
}

fn write(folder: &Path, table: &Table, extract: &Extract) -> Result<TempPath, ApiError> {
    let file = NamedTempFile::new_in(folder)?;
    let out = file.reopen()?;
    match (extract.format, extract.compression.as_str()) {
        (Format::Parquet, compression) => parquet(folder, table, out, compression)?,
        (_, "GZIP") => {
            let mut out = GzEncoder::new(BufWriter::new(out), GzipLevel::fast());
            lines(folder, table, extract, &mut out)?;
            out.finish()?.flush()?;
        }
        _ => {
            let mut out = BufWriter::new(out);
            lines(folder, table, extract, &mut out)?;
            out.flush()?;
        }
    }
    Ok(file.into_temp_path())
}

fn parquet(folder: &Path, table: &Table, out: File, compression: &str) -> io::Result<()> {
    let compression = match compression {
        "SNAPPY" => Compression::SNAPPY,
        "GZIP" => Compression::GZIP(ParquetGzip::default()),
        "ZSTD" => Compression::ZSTD(ZstdLevel::default()),
        _ => Compression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let mut writer = ArrowWriter::try_new(out, table.schema.arrow(), Some(properties))
        .map_err(io::Error::other)?;
    for file in &table.files {
        for batch in Source::open(&folder.join(&file.name))?.batches(&table.schema)? {
            writer.write(&batch?).map_err(io::Error::other)?;
        }
    }
    writer.close().map_err(io::Error::other)?;
    Ok(())
}

fn lines(folder: &Path, table: &Table, extract: &Extract, out: &mut impl Write) -> io::Result<()> {
    let csv = extract.format == Format::Csv;
    if csv && extract.header {
        out.write_all(csv_header(&table.schema, &extract.delimiter).as_bytes())?;
    }
    for file in &table.files {
        for batch in Source::open(&folder.join(&file.name))?.batches(&table.schema)? {
            let batch = batch?;
            for row in 0..batch.num_rows() {
                let line = match csv {
                    true => csv_line(&batch, row, &extract.delimiter),
                    false => json_line(&batch, &table.schema, row),
                };
                out.write_all(line.as_bytes())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(more: Value) -> Result<Extract, String> {
        let mut config = json!({
            "sourceTable": {"projectId": "p", "datasetId": "d", "tableId": "t"},
            "destinationUris": ["gs://b/x/*.json"],
        });
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap());
        Extract::parse(&config).map_err(|error| error.message)
    }

    #[test]
    fn csv_is_the_default_and_avro_is_said_to_be_missing() {
        assert_eq!(parsed(json!({})).unwrap().format, Format::Csv);
        assert!(
            parsed(json!({"destinationFormat": "AVRO"}))
                .unwrap_err()
                .contains("not AVRO")
        );
    }

    #[test]
    fn lines_are_compressed_by_gzip_only() {
        assert!(parsed(json!({"compression": "GZIP"})).is_ok());
        assert!(parsed(json!({"compression": "SNAPPY"})).is_err());
        let parquet = json!({"destinationFormat": "PARQUET", "compression": "SNAPPY"});
        assert!(parsed(parquet).is_ok());
    }

    #[test]
    fn a_destination_is_a_bucket() {
        assert!(parsed(json!({"destinationUris": ["s3://b/x"]})).is_err());
        assert!(parsed(json!({"destinationUris": []})).is_err());
    }
}
