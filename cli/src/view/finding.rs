//! A linter's finding: one line, as editors and CI take it.

use std::io;

use xetl_runtime::source::lint::{Finding, Severity};

use super::{BOLD, RED, View, YELLOW};

impl View {
    pub fn finding(&mut self, source: &str, finding: &Finding) -> io::Result<()> {
        let severity = match finding.severity {
            Severity::Error => format!("{RED}error{RED:#}"),
            Severity::Warning => format!("{YELLOW}warning{YELLOW:#}"),
        };
        let place = format!("{source}:{}:{}", finding.line, finding.column);
        self.line(format!(
            "{BOLD}{place}{BOLD:#}: {severity}: {}",
            finding.message
        ))
    }
}
