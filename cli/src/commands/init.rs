//! `xetl init`: a workspace, ready for its first client.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::view::View;

/// Make a workspace: xetl.yaml, clients/, sources/
#[derive(clap::Args, Debug)]
pub struct InitArgs {}

const WORKSPACE: &str = "\
# The workspace of xetl: what all clients share. `xetl schema workspace` tells every key.
target: local                  # gcp, once it is meant seriously
project: local-project         # Google Cloud project of clients that name none
region: australia-southeast1   # where their buckets, datasets and jobs are
";

pub fn run(context: &Context, view: &mut View, _: &InitArgs) -> Result<(), Failure> {
    let root = context.folder();
    let make = || -> io::Result<Vec<&'static str>> {
        fs::create_dir_all(root.join("clients"))?;
        fs::create_dir_all(root.join("sources"))?;
        let mut made = Vec::new();
        if create(&root.join("xetl.yaml"), WORKSPACE)? {
            made.push("xetl.yaml");
        }
        if ignore(&root.join(".gitignore"), ".xetl/")? {
            made.push(".gitignore");
        }
        Ok(made)
    };
    let made = make().map_err(|error| {
        let sentence = format!("cannot make a workspace in `{}`: {error}", root.display());
        Failure::new(Kind::Failed, sentence)
    })?;
    if view.is_json() {
        return Ok(view.json(&json!({"workspace": root, "made": made}))?);
    }
    view.line(match made.contains(&"xetl.yaml") {
        true => format!("A workspace is in {}.", root.display()),
        false => format!(
            "{} is a workspace already; nothing was overwritten.",
            root.display()
        ),
    })?;
    view.note("Next: xetl onboard --client NAME");
    Ok(())
}

/// Writes a file unless it is there.
fn create(path: &Path, text: &str) -> io::Result<bool> {
    match File::create_new(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Adds a line to a .gitignore that lacks it.
fn ignore(path: &Path, line: &str) -> io::Result<bool> {
    let before = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    if before.lines().any(|known| known.trim() == line) {
        return Ok(false);
    }
    let gap = if before.is_empty() || before.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    fs::write(path, format!("{before}{gap}{line}\n")).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gitignore_is_added_to_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".gitignore");
        fs::write(&path, "target").unwrap();
        assert!(ignore(&path, ".xetl/").unwrap());
        assert!(!ignore(&path, ".xetl/").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "target\n.xetl/\n");
    }

    #[test]
    fn a_file_that_is_there_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("xetl.yaml");
        assert!(create(&path, "a").unwrap());
        assert!(!create(&path, "b").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a");
    }
}
