//! The image's files in a folder, as the Dockerfile copies them.

use std::fs::{self, Permissions};
use std::io;
use std::path::Path;

use super::layer::{Entry, ca_roots, entries};

pub fn write(binary: &[u8], folder: &Path) -> io::Result<()> {
    let roots = ca_roots();
    let entries = entries(binary, &roots);
    for entry in &entries {
        match entry {
            Entry::Folder(path, _) => fs::create_dir_all(folder.join(path))?,
            Entry::File(path, mode, bytes) => {
                let path = folder.join(path);
                fs::write(&path, bytes)?;
                set_mode(&path, *mode)?;
            }
        }
    }
    // A folder without `w` takes no files, so folders get their modes last.
    for entry in &entries {
        if let Entry::Folder(path, mode) = entry {
            set_mode(&folder.join(path), *mode)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Err(io::Error::other("this system has no modes of files"))
}
