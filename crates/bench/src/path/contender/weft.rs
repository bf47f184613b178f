//! weft: two containers, attached by the shim and a real agent.

use anyhow::{Context as _, Result};
use weft_lab::Host;
use weft_model::Attachment;

use super::{End, Joined};
use crate::network;
use crate::plugin::{Container, Operation, Plugin, addresses};

/// Names of the ends.
pub(crate) const CLIENT: &str = "client";
pub(crate) const SERVER: &str = "server";

pub(super) fn join(host: &Host, attachment: Attachment, options: &[&str]) -> Result<Joined> {
    let weftd = network::serve(host, attachment, options)?;
    let (client, server) = (attach(host, CLIENT)?, attach(host, SERVER)?);
    Ok(Joined { client, server, _weftd: Some(weftd) })
}

fn attach(host: &Host, name: &str) -> Result<End> {
    let netns = host.netns(name)?;
    let container = Container { id: name.to_owned(), netns: netns.path() };
    let result = Plugin::inside(host, network::PLUGIN).call(Operation::Add, &container, network::CONFIG)?;
    End::new(&netns, addresses(&result).with_context(|| format!("the addresses of {name}"))?)
}
