//! `weft endpoint label`: what policies select an endpoint by.

use std::collections::BTreeMap;

use anyhow::Result;
use weft_api::{EndpointObject, LabelRequest, List};

use crate::fetch;
use crate::session::Session;

/// Arguments of `weft endpoint label`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address
    endpoint: String,
    /// Labels to set, and keys of labels to take away
    #[arg(value_name = "KEY=VALUE|KEY-", value_parser = change)]
    changes: Vec<Change>,
}

/// One label.
#[derive(Debug, Clone)]
enum Change {
    Set(String, String),
    Remove(String),
}

fn change(text: &str) -> Result<Change, String> {
    if let Some((key, value)) = text.split_once('=') {
        return Ok(Change::Set(key.to_owned(), value.to_owned()));
    }
    let key = text.strip_suffix('-').ok_or_else(|| format!("{text:?}: write KEY=VALUE, or KEY- to take it away"))?;
    Ok(Change::Remove(key.to_owned()))
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let object = if self.changes.is_empty() {
            fetch::one_of_container(&session.client, &self.endpoint)?
        } else {
            let (mut add, mut remove) = (BTreeMap::new(), Vec::new());
            for change in self.changes {
                match change {
                    Change::Set(key, value) => drop(add.insert(key, value)),
                    Change::Remove(key) => remove.push(key),
                }
            }
            let request = LabelRequest { endpoint: self.endpoint, remove, add };
            let labelled: List<EndpointObject> = session.client.post("/v1/endpoints/labels", &request)?;
            let mut endpoints = labelled.items.into_iter();
            endpoints.next().ok_or_else(|| anyhow::anyhow!("weftd gave no endpoint"))?
        };
        session.show_text(&object, text)
    }
}

fn text(object: &EndpointObject) -> String {
    let labels: Vec<_> = object.metadata.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let shown = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
    super::sheet(object).field("Labels", shown).into_text()
}
