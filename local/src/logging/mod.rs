//! Cloud Logging v2: entries of tasks and clients, listed with its filter language, and metrics of them.
//!
//! Entries are lines of JSON in a file a day and project; there is no index.

mod api;
mod filter;
mod line;
mod metrics;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

pub use filter::Filter;
pub use line::payload;

use crate::router::Route;
use crate::store::Store;
use metrics::Metrics;

/// The entries of all projects, and the metrics of them.
pub struct Logs {
    pub metrics: Metrics,
    root: PathBuf,
    writing: Mutex<()>,
}

pub fn routes() -> Vec<Route> {
    let mut routes = api::routes();
    routes.extend(metrics::routes());
    routes
}

impl Logs {
    pub fn open(store: &Store) -> io::Result<Logs> {
        Ok(Logs {
            metrics: Metrics::open(store)?,
            root: store.folder("logging")?,
            writing: Mutex::new(()),
        })
    }

    /// Adds entries, each with a `timestamp`, to a project's log.
    pub fn write(&self, project: &str, entries: &[Value]) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.root.join(project);
        fs::create_dir_all(&folder)?;
        for of_day in entries.chunk_by(|one, other| day(one) == day(other)) {
            let mut text = Vec::new();
            for entry in of_day {
                serde_json::to_writer(&mut text, entry)?;
                text.push(b'\n');
            }
            append(&folder.join(format!("{}.jsonl", day(&of_day[0]))), &text)?;
        }
        Ok(())
    }

    /// All entries of a project from `first` to `last` day (`2026-11-21`), oldest file first.
    pub fn read(&self, project: &str, first: &str, last: &str) -> io::Result<Vec<Value>> {
        let mut entries = Vec::new();
        for path in self.files(project)? {
            let day = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or("");
            if first <= day && day <= last {
                read_file(&path, &mut entries)?;
            }
        }
        Ok(entries)
    }

    fn files(&self, project: &str) -> io::Result<Vec<PathBuf>> {
        let folder = match fs::read_dir(self.root.join(project)) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = folder
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        files.sort();
        Ok(files)
    }
}

fn day(entry: &Value) -> &str {
    let timestamp = entry["timestamp"].as_str().unwrap_or_default();
    timestamp.get(..10).unwrap_or("0000-00-00")
}

fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    if !ends_a_line(&mut file)? {
        // A killed server left half a line; it must not swallow this one.
        file.write_all(b"\n")?;
    }
    file.write_all(text)
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Lines that are no JSON were cut off by a kill and are passed over.
fn read_file(path: &Path, entries: &mut Vec<Value>) -> io::Result<()> {
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        if let Ok(entry) = serde_json::from_slice(&line?) {
            entries.push(entry);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(timestamp: &str) -> Value {
        json!({"timestamp": timestamp})
    }

    #[test]
    fn entries_are_kept_by_day() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(&Store::open(folder.path()).unwrap()).unwrap();
        let entries = [
            entry("2026-11-20T23:59:59Z"),
            entry("2026-11-21T00:00:00Z"),
            entry("2026-11-21T01:00:00Z"),
        ];
        logs.write("p", &entries).unwrap();
        assert_eq!(logs.read("p", "0", "9").unwrap(), entries);
        assert_eq!(logs.read("p", "2026-11-21", "9").unwrap(), entries[1..]);
        assert!(logs.read("q", "0", "9").unwrap().is_empty());
    }

    #[test]
    fn half_a_line_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(&Store::open(folder.path()).unwrap()).unwrap();
        logs.write("p", &[entry("2026-11-21T00:00:00Z")]).unwrap();
        append(
            &folder.path().join("logging/p/2026-11-21.jsonl"),
            b"{\"times",
        )
        .unwrap();
        logs.write("p", &[entry("2026-11-21T01:00:00Z")]).unwrap();
        assert_eq!(logs.read("p", "0", "9").unwrap().len(), 2);
    }
}
