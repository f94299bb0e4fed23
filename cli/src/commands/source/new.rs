//! `xetl source new`: a manifest of one's own, to start from.

use std::fs::{self, File};
use std::io::{self, Write};

use clap::builder::NonEmptyStringValueParser;

use crate::config::SourceText;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::view::View;

/// Write a manifest to start from, into the workspace's sources/
#[derive(clap::Args, Debug)]
pub struct NewArgs {
    /// Name of the new source
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Source to copy: a name or a manifest file
    #[arg(long, value_name = "SOURCE|FILE", default_value = "rest")]
    from: String,
}

pub fn run(context: &Context, view: &mut View, args: &NewArgs) -> Result<(), Failure> {
    let workspace = context.workspace()?;
    check_name(&args.name)?;
    let template = SourceText::find(Some(&workspace), &args.from)?;
    let path = workspace.source_file(&args.name);
    let made = fs::create_dir_all(workspace.root.join("sources"))
        .and_then(|()| File::create_new(&path))
        .and_then(|mut file| file.write_all(template.text.as_bytes()));
    match made {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let sentence = format!("`{}` is there already", path.display());
            return Err(Failure::new(Kind::Usage, sentence).hint("nothing was overwritten"));
        }
        Err(error) => {
            let sentence = format!("cannot write `{}`: {error}", path.display());
            return Err(Failure::new(Kind::Failed, sentence));
        }
    }
    if view.is_json() {
        return Ok(view.json(&serde_json::json!({"source": args.name, "path": path}))?);
    }
    view.line(format!("Wrote {}, from `{}`.", path.display(), args.from))?;
    view.note(format!(
        "Next: edit it, then xetl source lint {name} and xetl source read {name} --config FILE --limit 5",
        name = args.name
    ));
    Ok(())
}

/// A source's name is a file's name.
fn check_name(name: &str) -> Result<(), Failure> {
    let known = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    match name.chars().all(known) {
        true => Ok(()),
        false => {
            let sentence = format!("`{name}` cannot be a source's name");
            Err(Failure::new(Kind::Usage, sentence)
                .hint("use letters, digits, hyphens and underscores"))
        }
    }
}
