//! The floor: the invoices of `bench/pages.py` to one file of zstd Parquet, in a plain loop.
//!
//! It knows the shape of the records when it is compiled, asks for page after page until one
//! is empty, and does nothing else: no manifest, no schema, no overlap. What it writes has
//! the columns, types, codec and row groups of what the runtime writes.
//!
//!     xetl-floor 127.0.0.1:PORT FILE

mod columns;
mod invoice;

use std::fs::File;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use columns::Invoices;
use invoice::Page;

// The runtime's allocator: the floor is no slower for another one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

// As the runtime's `parts.rs` has them.
const BATCH_BYTES: usize = 512 << 10;
const ROW_GROUP_BYTES: usize = 8 << 20;
const PAGE_BYTES: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file] = arguments.as_slice() else {
        return Err("expected HOST:PORT FILE".into());
    };
    let mut invoices = Invoices::default();
    let mut writer = writer(File::create(file)?)?;
    let client = reqwest::Client::new();
    for page in 1.. {
        let url = format!("http://{address}/invoices?page={page}");
        let reply = client.get(url).send().await?.error_for_status()?;
        let body = reply.bytes().await?;
        let page: Page<'_> = serde_json::from_slice(&body)?;
        if page.invoices.is_empty() {
            break;
        }
        for invoice in &page.invoices {
            invoices.push(invoice);
            if invoices.bytes >= BATCH_BYTES {
                write(&mut writer, &invoices.finish()?)?;
            }
        }
    }
    write(&mut writer, &invoices.finish()?)?;
    writer.close()?;
    Ok(())
}

fn writer(file: File) -> Result<ArrowWriter<File>, Failure> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        .build();
    Ok(ArrowWriter::try_new(
        file,
        columns::schema(),
        Some(properties),
    )?)
}

fn write(writer: &mut ArrowWriter<File>, batch: &RecordBatch) -> Result<(), Failure> {
    writer.write(batch)?;
    if writer.memory_size() >= ROW_GROUP_BYTES {
        writer.flush()?;
    }
    Ok(())
}
