//! What of a record fitted no column, under its JSON pointer.

use crate::value::Borrowed;

/// Where in the record we are, and what of it fitted nowhere.
#[derive(Default)]
pub struct Context<'a> {
    pub path: Vec<Step<'a>>,
    rescued: String,
    pub bytes: usize,
}

pub enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

impl<'a> Context<'a> {
    pub fn rescue(&mut self, value: &Borrowed<'_>) {
        self.rescued
            .push(if self.rescued.is_empty() { '{' } else { ',' });
        let pointer = Borrowed::String(self.pointer().into());
        self.rescued.push_str(&json(&pointer));
        self.rescued.push(':');
        self.rescued.push_str(&json(value));
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Field(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                Step::Item(at) => pointer.push_str(&at.to_string()),
            }
        }
        pointer
    }

    pub fn counted<'t>(&mut self, text: &'t str) -> &'t str {
        self.bytes += text.len();
        text
    }

    pub fn finish(mut self) -> Option<String> {
        if self.rescued.is_empty() {
            return None;
        }
        self.rescued.push('}');
        Some(self.rescued)
    }
}

/// A value as JSON text; a number that is none in JSON (`NaN`) as a string.
pub fn json(value: &Borrowed<'_>) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|_| serde_json::Value::from(format!("{value:?}")).to_string())
}
