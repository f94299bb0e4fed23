//! Where the programs are that belong to xetl.

use std::env;
use std::path::PathBuf;

/// A program beside this executable, else in PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let own = env::current_exe().ok();
    let beside = own
        .as_deref()
        .and_then(|own| Some(own.parent()?.join(name)));
    let in_path = env::var_os("PATH");
    let in_path = in_path
        .iter()
        .flat_map(env::split_paths)
        .map(|folder| folder.join(name));
    beside
        .into_iter()
        .chain(in_path)
        .find(|path| path.is_file())
}
