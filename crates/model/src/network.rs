//! What a network is: how containers join their host (attachment) and how hosts are joined (transport).

use std::fmt;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::{DeviceSelector, FunctionSettings};
use crate::endpoint::{Dns, Route};
use crate::name::{IfName, Labels, NetworkName};
use crate::policy::PolicyMode;
use crate::pool::{AddressRange, Family, Pool};

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word of manifests, tables and flags.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.word() == text).ok_or_else(|| {
                    let words: Vec<_> = Self::ALL.iter().map(|v| v.word()).collect();
                    format!("unknown {:?}: write one of {}", text, words.join(", "))
                })
            }
        }
    };
}

word_enum!(
    /// How a container joins its host.
    Attachment {
        /// veth and a Linux bridge of the network's own.
        Bridge = "bridge",
        /// A link of its own with host routes: /32 and /128.
        Routed = "routed",
        /// On the segment of a parent link, with an Ethernet address of its own.
        Macvlan = "macvlan",
        /// An ipvlan device on a parent link.
        Ipvlan = "ipvlan",
        /// An existing NIC or SR-IOV virtual function.
        Device = "device",
        /// The host's own namespace.
        Host = "host",
        /// Loopback only.
        None = "none",
    }
);

word_enum!(
    /// Who gives endpoints their addresses.
    Ipam {
        /// weft, from the network's pools.
        Pools = "pools",
        /// The DHCP servers of the LAN that the parent link or the device is on.
        Dhcp = "dhcp",
    }
);

word_enum!(
    /// How the hosts of a network are joined.
    Transport {
        /// Not at all: the network ends at the host.
        Local = "local",
        /// Routes on the fabric.
        Direct = "direct",
        /// VXLAN tunnels (RFC 7348).
        Vxlan = "vxlan",
        /// Geneve tunnels (RFC 8926).
        Geneve = "geneve",
        /// NVGRE tunnels (RFC 7637).
        Nvgre = "nvgre",
        /// WireGuard tunnels.
        Wireguard = "wireguard",
        /// The attachment leaves nothing to transport.
        None = "none",
    }
);

word_enum!(
    /// What endpoints with the `macvlan` attachment are to each other, and to the host.
    MacvlanMode {
        /// Neighbours on one switch, which weft is: what is for each other never leaves the host.
        Bridge = "bridge",
        /// Parted from each other; all else is as in `bridge`.
        Private = "private",
        /// Neighbours by way of the physical switch, which must send back what came by the same port (IEEE 802.1Qbg).
        Vepa = "vepa",
        /// One endpoint has the whole parent, its Ethernet address included; the host does without.
        Passthru = "passthru",
    }
);

word_enum!(
    /// Where the packets of endpoints with the `ipvlan` attachment are routed.
    #[derive(Default)]
    IpvlanMode {
        /// Inside: the container resolves neighbours on the parent's segment itself.
        #[default]
        L2 = "l2",
        /// By the host, which must be the LAN's way to the pools; no broadcast or multicast.
        L3 = "l3",
        /// As `l3`, and what comes in passes the host's own rules.
        L3s = "l3s",
    }
);

impl IpvlanMode {
    /// Whether the host routes: endpoints have no neighbours, nor broadcast, and their routes name a link alone.
    pub fn is_routed(self) -> bool {
        self != IpvlanMode::L2
    }
}

word_enum!(
    /// A usual point of the plane of attachments and transports, by the name people know it by.
    Mode {
        /// Containers on a Linux bridge, on this host.
        Bridge = "bridge",
        /// Containers routed by the host.
        Routed = "routed",
        /// The host's own namespace.
        Host = "host",
        /// Loopback only.
        None = "none",
        /// Routed containers, hosts joined by VXLAN.
        Overlay = "overlay",
        /// One L2 segment over many hosts.
        L2Overlay = "l2-overlay",
        /// macvlan on a parent link.
        Macvlan = "macvlan",
        /// ipvlan on a parent link.
        Ipvlan = "ipvlan",
        /// A NIC or virtual function.
        Device = "device",
    }
);

/// What each mode stands for.
pub const MODES: &[(Mode, Attachment, Transport)] = &[
    (Mode::Bridge, Attachment::Bridge, Transport::Local),
    (Mode::Routed, Attachment::Routed, Transport::Local),
    (Mode::Host, Attachment::Host, Transport::None),
    (Mode::None, Attachment::None, Transport::None),
    (Mode::Overlay, Attachment::Routed, Transport::Vxlan),
    (Mode::L2Overlay, Attachment::Bridge, Transport::Vxlan),
    (Mode::Macvlan, Attachment::Macvlan, Transport::Local),
    (Mode::Ipvlan, Attachment::Ipvlan, Transport::Local),
    (Mode::Device, Attachment::Device, Transport::Local),
];

impl Mode {
    /// The attachment and transport it stands for.
    pub fn pair(self) -> (Attachment, Transport) {
        let row = MODES.iter().find(|(mode, ..)| *mode == self);
        row.map(|(_, attachment, transport)| (*attachment, *transport)).expect("every mode has its row in MODES")
    }
}

impl Attachment {
    /// The transports it may be joined with; the first is the default on a single host.
    pub fn transports(self) -> &'static [Transport] {
        use Transport::{Direct, Geneve, Local, None, Nvgre, Vxlan, Wireguard};
        match self {
            Attachment::Bridge => &[Local, Vxlan, Geneve, Nvgre],
            Attachment::Routed => &[Local, Direct, Vxlan, Geneve, Nvgre, Wireguard],
            Attachment::Macvlan | Attachment::Ipvlan | Attachment::Device => &[Local],
            Attachment::Host | Attachment::None => &[None],
        }
    }

    /// Whether endpoints lease addresses from the network's pools.
    pub fn has_pools(self) -> bool {
        !matches!(self, Attachment::Host | Attachment::None)
    }

    /// Whether an endpoint has a link of its own, which vanishes with the container's namespace.
    pub fn has_link(self) -> bool {
        !matches!(self, Attachment::Host | Attachment::None)
    }

    /// Whether that link has another end on the host.
    pub fn has_host_link(self) -> bool {
        matches!(self, Attachment::Bridge | Attachment::Routed | Attachment::Macvlan)
    }

    /// Whether packets pass a door of weft's on their way.
    pub fn has_door(self) -> bool {
        self.has_host_link() || self.sits_on_parent()
    }

    /// Whether each pool has a gateway in it: the host, or a router of the physical network. Otherwise it is
    /// link-local.
    pub fn has_gateway(self) -> bool {
        self == Attachment::Bridge || self.has_parent()
    }

    /// Whether endpoints are on the Ethernet segment of a link of the host's, beside the host.
    pub fn sits_on_parent(self) -> bool {
        matches!(self, Attachment::Macvlan | Attachment::Ipvlan)
    }

    /// Whether what goes outside leaves by the host, with an address of the host's if told so.
    pub fn is_translated(self) -> bool {
        matches!(self, Attachment::Bridge | Attachment::Routed)
    }

    /// Whether its endpoints can be limited: what is for them, and what they send, waits in the host's stack.
    pub fn takes_limits(self) -> bool {
        self.is_translated()
    }

    /// Whether it is about a link of the host's, and so about the physical network, whose addresses its pools are.
    pub fn has_parent(self) -> bool {
        matches!(self, Attachment::Macvlan | Attachment::Ipvlan | Attachment::Device)
    }
}

/// What this weft, on this kernel, can serve: a missing attachment or transport comes with the reason.
pub trait Availability {
    /// Why networks of this attachment cannot be served, if so.
    fn attachment(&self, attachment: Attachment) -> Result<(), String>;
    /// Why networks of this transport cannot be served, if so.
    fn transport(&self, transport: Transport) -> Result<(), String>;
}

/// Source translation for packets that leave towards the outside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Masquerade {
    /// Destinations that see the container's own address.
    pub except: Vec<IpNet>,
    /// The address to leave with, per family; the outgoing link's own if none.
    pub source: Vec<std::net::IpAddr>,
}

/// A network after validation: whatever holds one need not check it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name, unique in the cluster.
    pub name: NetworkName,
    /// Labels of the object.
    pub labels: Labels,
    /// How containers join.
    pub attachment: Attachment,
    /// How hosts join.
    pub transport: Transport,
    /// Where leases come from, IPv4 before IPv6.
    pub pools: Vec<Pool>,
    /// Who gives endpoints their addresses.
    pub ipam: Ipam,
    /// The families that endpoints must have addresses of; none, if the network does not say. Where addresses come from
    /// pools, these say so themselves.
    pub asked_families: Vec<Family>,
    /// Bytes, or `None` to follow the uplink.
    pub mtu: Option<u32>,
    /// The link it sits on, for attachments that have one; the host's uplink if none is named.
    pub parent: Option<IfName>,
    /// The VLAN on the parent that it is part of.
    pub vlan: Option<u16>,
    /// Of the `macvlan` attachment.
    pub macvlan_mode: MacvlanMode,
    /// Of the `ipvlan` attachment.
    pub ipvlan_mode: IpvlanMode,
    /// On a parent: the host and the endpoints reach each other.
    pub host_access: bool,
    /// Of the `device` attachment: which of the host's devices endpoints get.
    pub devices: DeviceSelector,
    /// What virtual functions among them are set to.
    pub function: FunctionSettings,
    /// Routes besides the default one.
    pub routes: Vec<Route>,
    /// Nothing beyond the host is reached, and no default route is set.
    pub internal: bool,
    /// Endpoints of this network do not reach each other.
    pub isolated: bool,
    /// Whether what policies forbid its endpoints is dropped.
    pub policy_mode: PolicyMode,
    /// Networks whose endpoints may be reached, if they say the same of this one. Others on this host may not.
    pub peers: Vec<NetworkName>,
    /// Addresses that every endpoint may send from besides its own: virtual ones, those of what is nested inside.
    pub allowed_addresses: Vec<IpNet>,
    /// Source translation towards the outside, if any.
    pub masquerade: Option<Masquerade>,
    /// What runtimes are told about name servers.
    pub dns: Dns,
}

impl Network {
    /// The families its endpoints get addresses of: where the LAN gives them, those that it is asked for.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        let has_pool = |family: Family| self.pools.iter().any(|pool| Family::of_net(&pool.subnet) == family);
        let is_asked = |family: Family| self.asked_families.is_empty() || self.asked_families.contains(&family);
        let serves = move |family: &Family| match self.ipam {
            Ipam::Pools => has_pool(*family),
            Ipam::Dhcp => is_asked(*family),
        };
        Family::ALL.into_iter().filter(serves)
    }

    /// Whether endpoints have routes by their link alone, without a gateway.
    pub fn routes_by_link(&self) -> bool {
        self.attachment == Attachment::Ipvlan && self.ipvlan_mode.is_routed()
    }

    /// The first pair of pools of two networks that share an address.
    pub fn overlap(&self, other: &Network) -> Option<(IpNet, IpNet)> {
        let pairs = self.pools.iter().flat_map(|a| other.pools.iter().map(move |b| (a.subnet, b.subnet)));
        pairs.into_iter().find(|(a, b)| nets_overlap(a, b))
    }

    /// Whether endpoints of both may reach each other: those of one network, and of two that list each other.
    pub fn is_joined_to(&self, other: &Network) -> bool {
        self.name == other.name || (self.peers.contains(&other.name) && other.peers.contains(&self.name))
    }

    /// Every range that leases of `family` may come from.
    pub fn ranges(&self, family: Family) -> impl Iterator<Item = (&Pool, AddressRange)> {
        let pools = self.pools.iter().filter(move |pool| Family::of_net(&pool.subnet) == family);
        pools.flat_map(|pool| pool.ranges.iter().map(move |range| (pool, *range)))
    }
}

pub(crate) fn nets_overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_one_row_and_a_legal_pair() {
        for mode in Mode::ALL {
            assert_eq!(MODES.iter().filter(|(m, ..)| m == mode).count(), 1, "{mode}");
            let (attachment, transport) = mode.pair();
            assert!(attachment.transports().contains(&transport), "{mode}");
        }
    }

    #[test]
    fn words_parse_back_and_unknown_ones_list_the_choice() {
        for attachment in Attachment::ALL {
            assert_eq!(attachment.word().parse::<Attachment>().as_ref(), Ok(attachment));
        }
        let error = "brigde".parse::<Mode>().expect_err("a typo");
        assert!(error.contains("bridge, routed"), "{error}");
    }
}
