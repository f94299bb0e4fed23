//! Layers of an image unpacked into a folder, once a digest.
//!
//! Files never land outside the folder: a path with `..` is refused, and so is
//! one that leads out through a link of the image.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use crate::registry::{Image, Layer};

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("the layer's path `{0}` leads out of the image")]
    Outside(String),
    #[error("layers of type `{0}` cannot be unpacked here: tar and tar+gzip can")]
    Compression(String),
    #[error("cannot unpack a layer: {0}")]
    Io(#[from] io::Error),
}

/// The folder of the unpacked image below `cache`.
pub fn unpack(image: &Image, cache: &Path) -> Result<PathBuf, UnpackError> {
    let root = cache.join(image.digest.hex());
    if root.is_dir() {
        return Ok(root);
    }
    fs::create_dir_all(cache)?;
    let unfinished = tempfile::tempdir_in(cache)?;
    for layer in &image.layers {
        unpack_layer(layer, unfinished.path())?;
    }
    // A temporary folder is its owner's alone; tasks only read here.
    fs::rename(unfinished.keep(), &root)?;
    Ok(root)
}

fn unpack_layer(layer: &Layer, root: &Path) -> Result<(), UnpackError> {
    let file = BufReader::new(File::open(&layer.path)?);
    let reader: Box<dyn Read> = match layer.media_type.as_str() {
        kind if kind.ends_with("gzip") => Box::new(MultiGzDecoder::new(file)),
        kind if kind.ends_with(".tar") => Box::new(file),
        kind => return Err(UnpackError::Compression(kind.to_owned())),
    };
    unpack_tar(reader, root)
}

fn unpack_tar(reader: impl Read, root: &Path) -> Result<(), UnpackError> {
    let mut of_layer = BTreeSet::new();
    for entry in Archive::new(reader).entries()? {
        let mut entry = entry?;
        let path = relative(&entry.path()?)?;
        if whiteout(root, &path, &of_layer)? {
            continue;
        }
        unpack_entry(&mut entry, root, &path)?;
        of_layer.insert(path);
    }
    Ok(())
}

fn relative(path: &Path) -> Result<PathBuf, UnpackError> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(UnpackError::Outside(path.display().to_string()));
            }
        }
    }
    Ok(relative)
}

fn unpack_entry(entry: &mut Entry<impl Read>, root: &Path, path: &Path) -> Result<(), UnpackError> {
    let target = root.join(path);
    match entry.header().entry_type() {
        // The folder's own mode is not taken: in one without `w` nothing could be put.
        EntryType::Directory => Ok(fs::create_dir_all(&target)?),
        EntryType::Block | EntryType::Char | EntryType::Fifo => Ok(()),
        kind => {
            if kind.is_file() && target.is_dir() {
                fs::remove_dir_all(&target)?;
            }
            entry.set_preserve_mtime(false);
            match entry.unpack_in(root)? {
                true => Ok(()),
                false => Err(UnpackError::Outside(path.display().to_string())),
            }
        }
    }
}

/// Carries out the deletion a whiteout file stands for (OCI image layers):
/// `.wh.NAME` deletes NAME, `.wh..wh..opq` all that earlier layers put beside it.
fn whiteout(root: &Path, path: &Path, of_layer: &BTreeSet<PathBuf>) -> Result<bool, UnpackError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name.and_then(|name| name.strip_prefix(".wh.")) else {
        return Ok(false);
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    check_inside(root, folder)?;
    if name != ".wh..opq" {
        if matches!(name, "" | "." | "..") {
            return Err(UnpackError::Outside(path.display().to_string()));
        }
        remove(&root.join(folder).join(name))?;
        return Ok(true);
    }
    for entry in read_folder(&root.join(folder))? {
        let kept = folder.join(entry.file_name());
        if !of_layer.iter().any(|path| path.starts_with(&kept)) {
            remove(&entry.path())?;
        }
    }
    Ok(true)
}

fn check_inside(root: &Path, folder: &Path) -> Result<(), UnpackError> {
    match root.join(folder).canonicalize() {
        Ok(real) if !real.starts_with(root.canonicalize()?) => {
            Err(UnpackError::Outside(folder.display().to_string()))
        }
        _ => Ok(()),
    }
}

fn read_folder(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_ustar();
            // Written by hand: `set_path` refuses what an attacker would write.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(text.len() as u64);
            header.set_mode(0o755);
            header.set_cksum();
            tar.append(&header, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn link(path: &str, target: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, path, target).unwrap();
        tar.into_inner().unwrap()
    }

    fn layers(layers: &[Vec<u8>]) -> Result<tempfile::TempDir, UnpackError> {
        let root = tempfile::tempdir().unwrap();
        for layer in layers {
            unpack_tar(layer.as_slice(), root.path())?;
        }
        Ok(root)
    }

    #[test]
    fn later_layers_win_and_whiteouts_delete() {
        let root = layers(&[
            tar(&[("a", "1"), ("b", "1"), ("d/x", "1"), ("d/y", "1")]),
            tar(&[
                ("a", "2"),
                (".wh.b", ""),
                ("d/z", "2"),
                ("d/.wh..wh..opq", ""),
            ]),
        ])
        .unwrap();
        let root = root.path();
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "2");
        assert!(!root.join("b").exists());
        assert!(!root.join("d/x").exists() && root.join("d/z").exists());
        assert!(!root.join(".wh.b").exists());
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for path in ["../evil", "a/../../evil", ".wh...", "a/.wh."] {
            let refused = layers(&[tar(&[(path, "x")])]);
            assert!(matches!(refused, Err(UnpackError::Outside(_))), "{path}");
        }
    }

    #[test]
    fn links_that_lead_out_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().display().to_string();
        let refused = layers(&[link("out", &target), tar(&[("out/evil", "x")])]);
        assert!(refused.is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        fs::write(outside.path().join("kept"), "").unwrap();
        let refused = layers(&[link("out", &target), tar(&[("out/.wh.kept", "")])]);
        assert!(refused.is_err());
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn an_absolute_path_is_one_of_the_image() {
        let root = layers(&[tar(&[("/bin/tool", "x")])]).unwrap();
        assert!(root.path().join("bin/tool").exists());
    }
}
