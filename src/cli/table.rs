//! Columns of text, as wide as their widest cell.

use std::fmt;

/// Between two columns.
const GAP: &str = "  ";

/// A table with a heading; rows may have notes below them.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    heading: [String; N],
    rows: Vec<Row<N>>,
}

#[derive(Debug)]
struct Row<const N: usize> {
    cells: [String; N],
    notes: Vec<String>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(heading: [impl Into<String>; N]) -> Self {
        Self {
            heading: heading.map(Into::into),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.row_with_notes(cells, Vec::new());
    }

    pub(super) fn row_with_notes(&mut self, cells: [String; N], notes: Vec<String>) {
        self.rows.push(Row { cells, notes });
    }

    fn widths(&self) -> [usize; N] {
        let mut widths = self.heading.each_ref().map(|cell| cell.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let line = |cells: &[String; N]| {
            let padded: Vec<String> = cells
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            padded.join(GAP).trim_end().to_owned()
        };
        writeln!(f, "{}", line(&self.heading))?;
        for row in &self.rows {
            writeln!(f, "{}", line(&row.cells))?;
            for note in &row.notes {
                writeln!(f, "{GAP}{note}")?;
            }
        }
        Ok(())
    }
}
