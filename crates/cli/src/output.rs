//! The forms in which an answer is shown.

use anyhow::Result;
use serde::Serialize;
use weft_api::List;

use crate::session::{Session, UsageError};
use crate::shown::Shown;
use crate::table::table;

/// How to show an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Columns, or text for a single thing
    Table,
    /// As the API has it; a list is {"items": [...]}
    Json,
    /// The same as YAML
    Yaml,
    /// Names alone, as other verbs take them
    Name,
}

impl Session<'_> {
    /// Shows several things, or says that there are none.
    pub(crate) fn show_list<T: Shown>(&mut self, items: Vec<T>) -> Result<()> {
        match self.output {
            Output::Table if items.is_empty() => writeln!(self.err, "no {}", T::PLURAL)?,
            Output::Table => self.out.write_all(table(&items).as_bytes())?,
            Output::Name => self.show_names(&items)?,
            Output::Json | Output::Yaml => self.show_document(&List { items })?,
        }
        Ok(())
    }

    /// Shows one thing: a table of one line, or the thing itself.
    pub(crate) fn show_one<T: Shown>(&mut self, item: T) -> Result<()> {
        match self.output {
            Output::Table | Output::Name => self.show_list(vec![item]),
            Output::Json | Output::Yaml => self.show_document(&item),
        }
    }

    /// Shows one thing as `text`, or the thing itself.
    pub(crate) fn show_text<T: Serialize>(&mut self, item: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        match self.output {
            Output::Table => Ok(self.out.write_all(text(item).as_bytes())?),
            Output::Json | Output::Yaml => self.show_document(item),
            Output::Name => Err(UsageError("-o name is for lists: use table, json or yaml".to_owned()).into()),
        }
    }

    fn show_names<T: Shown>(&mut self, items: &[T]) -> Result<()> {
        for item in items {
            writeln!(self.out, "{}", item.name())?;
        }
        Ok(())
    }

    fn show_document(&mut self, document: &impl Serialize) -> Result<()> {
        if self.output == Output::Yaml {
            return Ok(self.out.write_all(serde_saphyr::to_string(document)?.as_bytes())?);
        }
        serde_json::to_writer_pretty(&mut *self.out, document)?;
        Ok(writeln!(self.out)?)
    }
}
