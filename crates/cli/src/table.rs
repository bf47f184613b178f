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

/// `text` without what a terminal would obey: labels and names come from whoever starts containers.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
