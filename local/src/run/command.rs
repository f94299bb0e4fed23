//! From image, job and task to a process: what is started, where, with which environment.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::spec::Container;
use crate::registry::ImageConfig;

/// A process to start. Its environment is exactly `env`.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub folder: PathBuf,
    pub env: BTreeMap<String, String>,
}

/// What Docker gives a container that names no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that name a file or folder of the image. There is no chroot, which
/// would need root's rights, so these are pointed into the unpacked image.
const PATH_VARIABLES: &[&str] = &["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The command of a container of `image`, unpacked at `root`; `env` is what the
/// job and the task add to the image's own.
///
/// # Errors
/// There is nothing to start, or the program is not in the image.
pub fn command(
    image: &ImageConfig,
    container: &Container,
    root: &Path,
    env: BTreeMap<String, String>,
) -> Result<Command, String> {
    let words = words(image, container);
    let (program, args) = words
        .split_first()
        .ok_or("the image has no entrypoint and the job no command")?;
    let mut all = image_env(image);
    all.extend(env);
    let program_path = find_program(program, root, &all["PATH"])
        .ok_or_else(|| format!("`{program}` is not in the image"))?;
    point_into(root, &mut all);
    Ok(Command {
        program: program_path,
        args: args.to_vec(),
        folder: working_folder(image, container, root),
        env: all,
    })
}

/// A job's command replaces the entrypoint *and* the image's arguments; its args
/// replace the image's arguments only.
fn words(image: &ImageConfig, container: &Container) -> Vec<String> {
    let of_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (mut words, default_args) = match container.command.is_empty() {
        true => (of_image(&image.entrypoint), of_image(&image.cmd)),
        false => (container.command.clone(), Vec::new()),
    };
    words.extend(match container.args.is_empty() {
        true => default_args,
        false => container.args.clone(),
    });
    words
}

fn image_env(image: &ImageConfig) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    let vars = image.env.iter().flatten();
    env.extend(vars.filter_map(|var| {
        let (name, value) = var.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    }));
    env
}

fn find_program(program: &str, root: &Path, path: &str) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = match program.contains('/') {
        true => vec![inside(root, program)],
        false => path
            .split(':')
            .map(|folder| inside(root, folder).join(program))
            .collect(),
    };
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// A path of the image on this machine; `..` does not lead out of the image.
fn inside(root: &Path, path: &str) -> PathBuf {
    let mut inside = root.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir if inside != root => {
                inside.pop();
            }
            _ => {}
        }
    }
    inside
}

fn working_folder(image: &ImageConfig, container: &Container, root: &Path) -> PathBuf {
    let folder = match container.working_dir.as_str() {
        "" => image.working_dir.as_deref().unwrap_or("/"),
        folder => folder,
    };
    inside(root, folder)
}

fn point_into(root: &Path, env: &mut BTreeMap<String, String>) {
    for name in PATH_VARIABLES {
        if let Some(value) = env.get_mut(*name) {
            let unpacked = inside(root, value);
            if unpacked.exists() {
                *value = unpacked.display().to_string();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageConfig {
        ImageConfig {
            entrypoint: Some(vec!["/app/run".into()]),
            cmd: Some(vec!["serve".into()]),
            env: Some(vec!["A=image".into(), "SSL_CERT_FILE=/etc/ca.crt".into()]),
            working_dir: Some("/data".into()),
        }
    }

    fn container(command: &[&str], args: &[&str]) -> Container {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Container {
            command: owned(command),
            args: owned(args),
            ..Container::default()
        }
    }

    #[test]
    fn command_and_args_replace_as_docker_has_it() {
        assert_eq!(words(&image(), &container(&[], &[])), ["/app/run", "serve"]);
        assert_eq!(
            words(&image(), &container(&[], &["run"])),
            ["/app/run", "run"]
        );
        assert_eq!(words(&image(), &container(&["/sh"], &[])), ["/sh"]);
        assert_eq!(words(&image(), &container(&["/sh"], &["x"])), ["/sh", "x"]);
    }

    #[test]
    fn the_program_and_its_certificates_are_those_of_the_image() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("app")).unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("app/run"), "").unwrap();
        std::fs::write(root.path().join("etc/ca.crt"), "").unwrap();
        let env = BTreeMap::from([("A".to_owned(), "job".to_owned())]);
        let command = command(&image(), &container(&[], &[]), root.path(), env).unwrap();
        assert_eq!(command.program, root.path().join("app/run"));
        assert_eq!(command.folder, root.path().join("data"));
        assert_eq!(command.env["A"], "job");
        let certificates = root.path().join("etc/ca.crt").display().to_string();
        assert_eq!(command.env["SSL_CERT_FILE"], certificates);
    }

    #[test]
    fn a_program_outside_the_image_is_not_found() {
        let root = tempfile::tempdir().unwrap();
        let container = container(&["/../../../../bin/sh"], &[]);
        let refused = command(&image(), &container, root.path(), BTreeMap::new());
        insta::assert_snapshot!(refused.unwrap_err(), @"`/../../../../bin/sh` is not in the image");
    }

    #[test]
    fn a_bare_program_is_looked_for_along_the_path() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        std::fs::write(root.path().join("usr/bin/tool"), "").unwrap();
        let found = find_program("tool", root.path(), DEFAULT_PATH);
        assert_eq!(found, Some(root.path().join("usr/bin/tool")));
    }
}
