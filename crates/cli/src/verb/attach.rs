//! `weft attach` and `weft detach`: a container joins and leaves networks without its runtime.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use weft_api::{AttachRequest, EndpointObject};

use crate::fetch;
use crate::session::Session;
use crate::sheet::Sheet;

/// Arguments of `weft attach`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("container").args(["endpoint", "netns"]).required(true))]
#[command(after_help = "Examples:
  weft attach web --network backend          the container of endpoint web, by its next interface
  weft attach --netns /run/netns/blue --network app --name blue
  weft attach web --network fast --device ens1f0v4")]
pub struct Attach {
    /// An endpoint of the container: [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an
    /// address; @INTERFACE
    endpoint: Option<String>,
    /// Whoever is in the namespace at this path
    #[arg(long, value_name = "PATH")]
    netns: Option<String>,
    /// The network to join
    #[arg(long)]
    network: String,
    /// The interface inside; the next free one of eth0, eth1 … if absent
    #[arg(long, value_name = "NAME")]
    ifname: Option<String>,
    /// Its name; that of the container's other endpoint, or of the namespace's file, if absent
    #[arg(long)]
    name: Option<String>,
    /// Namespace of its name; `default`, or that of the container's other endpoint, if absent
    #[arg(long)]
    namespace: Option<String>,
    /// A label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// A port that policies may call by a name, TCP if no protocol is named
    #[arg(long = "port", value_name = "NAME=PORT[/PROTOCOL]")]
    ports: Vec<String>,
    /// An address to get, at most one of each pool
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// The MAC address to get
    #[arg(long)]
    mac: Option<String>,
    /// Which of the network's devices to get, by name, PCI address or MAC address, for device; any free one if absent
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Have the container's default routes go by this network; otherwise they stay with the interface that has them
    #[arg(long)]
    default_route: bool,
}

impl Attach {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let request = AttachRequest {
            network: self.network,
            endpoint: self.endpoint,
            netns: self.netns,
            interface: self.ifname,
            namespace: self.namespace,
            name: self.name,
            labels: self.labels.into_iter().collect::<BTreeMap<_, _>>(),
            ports: self.ports,
            addresses: self.addresses,
            mac: self.mac,
            device: self.device,
            default_route: self.default_route,
        };
        let object: EndpointObject = session.client.post("/v1/endpoints", &request)?;
        session.show_text(&object, text)
    }
}

/// Arguments of `weft detach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: weft detach web@eth1")]
pub struct Detach {
    /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE
    endpoint: String,
    /// Also an endpoint that a runtime made, which will not hear of it
    #[arg(long)]
    force: bool,
}

impl Detach {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let object: EndpointObject = session.client.delete(&fetch::leaving(&self.endpoint, self.force))?;
        session.show_text(&object, |object| format!("{} left network {}\n", title(object), object.spec.network))
    }
}

/// `KEY=VALUE`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?}: write KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn title(object: &EndpointObject) -> String {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}@{}", object.metadata.name, object.spec.interface)
}

fn text(object: &EndpointObject) -> String {
    Sheet::default()
        .field("Endpoint", title(object))
        .field("Network", &object.spec.network)
        .list("Addresses", &object.status.addresses)
        .list("Gateways", &object.status.gateways)
        .into_text()
}
