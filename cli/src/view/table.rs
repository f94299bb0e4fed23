//! Tables: results of queries and lists.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table as Picture, presets};

use super::{Format, View, quiet_pipe};
use crate::table::Table;

impl View {
    /// A query's result: a table, a JSON array of objects, or CSV.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        match self.format {
            Format::Json => self.json(&table.objects()),
            Format::Csv => quiet_pipe(self.out.write_all(table.csv().as_bytes())),
            Format::Text => {
                let header: Vec<&str> = table.columns.iter().map(|it| it.name.as_str()).collect();
                let numbers: Vec<usize> = (0..header.len())
                    .filter(|&index| table.is_number(index))
                    .collect();
                self.cells(&header, table.texts().collect(), &numbers)
            }
        }
    }

    /// Lines of cells below their headers; those of the columns `right` are numbers.
    pub fn cells(
        &mut self,
        header: &[&str],
        rows: Vec<Vec<String>>,
        right: &[usize],
    ) -> io::Result<()> {
        let mut picture = Picture::new();
        picture
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(header);
        picture.add_rows(rows);
        for &column in right {
            if let Some(column) = picture.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in picture.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}
