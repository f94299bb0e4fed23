//! How a question looks on a terminal, and what is typed below it.

use std::io;

use dialoguer::theme::SimpleTheme;
use dialoguer::{Input, Password, Select};
use secrecy::SecretString;

use super::{BOLD, DIM, View};
use crate::interrupt;
use crate::questions::{Field, Kind, plain};

impl View {
    /// The text of an answer that will do.
    pub fn ask(&mut self, field: &Field) -> io::Result<String> {
        self.heading(field);
        match &field.kind {
            Kind::Variant(variants) => {
                // A menu whose lines are broken by the terminal is not wiped clean.
                for variant in variants {
                    if let Some(help) = &variant.help {
                        self.note(format!("{DIM}- {}: {help}{DIM:#}", variant.title));
                    }
                }
                let items: Vec<_> = variants.iter().map(|it| it.title.clone()).collect();
                let values: Vec<_> = variants.iter().map(|it| plain(&it.value)).collect();
                self.pick(field, &items, &values)
            }
            Kind::Choice(values) => {
                let values: Vec<_> = values.iter().map(plain).collect();
                self.pick(field, &values, &values)
            }
            Kind::Bool => {
                let values = ["true", "false"].map(str::to_owned);
                self.pick(field, &values, &values)
            }
            _ => {
                let check = |text: &String| field.parse(text).map(|_| ());
                let default = field.default.as_ref().map(plain);
                self.line_of(&field.title, default, check)
            }
        }
    }

    /// The same, of a field that may stay without an answer.
    pub fn ask_optional(&mut self, field: &Field) -> io::Result<Option<String>> {
        self.heading(field);
        let values = field.values();
        let what = match values.is_empty() {
            true => "empty to leave it".to_owned(),
            false => format!("{}; empty to leave it", values.join(", ")),
        };
        let prompt = format!("{} ({what})", field.title);
        let default = field.default.as_ref().map(plain).unwrap_or_default();
        let answer = self.line_of(&prompt, Some(default), |text| match text.is_empty() {
            true => Ok(()),
            false => field.parse(text).map(|_| ()),
        })?;
        Ok(Some(answer).filter(|answer| !answer.is_empty()))
    }

    /// A secret's value, typed unseen.
    pub fn ask_secret(&mut self, field: &Field) -> io::Result<SecretString> {
        self.heading(field);
        let prompt = format!("{} (hidden)", field.title);
        interrupt::gives_terminal_back();
        let answer = Password::with_theme(&SimpleTheme)
            .with_prompt(prompt)
            .validate_with(|text: &String| field.check_secret(text))
            .interact();
        answer.map(SecretString::from).map_err(io_error)
    }

    /// A line of text that passes the check.
    pub fn line_of(
        &mut self,
        prompt: &str,
        default: Option<String>,
        check: impl Fn(&String) -> Result<(), String>,
    ) -> io::Result<String> {
        let mut input = Input::<String>::with_theme(&SimpleTheme)
            .with_prompt(prompt)
            .validate_with(check);
        if let Some(default) = default {
            input = input.default(default);
        }
        input.interact_text().map_err(io_error)
    }

    /// The index of the item chosen.
    pub fn choose(&mut self, prompt: &str, items: &[String], first: usize) -> io::Result<usize> {
        interrupt::gives_terminal_back();
        Select::with_theme(&SimpleTheme)
            .with_prompt(prompt)
            .items(items)
            .default(first)
            .interact()
            .map_err(io_error)
    }

    fn pick(&mut self, field: &Field, items: &[String], values: &[String]) -> io::Result<String> {
        let default = field.default.as_ref().map(plain);
        let first = values
            .iter()
            .position(|value| Some(value) == default.as_ref());
        let chosen = self.choose(&field.title, items, first.unwrap_or(0))?;
        Ok(values[chosen].clone())
    }

    /// What the field is for, and how it is given without being asked.
    fn heading(&mut self, field: &Field) {
        self.note("");
        self.note(format!(
            "{BOLD}{}{BOLD:#}  {DIM}{}{DIM:#}",
            field.title, field.path
        ));
        if let Some(help) = &field.help {
            self.note(format!("{DIM}{help}{DIM:#}"));
        }
    }
}

pub(super) fn io_error(error: dialoguer::Error) -> io::Error {
    let dialoguer::Error::IO(error) = error;
    // Whoever listens for the interruption may come too late.
    interrupt::give_back_the_terminal();
    error
}
