//! Writes down what the program is linked from: the crates that cargo resolves for it alone.
//!
//! `src/components.rs` puts the list into the program, where `xetl image` finds it.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    for file in ["Cargo.toml", "../Cargo.toml", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", folder.join(file).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    let list = match (crates(&folder), compiler()) {
        (Ok(crates), Ok(compiler)) => format!("rust\t{compiler}\n{crates}"),
        (Err(problem), _) | (_, Err(problem)) => {
            // A program without its list runs as well; `xetl image` then says that it has none.
            println!("cargo::warning=xetl-runtime will not list its components: {problem}");
            String::new()
        }
    };
    let output = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("components.tsv");
    if let Err(error) = std::fs::write(&output, list) {
        println!("cargo::error=cannot write {}: {error}", output.display());
    }
}

/// A line a crate: name, version, licence, repository. No path of this machine is in it.
fn crates(folder: &Path) -> Result<String, String> {
    let mut tree = command("CARGO")?;
    tree.current_dir(folder)
        .args(["tree", "--locked", "--offline", "--prefix=none"])
        .args(["--package=xetl-runtime", "--edges=normal,no-proc-macro"])
        .args(["--format={p}\t{l}\t{r}", "--charset=ascii", "--color=never"])
        .arg(format!("--target={}", variable("TARGET")?));
    let crates: BTreeSet<String> = output(&mut tree)?.lines().filter_map(line).collect();
    Ok(crates.into_iter().map(|line| line + "\n").collect())
}

/// `name v1.2.3 (path)<tab>licence<tab>repository` as it is kept, without the path.
fn line(text: &str) -> Option<String> {
    let mut fields = text.trim_end_matches(" (*)").splitn(3, '\t');
    let mut package = fields.next()?.split(' ');
    let (name, version) = (package.next()?, package.next()?.strip_prefix('v')?);
    let (licence, repository) = (fields.next()?, fields.next()?);
    Some(format!("{name}\t{version}\t{licence}\t{repository}"))
}

fn compiler() -> Result<String, String> {
    let version = output(command("RUSTC")?.arg("--version"))?;
    let version = version.split(' ').nth(1);
    version
        .map(str::to_owned)
        .ok_or_else(|| "rustc names no version".to_owned())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn command(variable_of_program: &str) -> Result<Command, String> {
    variable(variable_of_program).map(Command::new)
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(|error| error.to_string()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
