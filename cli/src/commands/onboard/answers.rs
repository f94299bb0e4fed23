//! Answers to the source's questions: from arguments, files, the environment, or a person.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use xetl_runtime::bundle::STATE_PASSWORD;

use crate::commands::secrets::read_secret;
use crate::config::shown;
use crate::failure::{Failure, Kind};
use crate::names;
use crate::questions::{Field, Given, Interview};
use crate::view::View;

use super::{OnboardArgs, Secrets};

/// What the arguments answer.
pub(super) fn given(args: &OnboardArgs) -> Result<Vec<(String, Given)>, Failure> {
    let texts = args.config.iter();
    let texts = texts.map(|(path, text)| Ok((path.clone(), Given::Text(text.clone()))));
    let secrets = args.secret_files.iter();
    let secrets = secrets.filter(|(path, _)| path != STATE_PASSWORD);
    let secrets = secrets.map(|(path, file)| {
        let value = read_secret(&PathBuf::from(file))?;
        Ok((path.clone(), Given::Secret(value)))
    });
    texts.chain(secrets).collect()
}

/// The password of the state database, which is no answer to the source's questions.
pub(super) fn given_state_password(
    args: &OnboardArgs,
) -> Result<Option<(String, SecretString)>, Failure> {
    let files = args.secret_files.iter();
    let value = match files.rev().find(|(path, _)| path == STATE_PASSWORD) {
        Some((_, file)) => Some(read_secret(&PathBuf::from(file))?),
        None => std::env::var(names::secret_env(STATE_PASSWORD))
            .ok()
            .map(SecretString::from),
    };
    Ok(value.map(|value| (STATE_PASSWORD.to_owned(), value)))
}

/// Takes the secrets the environment holds, of the fields that are open by now.
pub(super) fn take_environment(interview: &mut Interview<'_>) -> Result<(), Failure> {
    for field in interview.open().into_iter().filter(|field| field.secret) {
        if let Ok(value) = std::env::var(names::secret_env(&field.path)) {
            interview.answer_secret(&field, value.into())?;
        }
    }
    Ok(())
}

/// The answers that a file holds already; an error where it lacks some.
pub(super) fn complete(
    mut interview: Interview<'_>,
    args: &OnboardArgs,
    path: &Path,
) -> Result<(serde_json::Map<String, serde_json::Value>, Secrets), Failure> {
    let config = interview.config();
    let mut missing = interview.settle_defaults();
    missing.retain(|field| !field.secret);
    match missing.is_empty() {
        true => Ok((config, interview.finish().1)),
        false => Err(lacking(&missing, args).hint(format!("add them to {}", shown(path)))),
    }
}

/// Asks what is open and no secret; without a terminal, defaults must do.
pub(super) fn ask(
    view: &mut View,
    args: &OnboardArgs,
    interview: &mut Interview<'_>,
) -> Result<(), Failure> {
    if args.yes || !view.is_interactive() {
        // A variant that is a default may open fields the environment answers.
        let missing = interview.settle_defaults();
        take_environment(interview)?;
        return match missing.iter().any(|field| !field.secret) {
            true => Err(lacking(&missing, args)),
            false => Ok(()),
        };
    }
    while let Some(field) = interview.next_setting() {
        let text = view.ask(&field)?;
        interview.answer(&field, &text)?;
    }
    let optional: Vec<_> = interview
        .open()
        .into_iter()
        .filter(|field| !field.required && !field.secret)
        .collect();
    let titles: Vec<_> = optional.iter().map(|field| field.title.as_str()).collect();
    if !optional.is_empty() {
        view.note(format!("\nOptional settings: {}", titles.join(", ")));
    }
    if !optional.is_empty() && view.confirm("Set them too?")? == Some(true) {
        for field in &optional {
            let text = view.ask_optional(field)?;
            if let Some(text) = text {
                interview.answer(field, &text)?;
            }
        }
    }
    take_environment(interview)
}

/// What is missing, each with the flag that gives it.
pub(super) fn lacking(missing: &[Field], args: &OnboardArgs) -> Failure {
    let lines = missing.iter().map(|field| match field.secret {
        true => format!(
            "\n  --secret-file {path}=FILE  or {env}  ({title})",
            path = field.path,
            env = names::secret_env(&field.path),
            title = field.title
        ),
        false => format!(
            "\n  --config {}=...  ({}{})",
            field.path,
            field.title,
            choices(field)
        ),
    });
    let sentence = format!(
        "client `{}` lacks answers, and there is nobody to ask:{}",
        args.client,
        lines.collect::<String>()
    );
    Failure::new(Kind::Usage, sentence)
}

fn choices(field: &Field) -> String {
    match field.values() {
        values if values.is_empty() => String::new(),
        values => format!(": {}", values.join(", ")),
    }
}

pub(super) fn optional_secrets(interview: &Interview<'_>) -> Vec<String> {
    let fields = interview.fields().into_iter();
    fields
        .filter(|field| field.secret && !field.required)
        .map(|field| field.path)
        .collect()
}
