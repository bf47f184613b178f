//! One interface of one container: the record of the ledger, from which everything in the kernel follows.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::Loan;
use crate::digest::{base32, fnv64};
use crate::lease::Lease;
use crate::limit::Limits;
use crate::mac::MacAddr;
use crate::name::{ContainerId, IfName, Labels, Name, NetworkName};
use crate::network::{Attachment, IpvlanMode};
use crate::policy::NamedPort;
use crate::pool::Family;

/// What tells one endpoint from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointKey {
    /// The runtime's id of the container.
    pub container: ContainerId,
    /// The interface inside the container.
    pub ifname: IfName,
}

impl EndpointKey {
    /// Name of the host's end of the endpoint's link: follows from the key, so it is known before and after the link.
    /// 50 bits of hash; the ledger refuses the birth of a second endpoint of the same name.
    pub fn host_link(&self) -> IfName {
        self.link_name("wefte")
    }

    /// Name of the link on the host that holds back what the endpoint sends, where its rate is limited.
    pub fn throttle_link(&self) -> IfName {
        self.link_name("wefti")
    }

    fn link_name(&self, prefix: &str) -> IfName {
        let hash = fnv64(&[self.container.as_str(), self.ifname.as_str()]);
        IfName::parse(format!("{prefix}{}", base32(hash, 10))).expect("15 lower-case letters and digits")
    }
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.container, self.ifname)
    }
}

/// A route inside the container, by way of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub to: IpNet,
    /// Next hop; `None` means the endpoint's gateway of that family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
}

/// Resolver settings, as CNI's `dns` has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Addresses of name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Search domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<String>,
    /// Options of resolv.conf(5).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.searches.is_empty() && self.options.is_empty()
    }
}

/// The place of an endpoint in a call of CNI that made several, or one by another name than it was called for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniCall {
    /// CNI_IFNAME: what later calls name.
    pub ifname: IfName,
    /// In the order of joining, from 0.
    pub position: usize,
    /// The pod's annotation asked for it: the call's result does not have it.
    #[serde(default)]
    pub by_annotation: bool,
}

/// Addresses that a plugin of CNI leased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// The plugin's type.
    pub plugin: String,
    /// The configuration by which it takes them back.
    pub config: String,
}

impl Delegation {
    /// Whether the plugin asks the LAN by the container's own link, which has to be there by then, and as long as it
    /// keeps what it leased. Debian's `dhcp` alone does.
    pub fn asks_by_link(&self) -> bool {
        self.plugin == "dhcp"
    }
}

/// The container's namespace as it was at birth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsRecord {
    /// The runtime's path to it; may stop leading there at any time.
    pub path: String,
    /// Device of its nsfs file.
    pub device: u64,
    /// Inode of its nsfs file.
    pub inode: u64,
    /// The kernel's number of it, which is never given twice (SO_NETNS_COOKIE); 0 if it was not asked.
    #[serde(default)]
    pub cookie: u64,
}

/// The place of an endpoint's link on a link of the host's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seat {
    /// The host's link to the outside.
    pub uplink: IfName,
    /// The VLAN there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The endpoint has the parent's Ethernet address, and is told from its neighbours by its IP addresses (ipvlan).
    #[serde(default)]
    pub shares_mac: bool,
    /// Where its packets are routed, if so.
    #[serde(default)]
    pub ipvlan_mode: IpvlanMode,
    /// What it sends to neighbours goes by the physical switch.
    #[serde(default)]
    pub by_switch: bool,
    /// It has the whole parent, its Ethernet address included.
    #[serde(default)]
    pub alone: bool,
    /// The host and the endpoint reach each other.
    #[serde(default)]
    pub host_access: bool,
}

impl Seat {
    /// Whether the host routes what its endpoints send.
    pub fn is_routed(&self) -> bool {
        self.shares_mac && self.ipvlan_mode.is_routed()
    }
}

/// Who keeps an endpoint from sending as somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// weft's programs, on the host.
    Door,
    /// The virtual function's own spoof check, with an Ethernet address that it cannot change.
    Function,
    /// Nobody: what its network says of sources is advice.
    Advisory,
}

impl Enforcement {
    /// The word of tables.
    pub fn word(self) -> &'static str {
        match self {
            Enforcement::Door => "door",
            Enforcement::Function => "vf",
            Enforcement::Advisory => "advisory",
        }
    }

    /// What it means for what the endpoint sends.
    pub fn meaning(self) -> &'static str {
        match self {
            Enforcement::Door => "weft's programs check each packet",
            Enforcement::Function => {
                "the virtual function drops frames of foreign Ethernet addresses; nothing of weft's sees them, nor \
                 checks IP addresses"
            }
            Enforcement::Advisory => {
                "the container has the device itself, so nothing of weft's sees what it sends: only a virtual function \
                 with `spoofCheck: true` and `trust: false` would be held to its address"
            }
        }
    }
}

/// An endpoint with everything that was decided at its birth. Written by `attach` alone; read by whatever makes,
/// checks, shows or takes down the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Container and interface.
    pub key: EndpointKey,
    /// The network it is on.
    pub network: NetworkName,
    /// Namespace of its name; `default` where the runtime names none.
    pub namespace: Name,
    /// Its name; the container id where the runtime names none.
    pub name: Name,
    /// Labels, from the runtime.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Its ports that have names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<NamedPort>,
    /// Other names on this network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Name of the CNI configuration that made it: its GC frees only its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni_name: Option<String>,
    /// Its place in that call of CNI, where it does not follow from container and interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni_call: Option<CniCall>,
    /// Who leased its addresses, where that was not weft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
    /// The container's cgroup, where the runtime told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_path: Option<String>,
    /// Its namespace.
    pub netns: NetnsRecord,
    /// How it joins its host.
    pub attachment: Attachment,
    /// Number of its link, where weft chose that before there was one; on a segment also of its end on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<u32>,
    /// Where it is on the segment of a link of the host's, if it is on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<Seat>,
    /// The device of the host's that is its link, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loan: Option<Loan>,
    /// MAC address inside; `None` where it has no link of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Addresses with the length that the container sees, IPv4 first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// Next hops of its routes, at most one per family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// Its routes, default ones included, unless another interface of the container was there first and has these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Routes for what is sent from its own addresses alone: where it has no default route, answers leave by the
    /// network that the question came from all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_routes: Vec<Route>,
    /// Families whose default route an interface of the container has that another plugin made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_defaults: Vec<Family>,
    /// Bytes.
    pub mtu: u32,
    /// Parted from the other endpoints of its network.
    #[serde(default)]
    pub isolated: bool,
    /// How fast it may be sent to, and may send.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// What it may send from besides its own addresses, without host bits.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_addresses: BTreeSet<IpNet>,
    /// What its runtime is told about name servers.
    #[serde(default, skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
    /// Families of which its LAN gives it an address; none, where its addresses are weft's to give. They are in
    /// `addresses` once it has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_families: Vec<Family>,
    /// What it holds of the servers of its LAN, where those give it its addresses. A grant that is lost stays, as one
    /// that is over: by it the endpoint is known to have none.
    #[serde(default, skip_serializing_if = "Lease::is_empty")]
    pub lease: Lease,
    /// What its link-local address is made of, where it has neither an Ethernet address of its own for that, nor
    /// another address before it was heard in the LAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<MacAddr>,
    /// Seconds since 1970 at birth; for people only, nothing is decided by it.
    pub born_s: u64,
}

impl Endpoint {
    /// Its link-local IPv6 address. Of an endpoint that shares its Ethernet address with others it is made of its mark,
    /// or of the Ethernet address that it would have alone.
    pub fn link_local(&self) -> Option<IpAddr> {
        let of_address = || self.addresses.first().map(|net| MacAddr::of_address(net.addr()));
        let own = if self.shares_mac() { self.mark.or_else(of_address) } else { self.mac };
        own.map(|mac| IpAddr::V6(mac.link_local()))
    }

    /// Whether its LAN is asked for addresses by its own link, from none.
    pub fn asks_by_link(&self) -> bool {
        let is_asked_for = self.delegation.as_ref().is_some_and(Delegation::asks_by_link);
        (self.is_leased() || is_asked_for) && !self.shares_mac()
    }

    /// Whether others have its Ethernet address, the host among them.
    pub fn shares_mac(&self) -> bool {
        self.seat.as_ref().is_some_and(|seat| seat.shares_mac)
    }

    /// Who keeps it from sending as somebody else, if it sends anything of its own.
    pub fn enforcement(&self) -> Option<Enforcement> {
        match &self.loan {
            Some(loan) if loan.is_enforced() => Some(Enforcement::Function),
            Some(_) => Some(Enforcement::Advisory),
            None => self.attachment.has_door().then_some(Enforcement::Door),
        }
    }

    /// Whether its LAN says which addresses it has.
    pub fn is_leased(&self) -> bool {
        !self.asked_families.is_empty()
    }

    /// `NAMESPACE/NAME`, as every table shows it.
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// CNI_IFNAME of the call that made it.
    pub fn cni_ifname(&self) -> &IfName {
        self.cni_call.as_ref().map_or(&self.key.ifname, |call| &call.ifname)
    }

    /// Its place among those that the call made.
    pub fn cni_position(&self) -> usize {
        self.cni_call.as_ref().map_or(0, |call| call.position)
    }

    /// Whether its routes name its link alone, without a gateway.
    pub fn routes_by_link(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::is_routed)
    }

    /// The gateway of the family of `to`.
    pub fn gateway_towards(&self, to: &IpNet) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == to.addr().is_ipv4())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_links_follow_from_the_key() {
        let key = |container: &str, ifname: &str| EndpointKey {
            container: container.parse().expect("id"),
            ifname: ifname.parse().expect("ifname"),
        };
        assert_eq!(key("a", "eth0").host_link(), key("a", "eth0").host_link());
        assert_ne!(key("a", "eth0").host_link(), key("a", "eth1").host_link());
        assert_eq!(key("a", "eth0").host_link().as_str().len(), 15);
    }

    #[test]
    fn who_shares_an_ethernet_address_has_a_link_local_one_before_any_other_and_asks_by_nothing() {
        let mut endpoint: Endpoint = serde_json::from_value(serde_json::json!({
            "key": {"container": "c", "ifname": "eth0"}, "network": "app", "namespace": "default", "name": "c",
            "netns": {"path": "/x", "device": 4, "inode": 5}, "attachment": "ipvlan", "mtu": 1500, "born_s": 0,
            "asked_families": ["IPv4"], "mark": "02:00:00:00:00:07",
            "seat": {"uplink": "eno1", "shares_mac": true, "host_access": true, "by_switch": false, "alone": false},
        }))
        .expect("a record");
        let first = endpoint.link_local();
        assert_eq!(first, Some("fe80::ff:fe00:7".parse().expect("ip")));
        endpoint.addresses = vec!["10.0.0.5/24".parse().expect("net")];
        assert_eq!(endpoint.link_local(), first, "it stays when another address comes");
        assert!(endpoint.shares_mac() && !endpoint.asks_by_link());
        endpoint.mark = None;
        assert_ne!(endpoint.link_local(), first);
        endpoint.asked_families.clear();
        endpoint.seat = None;
        assert!(!endpoint.asks_by_link());
        endpoint.delegation = Some(Delegation { plugin: "dhcp".to_owned(), config: String::new() });
        assert!(endpoint.asks_by_link());
    }
}
