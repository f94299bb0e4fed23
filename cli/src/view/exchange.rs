//! A request, its reply and the records in it, as a person reads them.

use std::io;

use serde_json::Value;
use xetl_runtime::source::Exchange;

use super::{BOLD, DIM, GREEN, RED, View};

/// Lines of a body that are shown.
const MOST_LINES: usize = 20;
/// Letters of a line that are shown.
const LONGEST_LINE: usize = 160;

impl View {
    pub fn exchange(&mut self, exchange: &Exchange) -> io::Result<()> {
        let (method, url) = (&exchange.method, &exchange.url);
        self.line(format!("{BOLD}> {method} {url}{BOLD:#}"))?;
        for (name, value) in &exchange.headers {
            self.line(format!("{DIM}> {name}: {value}{DIM:#}"))?;
        }
        if let Some(body) = &exchange.body {
            self.body('>', body)?;
        }
        let colour = if exchange.status < 400 { GREEN } else { RED };
        self.line(format!(
            "{colour}< {}{colour:#}, {} bytes",
            exchange.status, exchange.size
        ))?;
        for (name, value) in &exchange.reply_headers {
            self.line(format!("{DIM}< {name}: {value}{DIM:#}"))?;
        }
        self.body('<', &exchange.reply)?;
        self.line("")
    }

    pub fn record(&mut self, stream: &str, record: &Value) -> io::Result<()> {
        self.line(format!("{GREEN}{stream}{GREEN:#} {record}"))
    }

    fn body(&mut self, sign: char, body: &str) -> io::Result<()> {
        let pretty = serde_json::from_str::<Value>(body)
            .and_then(|json| serde_json::to_string_pretty(&json))
            .unwrap_or_else(|_| body.to_owned());
        let lines = pretty.lines().count();
        for line in pretty.lines().take(MOST_LINES) {
            let shown: String = line.chars().take(LONGEST_LINE).collect();
            let cut = if shown.len() < line.len() { "..." } else { "" };
            self.line(format!("{sign} {shown}{cut}"))?;
        }
        if lines > MOST_LINES {
            self.line(format!(
                "{DIM}{sign} ... {} lines more{DIM:#}",
                lines - MOST_LINES
            ))?;
        }
        Ok(())
    }
}
