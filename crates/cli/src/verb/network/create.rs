//! `weft network create`: the fields of a network as flags.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use weft_api::{API_VERSION, Metadata, NetworkObject};
use weft_model::{
    Attachment, DeviceSpec, Dns, Family, Ipam, IpvlanMode, MacvlanMode, MasqueradeSpec, Mode, MtuSpec, NetworkSpec,
    PolicyMode, RouteSpec, Transport, VfSpec,
};

use crate::session::Session;

/// Arguments of `weft network create`. Values are judged by weftd, which knows the host and says what is wrong with all
/// of them at once.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("kind").args(["mode", "attachment"]).required(true))]
pub(super) struct Args {
    /// Name of the network
    name: String,
    /// A usual pair of attachment and transport
    #[arg(long, value_parser = words::<Mode>(Mode::ALL.iter().map(|mode| mode.word())))]
    mode: Option<Mode>,
    /// How containers join their host; instead of --mode
    #[arg(long, value_parser = words::<Attachment>(Attachment::ALL.iter().map(|attachment| attachment.word())))]
    attachment: Option<Attachment>,
    /// How hosts are joined
    #[arg(long, value_parser = words::<Transport>(Transport::ALL.iter().map(|transport| transport.word())))]
    transport: Option<Transport>,
    /// Who gives out addresses: weft, from the pools, or the DHCP servers of the parent's or the device's LAN
    #[arg(long, value_parser = words::<Ipam>(Ipam::ALL.iter().map(|ipam| ipam.word())))]
    ipam: Option<Ipam>,
    /// Addresses to lease from; weft picks a free pool for each family without
    #[arg(long = "pool", value_name = "CIDR")]
    pools: Vec<String>,
    /// Lease from these alone: FIRST-LAST, a CIDR or an address
    #[arg(long = "range", value_name = "RANGE")]
    ranges: Vec<String>,
    /// Never lease these: FIRST-LAST, a CIDR or an address
    #[arg(long, value_name = "RANGE")]
    exclude: Vec<String>,
    /// The gateway in a pool: the host's own address, or the router of the parent's network; the first if absent
    #[arg(long = "gateway", value_name = "IP")]
    gateways: Vec<String>,
    /// Lease addresses of this family; both if absent
    #[arg(long = "family", value_name = "FAMILY", value_parser = families())]
    families: Vec<Family>,
    /// Bytes, or auto: as much as the uplink takes
    #[arg(long, value_name = "BYTES", value_parser = mtu)]
    mtu: Option<MtuSpec>,
    /// The link to sit on, for macvlan and ipvlan; the host's uplink if absent
    #[arg(long, value_name = "LINK")]
    parent: Option<String>,
    /// The VLAN on the parent
    #[arg(long, value_name = "NUMBER")]
    vlan: Option<u16>,
    /// What containers are to each other, for macvlan; bridge if absent
    #[arg(long, value_name = "MODE", value_parser = words::<MacvlanMode>(MacvlanMode::ALL.iter().map(|m| m.word())))]
    macvlan_mode: Option<MacvlanMode>,
    /// Where packets are routed, for ipvlan; l2 if absent
    #[arg(long, value_name = "MODE", value_parser = words::<IpvlanMode>(IpvlanMode::ALL.iter().map(|m| m.word())))]
    ipvlan_mode: Option<IpvlanMode>,
    /// Keep the host and the containers apart, for macvlan and ipvlan
    #[arg(long)]
    no_host_access: bool,
    /// A device for a container, for device: its name on the host; several are a pool
    #[arg(long = "device", value_name = "LINK")]
    devices: Vec<String>,
    /// The same by its Ethernet address
    #[arg(long = "device-mac", value_name = "MAC")]
    device_macs: Vec<String>,
    /// The same by its PCI address
    #[arg(long = "device-pci", value_name = "ADDRESS")]
    device_pci: Vec<String>,
    /// Only devices of this driver
    #[arg(long, value_name = "NAME")]
    device_driver: Option<String>,
    /// Only virtual functions (SR-IOV) of this device
    #[arg(long, value_name = "LINK")]
    device_pf: Option<String>,
    /// Whether virtual functions drop frames with a foreign sender; as they are if absent
    #[arg(long, value_name = "on|off", value_parser = switch())]
    vf_spoof_check: Option<bool>,
    /// Whether containers may change what was set of their virtual functions; as they are if absent
    #[arg(long, value_name = "on|off", value_parser = switch())]
    vf_trust: Option<bool>,
    /// The most that a virtual function may send, in Mbit/s; 0 for no limit
    #[arg(long, value_name = "MBITS")]
    vf_rate: Option<u32>,
    /// The VLAN that all frames of a virtual function are in; 0 for none
    #[arg(long, value_name = "NUMBER")]
    vf_vlan: Option<u16>,
    /// A route besides the default one
    #[arg(long = "route", value_name = "CIDR[=VIA]", value_parser = route)]
    routes: Vec<RouteSpec>,
    /// Reach nothing beyond the host
    #[arg(long)]
    internal: bool,
    /// Part the endpoints from each other
    #[arg(long)]
    isolated: bool,
    /// Let pass what policies forbid the endpoints, and tell of it
    #[arg(long)]
    audit: bool,
    /// A network of this host whose containers may be reached, if it lists this one too
    #[arg(long = "peer", value_name = "NETWORK")]
    peers: Vec<String>,
    /// An address or CIDR that containers may send from besides their own
    #[arg(long = "allow-address", value_name = "CIDR")]
    allowed_addresses: Vec<String>,
    /// Show the containers' own addresses to the outside
    #[arg(long, conflicts_with_all = ["masquerade_except", "masquerade_source"])]
    no_masquerade: bool,
    /// Show the containers' own addresses to these
    #[arg(long, value_name = "CIDR")]
    masquerade_except: Vec<String>,
    /// The address to leave with, one of each family; the outgoing link's if absent
    #[arg(long, value_name = "IP")]
    masquerade_source: Vec<String>,
    /// A name server for the containers
    #[arg(long, value_name = "IP")]
    dns: Vec<IpAddr>,
    /// A domain in which the containers search for names
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// A label of the network
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let network: NetworkObject = session.client.post("/v1/networks", &self.into_object())?;
        session.show_one(network)
    }

    fn into_object(self) -> NetworkObject {
        let masquerade = self.masquerade();
        let device = DeviceSpec {
            names: self.devices,
            macs: self.device_macs,
            pci: self.device_pci,
            driver: self.device_driver,
            pf: self.device_pf,
        };
        let vf =
            VfSpec { spoof_check: self.vf_spoof_check, trust: self.vf_trust, rate: self.vf_rate, vlan: self.vf_vlan };
        let labels = self.labels.into_iter().collect();
        let spec = NetworkSpec {
            mode: self.mode,
            attachment: self.attachment,
            transport: self.transport,
            families: self.families,
            ipam: self.ipam,
            pools: self.pools,
            ranges: self.ranges,
            exclude: self.exclude,
            gateways: self.gateways,
            mtu: self.mtu,
            parent: self.parent,
            vlan: self.vlan,
            macvlan_mode: self.macvlan_mode,
            ipvlan_mode: self.ipvlan_mode,
            host_access: self.no_host_access.then_some(false),
            device: Some(device).filter(|device| *device != DeviceSpec::default()),
            vf: Some(vf).filter(|vf| *vf != VfSpec::default()),
            routes: self.routes,
            internal: self.internal,
            isolated: self.isolated,
            policy_mode: self.audit.then_some(PolicyMode::Audit),
            peers: self.peers,
            allowed_addresses: self.allowed_addresses,
            masquerade,
            dns: Dns { servers: self.dns, searches: self.dns_search, options: Vec::new() },
        };
        NetworkObject {
            api_version: API_VERSION.to_owned(),
            kind: "Network".to_owned(),
            metadata: Metadata { name: self.name, labels, ..Metadata::default() },
            spec,
            status: None,
        }
    }

    fn masquerade(&self) -> Option<MasqueradeSpec> {
        if self.no_masquerade {
            return Some(MasqueradeSpec::Switch(false));
        }
        let (except, source) = (self.masquerade_except.clone(), self.masquerade_source.clone());
        (!except.is_empty() || !source.is_empty()).then_some(MasqueradeSpec::Details { except, source })
    }
}

/// One of the words that `T` is written with, for help and completions as well.
fn words<T>(words: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

fn families() -> impl TypedValueParser<Value = Family> {
    PossibleValuesParser::new(["ipv4", "ipv6"]).map(|word| if word == "ipv4" { Family::IPv4 } else { Family::IPv6 })
}

fn switch() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|word| word == "on")
}

fn mtu(text: &str) -> Result<MtuSpec, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(MtuSpec::Word(text.to_owned())),
        (_, Ok(bytes)) => Ok(MtuSpec::Bytes(bytes)),
        (_, Err(_)) => Err("write auto, or bytes".to_owned()),
    }
}

fn route(text: &str) -> Result<RouteSpec, String> {
    let (to, via) = match text.split_once('=') {
        Some((to, via)) => (to, Some(via.to_owned())),
        None => (text, None),
    };
    Ok(RouteSpec { to: to.to_owned(), via })
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
