//! A network as people write it, and its way to a [`Network`]: every field is checked, every fault is reported at once.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::{DeviceSelector, DeviceSpec, FunctionSettings, VfSpec};
use crate::endpoint::{Dns, Route};
use crate::invalid::{Invalid, InvalidFields};
use crate::name::{IfName, Labels, NetworkName};
use crate::network::{
    Attachment, Availability, Ipam, IpvlanMode, MacvlanMode, Masquerade, Mode, Network, Transport, nets_overlap,
};
use crate::policy::PolicyMode;
use crate::pool::{AddressRange, Family, Pool, is_special};
use crate::prefix::{parse_net, resolve_allowed};

/// Most pools, ranges, exclusions, routes or exceptions one network may list: each costs memory and, for exceptions, a
/// comparison per new connection.
const LIST_LENGTH_MAX: usize = 64;
/// Smallest MTU: what IPv6 demands of every link (RFC 8200, section 5).
const MTU_MIN: u32 = 1280;
/// Largest MTU: what an IP packet can hold.
const MTU_MAX: u32 = 65_535;
/// The parent that follows the host's uplink.
const PARENT_AUTO: &str = "auto";
/// Numbers of VLANs (IEEE 802.1Q): 0 is none, and 4095 is reserved.
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;

/// `auto`, or bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "write auto, or bytes from 1280 to 65535")]
pub enum MtuSpec {
    /// Bytes, 1280 to 65535.
    Bytes(u32),
    /// The word `auto`: follow the uplink.
    Word(String),
}

/// `true`, `false`, or the details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "write true, false, or except: and source:")]
pub enum MasqueradeSpec {
    /// Whether to translate at all.
    Switch(bool),
    /// Translate, with these details.
    Details {
        /// CIDRs that see the container's own address.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<String>,
        /// Addresses to leave with, one per family; the outgoing link's own if absent.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        source: Vec<String>,
    },
}

/// A route beside the default one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Destination CIDR.
    pub to: String,
    /// Next hop; the network's gateway if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

/// `spec` of a Network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkSpec {
    /// A usual pair of attachment and transport, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How containers join their host; instead of `mode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// How hosts are joined; the attachment's simplest if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Families that endpoints get addresses of; both if absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<Family>,
    /// Who gives endpoints their addresses: weft, from the pools, or the LAN's DHCP servers; `pools` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Ipam>,
    /// CIDRs to lease from; weft picks a free one for each family without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Lease only from these: `FIRST-LAST`, a CIDR or an address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<String>,
    /// Never lease these: `FIRST-LAST`, a CIDR or an address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// The host's addresses in the pools; the first of each pool if absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// `auto` (the uplink's) or bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<MtuSpec>,
    /// The link to sit on, for macvlan and ipvlan: its name, or `auto` for the host's uplink, which it is if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The VLAN on the parent, 1 to 4094, for macvlan and ipvlan: weft makes its sub-interface, and takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// What endpoints are to each other, for macvlan: bridge if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macvlan_mode: Option<MacvlanMode>,
    /// Where packets are routed, for ipvlan: l2 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipvlan_mode: Option<IpvlanMode>,
    /// Whether the host and the endpoints reach each other, for macvlan and ipvlan: true if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_access: Option<bool>,
    /// Which of the host's devices endpoints get, for device; those that the runtime names if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceSpec>,
    /// What virtual functions (SR-IOV) are set to, for device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vf: Option<VfSpec>,
    /// Routes besides the default one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSpec>,
    /// Reach nothing beyond the host.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Part the endpoints of the network from each other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub isolated: bool,
    /// `audit`, if what policies forbid the endpoints is to pass, and to be told of; enforce if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_mode: Option<PolicyMode>,
    /// Networks of this host whose endpoints may be reached, if they list this one too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// CIDRs and addresses that endpoints may send from besides their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_addresses: Vec<String>,
    /// Translate sources towards the outside; true unless `internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masquerade: Option<MasqueradeSpec>,
    /// What runtimes are told about name servers.
    #[serde(skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
}

impl NetworkSpec {
    /// Attachment and transport, if the fields that name them agree.
    pub fn pair(&self, name: &NetworkName) -> Result<(Attachment, Transport), InvalidFields> {
        let mut faults = Faults::new(name);
        let pair = match (self.mode, self.attachment) {
            (Some(mode), None) => {
                let (attachment, usual) = mode.pair();
                (attachment, self.transport.unwrap_or(usual))
            }
            (None, Some(attachment)) => (attachment, self.transport.unwrap_or(attachment.transports()[0])),
            (Some(mode), Some(_)) => {
                return faults.refuse("spec.mode", mode, "write either mode or attachment, not both");
            }
            (None, None) => return faults.refuse("spec.mode", "", "say how containers join, such as mode: bridge"),
        };
        let (attachment, transport) = pair;
        let legal = attachment.transports();
        if !legal.contains(&transport) {
            let legal: Vec<_> = legal.iter().map(|t| t.word()).collect();
            let remedy = format!("attachment {attachment} goes with {}", legal.join(", "));
            faults.add("spec.transport", transport, remedy);
        }
        faults.into_result(pair)
    }

    /// The families for which weft must pick a pool itself.
    pub fn families_without_pool(&self) -> Vec<Family> {
        if self.ipam == Some(Ipam::Dhcp) {
            return Vec::new();
        }
        let given = |family: Family| {
            self.pools.iter().any(|p| p.parse::<IpNet>().is_ok_and(|net| Family::of_net(&net) == family))
        };
        let wanted = |family: &Family| self.families.is_empty() || self.families.contains(family);
        Family::ALL.into_iter().filter(|f| wanted(f) && !given(*f)).collect()
    }

    /// Checks every field and says what the network is. All faults are reported together.
    pub fn resolve(
        &self,
        name: &NetworkName,
        labels: &Labels,
        available: &dyn Availability,
    ) -> Result<Network, InvalidFields> {
        let (attachment, transport) = self.pair(name)?;
        let mut faults = Faults::new(name);
        if let Err(reason) = available.attachment(attachment) {
            faults.add("spec.attachment", attachment, reason);
        }
        if let Err(reason) = available.transport(transport) {
            faults.add("spec.transport", transport, reason);
        }
        self.check_lengths(&mut faults);
        let network = Network {
            name: name.clone(),
            labels: labels.clone(),
            attachment,
            transport,
            ipam: self.resolve_ipam(attachment, &mut faults),
            asked_families: self.families.clone(),
            pools: self.resolve_pools(attachment, &mut faults),
            mtu: self.resolve_mtu(&mut faults),
            parent: self.resolve_parent(attachment, &mut faults),
            vlan: self.resolve_vlan(attachment, &mut faults),
            macvlan_mode: self.resolve_macvlan_mode(attachment, &mut faults),
            ipvlan_mode: self.resolve_ipvlan_mode(attachment, &mut faults),
            host_access: self.resolve_host_access(attachment, &mut faults),
            devices: self.resolve_devices(attachment, &mut faults),
            function: self.resolve_function(attachment, &mut faults),
            routes: self.resolve_routes(&mut faults),
            internal: self.internal,
            isolated: self.isolated || self.macvlan_mode == Some(MacvlanMode::Private),
            policy_mode: self.policy_mode.unwrap_or_default(),
            peers: self.resolve_peers(name, &mut faults),
            allowed_addresses: self.resolve_allowed(&mut faults),
            masquerade: self.resolve_masquerade(attachment, &mut faults),
            dns: self.dns.clone(),
        };
        faults.into_result(network)
    }

    /// What may not change while the network lives, because running containers were built on it.
    pub fn check_change(&self, name: &NetworkName, old: &NetworkSpec) -> Result<(), InvalidFields> {
        let mut faults = Faults::new(name);
        let reason = "is fixed for the life of a network, because running containers were built on it: \
                      delete the network and create it anew";
        let mut fixed = |field: &str, was: String, is: String| {
            if was != is {
                faults.add(field, is, format!("was {was:?}; {field} {reason}"));
            }
        };
        let pair = |spec: &NetworkSpec| spec.pair(name).map(|(a, t)| format!("{a}/{t}")).unwrap_or_default();
        fixed("spec.mode", pair(old), pair(self));
        let ipam = |spec: &NetworkSpec| spec.ipam.unwrap_or(Ipam::Pools).to_string();
        fixed("spec.ipam", ipam(old), ipam(self));
        fixed("spec.pools", old.pools.join(", "), self.pools.join(", "));
        fixed("spec.gateways", old.gateways.join(", "), self.gateways.join(", "));
        let word = |value: &Option<String>| value.clone().unwrap_or_default();
        fixed("spec.parent", word(&old.parent), word(&self.parent));
        let vlan = |spec: &NetworkSpec| word(&spec.vlan.map(|vlan| vlan.to_string()));
        fixed("spec.vlan", vlan(old), vlan(self));
        let mode = |spec: &NetworkSpec| word(&spec.macvlan_mode.map(|mode| mode.to_string()));
        fixed("spec.macvlanMode", mode(old), mode(self));
        let mode = |spec: &NetworkSpec| spec.ipvlan_mode.unwrap_or_default().to_string();
        fixed("spec.ipvlanMode", mode(old), mode(self));
        faults.into_result(())
    }

    fn check_lengths(&self, faults: &mut Faults) {
        let lists = [
            ("spec.pools", self.pools.len()),
            ("spec.ranges", self.ranges.len()),
            ("spec.exclude", self.exclude.len()),
            ("spec.gateways", self.gateways.len()),
            ("spec.routes", self.routes.len()),
            ("spec.peers", self.peers.len()),
            ("spec.allowedAddresses", self.allowed_addresses.len()),
        ];
        for (field, length) in lists {
            if length > LIST_LENGTH_MAX {
                faults.add(field, length, format!("list {LIST_LENGTH_MAX} at most"));
            }
        }
    }

    fn resolve_peers(&self, name: &NetworkName, faults: &mut Faults) -> Vec<NetworkName> {
        let mut peers = Vec::new();
        for (n, text) in self.peers.iter().enumerate() {
            let field = format!("spec.peers[{n}]");
            match NetworkName::parse(text.as_str()) {
                Ok(peer) if peer == *name => faults.add(&field, text, "is this network itself: leave it out"),
                Ok(peer) => peers.push(peer),
                Err(error) => faults.add(&field, text, error.to_string()),
            }
        }
        peers
    }

    fn resolve_allowed(&self, faults: &mut Faults) -> Vec<IpNet> {
        let resolved = resolve_allowed(&faults.object, "spec.allowedAddresses", &self.allowed_addresses);
        resolved.unwrap_or_else(|InvalidFields(found)| {
            faults.found.extend(found);
            Vec::new()
        })
    }

    fn resolve_ipam(&self, attachment: Attachment, faults: &mut Faults) -> Ipam {
        let ipam = self.ipam.unwrap_or(Ipam::Pools);
        if ipam != Ipam::Dhcp {
            return ipam;
        }
        if !attachment.has_parent() {
            let with = Attachment::ALL.iter().filter(|it| it.has_parent()).map(|it| it.word()).collect::<Vec<_>>();
            let remedy =
                format!("attachment {attachment} is on no LAN with servers: use {}, or pools", with.join(", "));
            faults.add("spec.ipam", ipam, remedy);
        } else if let Some(mode) = self.routed_mode() {
            let remedy = format!("with ipvlanMode {mode} there is no segment to ask on: use l2, or pools");
            faults.add("spec.ipam", ipam, remedy);
        }
        let lists = [
            ("spec.pools", &self.pools),
            ("spec.ranges", &self.ranges),
            ("spec.exclude", &self.exclude),
            ("spec.gateways", &self.gateways),
        ];
        for (field, list) in lists {
            if let Some(first) = list.first() {
                faults.add(field, first, "is for the LAN's DHCP servers to say: leave it out, or ipam: dhcp");
            }
        }
        ipam
    }

    fn resolve_pools(&self, attachment: Attachment, faults: &mut Faults) -> Vec<Pool> {
        if !attachment.has_pools() {
            if let Some(pool) = self.pools.first() {
                faults.add("spec.pools", pool, format!("attachment {attachment} leases no addresses: leave it out"));
            }
            return Vec::new();
        }
        if self.ipam == Some(Ipam::Dhcp) {
            return Vec::new();
        }
        if attachment.has_parent() && self.pools.is_empty() {
            let remedy = "say which of the physical network's addresses are weft's: its CIDR here, and in ranges: \
                          those that nobody else has; or ipam: dhcp";
            faults.add("spec.pools", "", remedy);
        }
        let subnets = self.parse_subnets(faults);
        let ranges = parse_ranges("spec.ranges", &self.ranges, &subnets, faults);
        let excluded = parse_ranges("spec.exclude", &self.exclude, &subnets, faults);
        let gateways = self.parse_gateways(attachment, &subnets, faults);
        let mut pools: Vec<Pool> = Vec::new();
        for subnet in subnets {
            let within = |all: &[AddressRange]| -> Vec<AddressRange> {
                all.iter().copied().filter(|range| subnet.contains(&range.first)).collect()
            };
            let ranges = Some(merge(within(&ranges))).filter(|r| !r.is_empty());
            let gateway = (attachment.has_gateway() && self.routed_mode().is_none()).then(|| {
                let chosen = gateways.iter().copied().find(|g| subnet.contains(g));
                chosen.unwrap_or_else(|| first_host(&subnet))
            });
            let ranges = ranges.unwrap_or_else(|| vec![AddressRange::of_net(&subnet)]);
            pools.push(Pool { subnet, gateway, ranges, excluded: within(&excluded) });
        }
        pools.sort_by_key(|pool| Family::of_net(&pool.subnet));
        pools
    }

    fn parse_subnets(&self, faults: &mut Faults) -> Vec<IpNet> {
        let mut subnets: Vec<IpNet> = Vec::new();
        for (n, text) in self.pools.iter().enumerate() {
            let field = format!("spec.pools[{n}]");
            match parse_net(text) {
                Err(remedy) => faults.add(&field, text, remedy),
                Ok(net) if let Some(reason) = unusable(&net) => faults.add(&field, text, reason),
                Ok(net) if let Some(other) = subnets.iter().find(|other| nets_overlap(other, &net)) => {
                    faults.add(&field, text, format!("overlaps {other} of the same network: list disjoint pools"));
                }
                Ok(net) => subnets.push(net),
            }
        }
        subnets
    }

    fn parse_gateways(&self, attachment: Attachment, subnets: &[IpNet], faults: &mut Faults) -> Vec<IpAddr> {
        let mut gateways = Vec::new();
        for (n, text) in self.gateways.iter().enumerate() {
            let field = format!("spec.gateways[{n}]");
            if !attachment.has_gateway() {
                faults.add(&field, text, format!("attachment {attachment} has a link-local gateway: leave it out"));
                continue;
            }
            if let Some(mode) = self.routed_mode() {
                faults.add(&field, text, by_link_alone(mode));
                continue;
            }
            match text.parse::<IpAddr>() {
                Err(_) => faults.add(&field, text, "write an address, such as 10.64.0.1"),
                Ok(ip) => match subnets.iter().find(|net| net.contains(&ip)) {
                    None => {
                        faults.add(&field, text, "lies in none of the network's pools: choose an address of a pool")
                    }
                    Some(net) if is_special(net, ip) => {
                        faults.add(
                            &field,
                            text,
                            format!("is the network or broadcast address of {net}: choose another"),
                        );
                    }
                    Some(_) => gateways.push(ip),
                },
            }
        }
        gateways
    }

    fn resolve_mtu(&self, faults: &mut Faults) -> Option<u32> {
        let remedy = format!("write auto, or bytes from {MTU_MIN} to {MTU_MAX}");
        match &self.mtu {
            None => None,
            Some(MtuSpec::Word(word)) if word == "auto" => None,
            Some(MtuSpec::Bytes(bytes)) if (MTU_MIN..=MTU_MAX).contains(bytes) => Some(*bytes),
            Some(MtuSpec::Bytes(bytes)) => {
                faults.add("spec.mtu", bytes, remedy);
                None
            }
            Some(MtuSpec::Word(word)) => {
                faults.add("spec.mtu", word, remedy);
                None
            }
        }
    }

    fn resolve_parent(&self, attachment: Attachment, faults: &mut Faults) -> Option<IfName> {
        let text = self.parent.as_ref()?;
        if !attachment.sits_on_parent() {
            faults.add("spec.parent", text, format!("attachment {attachment} sits on no link: leave it out"));
            return None;
        }
        if text == PARENT_AUTO {
            return None;
        }
        IfName::parse(text).map_err(|error| faults.add("spec.parent", text, error.rule())).ok()
    }

    fn resolve_vlan(&self, attachment: Attachment, faults: &mut Faults) -> Option<u16> {
        let vlan = self.vlan?;
        if attachment == Attachment::Device {
            faults.add("spec.vlan", vlan, "a virtual function's VLAN is written in vf.vlan: write it there");
        } else if !attachment.sits_on_parent() {
            faults.add("spec.vlan", vlan, format!("attachment {attachment} sits on no link: leave it out"));
        } else if !VLANS.contains(&vlan) {
            faults.add("spec.vlan", vlan, "write a number from 1 to 4094");
        }
        Some(vlan)
    }

    fn resolve_macvlan_mode(&self, attachment: Attachment, faults: &mut Faults) -> MacvlanMode {
        if let Some(mode) = self.macvlan_mode.filter(|_| attachment != Attachment::Macvlan) {
            faults.add("spec.macvlanMode", mode, format!("the attachment is {attachment}: leave it out"));
        }
        let usual = if self.isolated { MacvlanMode::Private } else { MacvlanMode::Bridge };
        let mode = self.macvlan_mode.unwrap_or(usual);
        if self.isolated && mode != MacvlanMode::Private {
            faults.add(
                "spec.isolated",
                "true",
                format!("macvlanMode {mode} parts nobody: write private, or leave it out"),
            );
        }
        mode
    }

    /// The mode of ipvlan, if it is one in which the host routes.
    fn routed_mode(&self) -> Option<IpvlanMode> {
        self.ipvlan_mode.filter(|mode| mode.is_routed())
    }

    fn resolve_ipvlan_mode(&self, attachment: Attachment, faults: &mut Faults) -> IpvlanMode {
        if let Some(mode) = self.ipvlan_mode.filter(|_| attachment != Attachment::Ipvlan) {
            faults.add("spec.ipvlanMode", mode, format!("the attachment is {attachment}: leave it out"));
        } else if let Some(mode) = self.routed_mode() {
            for (n, via) in self.routes.iter().enumerate().filter_map(|(n, route)| Some((n, route.via.as_ref()?))) {
                faults.add(&format!("spec.routes[{n}].via"), via, by_link_alone(mode));
            }
        }
        self.ipvlan_mode.unwrap_or_default()
    }

    fn resolve_host_access(&self, attachment: Attachment, faults: &mut Faults) -> bool {
        let Some(wanted) = self.host_access else { return self.macvlan_mode != Some(MacvlanMode::Passthru) };
        if !attachment.sits_on_parent() {
            faults.add("spec.hostAccess", wanted, format!("attachment {attachment} sits on no link: leave it out"));
        }
        if wanted && self.macvlan_mode == Some(MacvlanMode::Passthru) {
            faults.add("spec.hostAccess", wanted, "with macvlanMode passthru the host does without the parent");
        }
        wanted
    }

    fn resolve_devices(&self, attachment: Attachment, faults: &mut Faults) -> DeviceSelector {
        if attachment == Attachment::Device && self.isolated {
            let remedy = "the endpoints have devices of their own, which nothing of weft's parts: leave it out";
            faults.add("spec.isolated", "true", remedy);
        }
        let Some(spec) = &self.device else { return DeviceSelector::default() };
        if attachment != Attachment::Device {
            faults.add("spec.device", "", format!("the attachment is {attachment}: leave it out"));
        }
        let DeviceSpec { names, macs, pci, driver, pf } = spec;
        for (field, length) in [("names", names.len()), ("macs", macs.len()), ("pci", pci.len())] {
            if length > LIST_LENGTH_MAX {
                faults.add(&format!("spec.device.{field}"), length, format!("list {LIST_LENGTH_MAX} at most"));
            }
        }
        let name = |text: &String| IfName::parse(text.as_str()).map_err(|error| error.rule().to_owned());
        DeviceSelector {
            names: parse_each("spec.device.names", names, faults, name),
            macs: parse_each("spec.device.macs", macs, faults, |text| text.parse()),
            pci: parse_each("spec.device.pci", pci, faults, |text| text.parse()),
            driver: driver.clone(),
            pf: parse_each("spec.device.pf", pf.as_slice(), faults, name).pop(),
        }
    }

    fn resolve_function(&self, attachment: Attachment, faults: &mut Faults) -> FunctionSettings {
        let Some(spec) = &self.vf else { return FunctionSettings::default() };
        if attachment != Attachment::Device {
            faults.add("spec.vf", "", format!("the attachment is {attachment}: leave it out"));
        }
        let VfSpec { spoof_check, trust, rate, vlan } = *spec;
        if let Some(vlan) = vlan.filter(|vlan| *vlan != 0 && !VLANS.contains(vlan)) {
            faults.add("spec.vf.vlan", vlan, "write a number from 1 to 4094, or 0 for none");
        }
        let rates = rate.map(|most| (0, most));
        FunctionSettings { mac: None, spoof_check, trust, vlan, priority: None, rates }
    }

    fn resolve_routes(&self, faults: &mut Faults) -> Vec<Route> {
        let mut routes = Vec::new();
        for (n, route) in self.routes.iter().enumerate() {
            let field = format!("spec.routes[{n}]");
            let to = match parse_net(&route.to) {
                Ok(to) => to,
                Err(remedy) => {
                    faults.add(&format!("{field}.to"), &route.to, remedy);
                    continue;
                }
            };
            let via = match route.via.as_ref().map(|via| (via, via.parse::<IpAddr>())) {
                None => None,
                Some((_, Ok(via))) if via.is_ipv4() == to.addr().is_ipv4() => Some(via),
                Some((text, _)) => {
                    faults.add(&format!("{field}.via"), text, "write an address of the destination's family");
                    continue;
                }
            };
            routes.push(Route { to, via });
        }
        routes
    }

    fn resolve_masquerade(&self, attachment: Attachment, faults: &mut Faults) -> Option<Masquerade> {
        let wanted = match &self.masquerade {
            None => return (attachment.is_translated() && !self.internal).then(Masquerade::default),
            Some(MasqueradeSpec::Switch(false)) => return None,
            Some(wanted) => wanted,
        };
        if !attachment.is_translated() || self.internal {
            let why = if self.internal { "an internal network" } else { "this attachment" };
            faults.add(
                "spec.masquerade",
                "true",
                format!("{why} sends nothing that could be translated: leave it out"),
            );
            return None;
        }
        let MasqueradeSpec::Details { except, source } = wanted else { return Some(Masquerade::default()) };
        if except.len() > LIST_LENGTH_MAX {
            faults.add("spec.masquerade.except", except.len(), format!("list {LIST_LENGTH_MAX} at most"));
        }
        let mut result = Masquerade::default();
        for (n, text) in except.iter().enumerate() {
            match parse_net(text) {
                Ok(net) => result.except.push(net),
                Err(remedy) => faults.add(&format!("spec.masquerade.except[{n}]"), text, remedy),
            }
        }
        for (n, text) in source.iter().enumerate() {
            let field = format!("spec.masquerade.source[{n}]");
            match text.parse::<IpAddr>() {
                Ok(ip) if result.source.iter().any(|other| other.is_ipv4() == ip.is_ipv4()) => {
                    faults.add(&field, text, "name one address per family");
                }
                Ok(ip) => result.source.push(ip),
                Err(_) => faults.add(&field, text, "write an address of this host"),
            }
        }
        Some(result)
    }
}

/// Gathers what is wrong with one network.
struct Faults {
    object: String,
    found: Vec<Invalid>,
}

impl Faults {
    fn new(name: &NetworkName) -> Self {
        Self { object: format!("network {:?}", name.as_str()), found: Vec::new() }
    }

    fn add(&mut self, field: &str, value: impl ToString, remedy: impl Into<String>) {
        let object = self.object.clone();
        self.found.push(Invalid { object, field: field.to_owned(), value: value.to_string(), remedy: remedy.into() });
    }

    fn refuse<T>(mut self, field: &str, value: impl ToString, remedy: &str) -> Result<T, InvalidFields> {
        self.add(field, value, remedy);
        Err(InvalidFields(self.found))
    }

    fn into_result<T>(self, value: T) -> Result<T, InvalidFields> {
        if self.found.is_empty() { Ok(value) } else { Err(InvalidFields(self.found)) }
    }
}

/// Why no container may have an address of `net`.
fn unusable(net: &IpNet) -> Option<&'static str> {
    let ip = net.network();
    let v4_mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if net.prefix_len() == 0 || ip.is_unspecified() {
        Some("covers the unspecified address: choose a smaller subnet")
    } else if ip.is_loopback() || ip.is_multicast() || v4_mapped {
        Some("is loopback, multicast or v4-mapped: choose a unicast subnet")
    } else if link_local {
        Some("is link-local, and weft's own gateways are there: choose another subnet")
    } else if net.max_prefix_len() - net.prefix_len() < 2 {
        Some("is too small for a gateway and an endpoint: choose a shorter prefix")
    } else {
        None
    }
}

fn parse_ranges(field: &str, texts: &[String], subnets: &[IpNet], faults: &mut Faults) -> Vec<AddressRange> {
    let mut ranges = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        match text.parse::<AddressRange>() {
            Err(remedy) => faults.add(&format!("{field}[{n}]"), text, remedy),
            Ok(range) if subnets.iter().any(|s| s.contains(&range.first) && s.contains(&range.last)) => {
                ranges.push(range)
            }
            Ok(_) => faults.add(&format!("{field}[{n}]"), text, "lies in none of the network's pools"),
        }
    }
    ranges
}

fn parse_each<T>(
    field: &str,
    texts: &[String],
    faults: &mut Faults,
    parse: impl Fn(&String) -> Result<T, String>,
) -> Vec<T> {
    let mut parsed = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        match parse(text) {
            Ok(value) => parsed.push(value),
            Err(remedy) => faults.add(&format!("{field}[{n}]"), text, remedy),
        }
    }
    parsed
}

/// Ascending and disjoint.
fn merge(mut ranges: Vec<AddressRange>) -> Vec<AddressRange> {
    ranges.sort();
    let mut merged: Vec<AddressRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.first <= last.last => last.last = last.last.max(range.last),
            _ => merged.push(range),
        }
    }
    merged
}

fn by_link_alone(mode: IpvlanMode) -> String {
    format!("with ipvlanMode {mode} routes lead to the link, and the host's routes go on from there: leave it out")
}

fn first_host(subnet: &IpNet) -> IpAddr {
    match subnet.network() {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) + 1).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) + 1).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything;

    impl Availability for Everything {
        fn attachment(&self, attachment: Attachment) -> Result<(), String> {
            if attachment == Attachment::Ipvlan { Err("is not built yet".into()) } else { Ok(()) }
        }

        fn transport(&self, _: Transport) -> Result<(), String> {
            Ok(())
        }
    }

    fn resolve(spec: &NetworkSpec) -> Result<Network, InvalidFields> {
        spec.resolve(&NetworkName::parse("app").expect("name"), &Labels::new(), &Everything)
    }

    fn bridge() -> NetworkSpec {
        NetworkSpec {
            mode: Some(Mode::Bridge),
            pools: vec!["fd64::/64".into(), "10.1.0.0/24".into()],
            ..NetworkSpec::default()
        }
    }

    fn device() -> NetworkSpec {
        NetworkSpec { mode: Some(Mode::Device), ..bridge() }
    }

    fn devices(names: &[&str], pci: &[&str]) -> DeviceSpec {
        let words = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        DeviceSpec { names: words(names), pci: words(pci), ..DeviceSpec::default() }
    }

    fn vf(vlan: u16) -> VfSpec {
        VfSpec { vlan: Some(vlan), ..VfSpec::default() }
    }

    #[test]
    fn addresses_come_from_the_lan_where_there_is_one() {
        let spec = |attachment| NetworkSpec {
            attachment: Some(attachment),
            ipam: Some(Ipam::Dhcp),
            parent: Some("eth0".to_owned()),
            families: vec![Family::IPv4],
            ..NetworkSpec::default()
        };
        let lans = spec(Attachment::Macvlan);
        let network = resolve(&lans).unwrap();
        assert_eq!((network.ipam, network.pools.len(), network.asked_families.len()), (Ipam::Dhcp, 0, 1));
        assert_eq!(network.families().collect::<Vec<_>>(), [Family::IPv4]);
        assert_eq!(lans.families_without_pool(), []);
        let refused = |spec: &NetworkSpec| resolve(spec).expect_err("a fault").to_string();
        let bridged = NetworkSpec { parent: None, ..spec(Attachment::Bridge) };
        let error = refused(&bridged);
        assert!(error.contains(r#"spec.ipam "dhcp": attachment bridge is on no LAN with servers"#), "{error}");
        assert!(error.contains("use macvlan, ipvlan, device, or pools"), "{error}");
        let error = refused(&spec(Attachment::Ipvlan));
        assert!(error.contains("is not built yet") && !error.contains("spec.ipam"), "{error}");
        let both = NetworkSpec { pools: vec!["10.1.0.0/24".to_owned()], ..spec(Attachment::Macvlan) };
        let error = refused(&both);
        assert!(error.contains(r#"spec.pools "10.1.0.0/24": is for the LAN's DHCP servers to say"#), "{error}");
        let name = NetworkName::parse("app").unwrap();
        let pooled = NetworkSpec { ipam: None, ..spec(Attachment::Macvlan) };
        let error = pooled.check_change(&name, &spec(Attachment::Macvlan)).expect_err("fixed").to_string();
        assert!(error.contains("spec.ipam"), "{error}");
        let said = NetworkSpec { ipam: Some(Ipam::Pools), ..pooled.clone() };
        assert_eq!(said.check_change(&name, &pooled), Ok(()), "said or not, it is the same");
    }

    #[test]
    fn where_the_host_routes_a_network_of_ipvlan_has_no_gateway() {
        struct All;
        impl Availability for All {
            fn attachment(&self, _: Attachment) -> Result<(), String> {
                Ok(())
            }

            fn transport(&self, _: Transport) -> Result<(), String> {
                Ok(())
            }
        }
        let name = NetworkName::parse("app").expect("name");
        for mode in IpvlanMode::ALL {
            let spec = NetworkSpec { mode: Some(Mode::Ipvlan), ipvlan_mode: Some(*mode), ..bridge() };
            let network = spec.resolve(&name, &Labels::new(), &All).expect("valid");
            assert_eq!((network.ipvlan_mode, network.routes_by_link()), (*mode, mode.is_routed()));
            assert!(network.pools.iter().all(|pool| pool.gateway.is_some() != mode.is_routed()));
            let routes = vec![RouteSpec { to: "10.9.0.0/16".into(), via: Some("10.1.0.9".into()) }];
            let more = NetworkSpec { gateways: vec!["10.1.0.1".into()], routes, ..spec.clone() };
            let faults = more.resolve(&name, &Labels::new(), &All).err().map(|faults| faults.to_string());
            assert_eq!(faults.is_some(), mode.is_routed(), "{faults:?}");
            for field in ["spec.gateways[0]", "spec.routes[0].via"] {
                assert!(faults.as_ref().is_none_or(|faults| faults.contains(field)), "{field}: {faults:?}");
            }
            let leased = NetworkSpec { ipam: Some(Ipam::Dhcp), pools: Vec::new(), ..spec.clone() };
            let faults = leased.resolve(&name, &Labels::new(), &All).err().map(|faults| faults.to_string());
            assert_eq!(faults.is_some_and(|faults| faults.contains("no segment to ask on")), mode.is_routed());
            let unsaid = NetworkSpec { ipvlan_mode: None, ..spec.clone() };
            assert_eq!(spec.check_change(&name, &unsaid).is_ok(), *mode == IpvlanMode::L2, "l2 is the usual one");
        }
    }

    #[test]
    fn a_plain_bridge_gets_gateways_masquerade_and_ipv4_first() {
        let network = resolve(&bridge()).expect("valid");
        assert_eq!(network.pools[0].gateway, Some("10.1.0.1".parse().expect("ip")));
        assert_eq!(network.pools[1].gateway, Some("fd64::1".parse().expect("ip")));
        assert_eq!(network.masquerade, Some(Masquerade::default()));
        assert_eq!(network.families().collect::<Vec<_>>(), Family::ALL);
    }

    #[test]
    fn every_fault_is_named_with_field_value_and_remedy() {
        let cases: &[(&str, NetworkSpec)] = &[
            (
                r#"spec.pools[0] "10.1.0.0/33": is not a CIDR"#,
                NetworkSpec { pools: vec!["10.1.0.0/33".into()], ..bridge() },
            ),
            (
                r#"spec.pools[0] "10.1.0.9/24": has host bits"#,
                NetworkSpec { pools: vec!["10.1.0.9/24".into()], ..bridge() },
            ),
            (
                r#"spec.pools[1] "10.1.0.128/25": overlaps 10.1.0.0/24"#,
                NetworkSpec { pools: vec!["10.1.0.0/24".into(), "10.1.0.128/25".into()], ..bridge() },
            ),
            (
                r#"spec.pools[0] "169.254.0.0/16": is link-local"#,
                NetworkSpec { pools: vec!["169.254.0.0/16".into()], ..bridge() },
            ),
            (
                r#"spec.gateways[0] "10.2.0.1": lies in none"#,
                NetworkSpec { gateways: vec!["10.2.0.1".into()], ..bridge() },
            ),
            (r#"spec.mtu "100": write auto, or bytes"#, NetworkSpec { mtu: Some(MtuSpec::Bytes(100)), ..bridge() }),
            (r#"spec.mtu "big": write auto"#, NetworkSpec { mtu: Some(MtuSpec::Word("big".into())), ..bridge() }),
            (
                r#"spec.parent "eth0": attachment bridge sits on no link"#,
                NetworkSpec { parent: Some("eth0".into()), ..bridge() },
            ),
            (r#"spec.peers[0] "app": is this network itself"#, NetworkSpec { peers: vec!["app".into()], ..bridge() }),
            (r#"spec.peers[0] "A b""#, NetworkSpec { peers: vec!["A b".into()], ..bridge() }),
            (
                r#"spec.allowedAddresses[0] "10.1.0.7/24": has host bits"#,
                NetworkSpec { allowed_addresses: vec!["10.1.0.7/24".into()], ..bridge() },
            ),
            (
                r#"spec.allowedAddresses[1] "::/0": would allow everything"#,
                NetworkSpec { allowed_addresses: vec!["fd64::99".into(), "::/0".into()], ..bridge() },
            ),
            (
                r#"spec.allowedAddresses[0] "::ffff:10.1.0.7": is IPv4 in IPv6 clothes"#,
                NetworkSpec { allowed_addresses: vec!["::ffff:10.1.0.7".into()], ..bridge() },
            ),
            (
                r#"spec.allowedAddresses[0] "::8000:0:0/81": is IPv4 in IPv6 clothes"#,
                NetworkSpec { allowed_addresses: vec!["::8000:0:0/81".into()], ..bridge() },
            ),
            (r#"spec.mode "": say how containers join"#, NetworkSpec::default()),
            (r#"spec.attachment "ipvlan": is not built yet"#, NetworkSpec { mode: Some(Mode::Ipvlan), ..bridge() }),
            (
                r#"spec.device.names[1] "a/b": "#,
                NetworkSpec { device: Some(devices(&["eth7", "a/b"], &[])), ..device() },
            ),
            (
                r#"spec.device.pci[0] "3b:02.1": "3b:02.1" is not a PCI address"#,
                NetworkSpec { device: Some(devices(&[], &["3b:02.1"])), ..device() },
            ),
            (
                r#"spec.device "": the attachment is bridge"#,
                NetworkSpec { device: Some(devices(&["eth7"], &[])), ..bridge() },
            ),
            (r#"spec.vf.vlan "4095": write a number"#, NetworkSpec { vf: Some(vf(4095)), ..device() }),
            (r#"spec.vf "": the attachment is bridge"#, NetworkSpec { vf: Some(vf(7)), ..bridge() }),
            (r#"spec.vlan "7": a virtual function's VLAN"#, NetworkSpec { vlan: Some(7), ..device() }),
            (r#"spec.isolated "true": the endpoints have devices"#, NetworkSpec { isolated: true, ..device() }),
            (
                r#"spec.parent "eth0": attachment device sits on no link"#,
                NetworkSpec { parent: Some("eth0".into()), ..device() },
            ),
            (r#"spec.pools "": say which of the physical"#, NetworkSpec { pools: Vec::new(), ..device() }),
            (
                r#"spec.transport "wireguard": attachment bridge goes with local"#,
                NetworkSpec { transport: Some(Transport::Wireguard), ..bridge() },
            ),
            (
                r#"spec.pools "10.1.0.0/24": attachment none"#,
                NetworkSpec { mode: Some(Mode::None), pools: vec!["10.1.0.0/24".into()], ..NetworkSpec::default() },
            ),
        ];
        for (expected, spec) in cases {
            let error = resolve(spec).expect_err(expected).to_string();
            assert!(error.contains(&format!("network \"app\": {expected}")), "{error}\n  lacks {expected}");
        }
    }

    #[test]
    fn networks_are_joined_when_both_say_so() {
        let other = |peers: &[&str]| {
            let peers = peers.iter().map(|peer| (*peer).to_owned()).collect();
            let name = NetworkName::parse("other").expect("name");
            NetworkSpec { peers, ..bridge() }.resolve(&name, &Labels::new(), &Everything).expect("valid")
        };
        let app = resolve(&NetworkSpec { peers: vec!["other".into()], ..bridge() }).expect("valid");
        assert!(app.is_joined_to(&other(&["third", "app"])) && app.is_joined_to(&app));
        assert!(!app.is_joined_to(&other(&[])) && !other(&[]).is_joined_to(&app));
    }

    #[test]
    fn pools_and_mode_are_fixed_and_the_rest_may_change() {
        let name = NetworkName::parse("app").expect("name");
        let open = NetworkSpec { isolated: true, internal: true, ..bridge() };
        assert!(open.check_change(&name, &bridge()).is_ok());
        let moved = NetworkSpec { pools: vec!["10.9.0.0/24".into()], ..bridge() };
        let error = moved.check_change(&name, &bridge()).expect_err("fixed").to_string();
        assert!(error.contains("spec.pools") && error.contains("delete the network"), "{error}");
    }

    #[test]
    fn ranges_are_merged_and_kept_within_their_pool() {
        let ranges = vec!["10.1.0.10-10.1.0.20".into(), "10.1.0.15-10.1.0.30".into()];
        let network = resolve(&NetworkSpec { ranges, ..bridge() }).expect("valid");
        assert_eq!(network.pools[0].ranges.len(), 1);
        assert_eq!(network.pools[0].ranges[0].to_string(), "10.1.0.10-10.1.0.30");
        assert_eq!(network.pools[1].ranges, vec![AddressRange::of_net(&network.pools[1].subnet)]);
    }

    #[test]
    fn unknown_fields_are_refused() {
        let text = r#"{"mode":"bridge","isolate":true}"#;
        assert!(serde_json::from_str::<NetworkSpec>(text).expect_err("typo").to_string().contains("isolate"));
    }
}
