//! Tables in plain columns, from rows alone.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Table};
use weft_api::Row;

/// Spaces between columns.
const GAP: u16 = 2;

/// A line of headers and one line for each item, each with its end.
pub(crate) fn table<T: Row>(items: &[T]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(T::HEADER);
    table.add_rows(
        items.iter().map(|item| item.cells().iter().map(|text| Cell::new(printable(text))).collect::<Vec<_>>()),
    );
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, GAP));
    });
    table.trim_fmt() + "\n"
}

/// A table that grows by lines: columns widen as they must, and never narrow.
pub(crate) struct Columns {
    header: Option<&'static [&'static str]>,
    widths: Vec<usize>,
}

impl Columns {
    /// With this header, which is shown above the first line.
    pub(crate) fn new(header: &'static [&'static str]) -> Self {
        Self { header: Some(header), widths: header.iter().map(|name| name.len()).collect() }
    }

    /// One line with its end.
    pub(crate) fn line(&mut self, cells: &[String]) -> String {
        let cells: Vec<String> = cells.iter().map(|cell| printable(cell)).collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        let header = self.header.take().map(|header| self.fitted(header.iter().map(|name| (*name).to_owned())));
        header.unwrap_or_default() + &self.fitted(cells)
    }

    fn fitted(&self, cells: impl IntoIterator<Item = String>) -> String {
        let gap = usize::from(GAP);
        let fit = |(cell, width): (String, &usize)| format!("{cell:<width$}{:gap$}", "");
        let line: String = cells.into_iter().zip(&self.widths).map(fit).collect();
        line.trim_end().to_owned() + "\n"
    }
}

/// `text` without what a terminal would obey: labels and names come from whoever starts containers.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
