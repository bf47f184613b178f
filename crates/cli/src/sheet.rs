//! A single thing as text: `Key:  value` lines with the values in one column, then tables under headings.

use std::collections::BTreeMap;
use std::fmt::Display;

use weft_api::Row;

use crate::table::{printable, table};

/// The text of one thing.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    fields: Vec<(&'static str, String)>,
    sections: String,
}

impl Sheet {
    /// A line, unless there is nothing to say.
    pub(crate) fn field(mut self, key: &'static str, value: impl Display) -> Self {
        let value = printable(&value.to_string());
        if !value.is_empty() {
            self.fields.push((key, value));
        }
        self
    }

    /// A line, if there is a value.
    pub(crate) fn optional(self, key: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// A line of several values.
    pub(crate) fn list<T: ToString>(self, key: &'static str, values: &[T]) -> Self {
        let values: Vec<_> = values.iter().map(T::to_string).collect();
        self.field(key, values.join(", "))
    }

    /// A line of `key=value` pairs.
    pub(crate) fn pairs(self, key: &'static str, pairs: &BTreeMap<String, String>) -> Self {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.list(key, &pairs)
    }

    /// A table under a heading, unless it is empty.
    pub(crate) fn section<T: Row>(mut self, heading: &str, items: &[T]) -> Self {
        if !items.is_empty() {
            self.sections.push_str(&format!("{heading}:\n"));
            for line in table(items).lines() {
                self.sections.push_str(&format!("  {line}\n"));
            }
        }
        self
    }

    /// All of it.
    pub(crate) fn into_text(self) -> String {
        let width = self.fields.iter().map(|(key, _)| key.len() + 1).max().unwrap_or_default();
        let line = |(key, value): &(&str, String)| format!("{:width$}  {value}\n", format!("{key}:"));
        self.fields.iter().map(line).collect::<String>() + &self.sections
    }
}
