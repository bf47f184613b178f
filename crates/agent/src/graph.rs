//! What this node must be, given the networks that people wrote and the host it is on. Pure.
//!
//! Endpoints are not here: each follows from its own record of the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use weft_kernel::link::NAME_PREFIX;
use weft_kernel::nft::{
    Chain, Field, Hook, HookKind, HookPoint, Interface, Match, OWN_TABLE, Policy, Rule, Statement, Table,
};
use weft_kernel::route::Hop;
use weft_kernel::uplink::MTU_WITHOUT_UPLINK;
use weft_model::{Attachment, Family, IfName, MacAddr, Masquerade, Network, NetworkName, Seat};

use crate::attachment::{self, parent};
use crate::devices::Nic;
use crate::why::internal;

/// Where source translation belongs (NF_IP_PRI_NAT_SRC).
const PRIORITY_SRCNAT: i32 = 100;
/// Redirect, in ICMP (RFC 792) and ICMPv6 (RFC 4861).
const ICMP_REDIRECT: u8 = 5;
const ICMPV6_REDIRECT: u8 = 137;

/// What is known of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The link by which it reaches the outside.
    pub uplink: Option<Uplink>,
    /// Links that have IPv6 routes from router advertisements, by name.
    pub advertised: BTreeSet<String>,
    /// Bytes that the links that are named as parents pass, by name.
    pub parents: BTreeMap<IfName, u32>,
    /// Its devices, if a network lends any.
    pub devices: Vec<Nic>,
}

/// The link by which the host reaches the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub mtu: u32,
    /// Its Ethernet address.
    pub mac: Option<MacAddr>,
    /// Its addresses, link-local ones aside, IPv4 first.
    pub addresses: Vec<IpNet>,
}

impl HostFacts {
    /// The MTU of an endpoint born on `network` now, in bytes.
    pub fn mtu_of(&self, network: &Network) -> u32 {
        let uplink = self.uplink.as_ref().map_or(MTU_WITHOUT_UPLINK, |uplink| uplink.mtu);
        let parent = network.parent.as_ref().and_then(|parent| self.parents.get(parent)).copied();
        let is_lent = |nic: &&Nic| network.attachment == Attachment::Device && network.devices.matches(&nic.device);
        let device = self.devices.iter().find(is_lent).map(|nic| nic.device.mtu);
        network.mtu.or(parent).or(device).unwrap_or(uplink)
    }

    /// The link to the outside that endpoints of `network` sit on; `None` if the host has none.
    pub fn parent_of(&self, network: &Network) -> Option<IfName> {
        let uplink = || IfName::parse(self.uplink.as_ref()?.name.as_str()).ok();
        network.parent.clone().or_else(uplink)
    }
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgePlan {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its addresses: the network's gateways.
    pub addresses: Vec<IpNet>,
}

/// A VLAN's sub-interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VlanPlan {
    /// The link that it is on.
    pub parent: IfName,
    /// The VLAN's number.
    pub vlan: u16,
}

/// A link that stands in for one to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentPlan {
    /// What endpoints there have in common.
    pub seat: Seat,
    /// The link to the outside.
    pub outside: IfName,
}

/// A link to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkPlan {
    /// What endpoints there have in common.
    pub seat: Seat,
    /// Its stand-in for endpoints without Ethernet addresses of their own, if they hear what is for many.
    pub by_address: Option<IfName>,
}

/// A setting of the host's kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingPlan {
    /// Path below /proc/sys.
    pub name: String,
    /// The value it must have.
    pub value: &'static str,
    /// What for.
    pub why: &'static str,
}

/// Everything that the networks need on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlan {
    /// In the order in which they must be made.
    pub settings: Vec<SettingPlan>,
    /// Bridges, each with the MTU of its network.
    pub bridges: BTreeMap<IfName, (BridgePlan, u32)>,
    /// Sub-interfaces.
    pub vlans: BTreeMap<IfName, VlanPlan>,
    /// Links that stand in for those to the outside.
    pub parents: BTreeMap<IfName, ParentPlan>,
    /// Those links to the outside.
    pub uplinks: BTreeMap<IfName, UplinkPlan>,
    /// Pools of networks that end at the host: what is not leased is unreachable, so that nothing strays to the uplink
    /// and nobody is asked for it by ARP.
    pub pools: BTreeSet<IpNet>,
    /// Addresses that are the host's, whichever link a packet to them comes by.
    pub host_addresses: BTreeSet<IpAddr>,
    /// weft's own rules; `None` if there is nothing to rule.
    pub table: Option<Table>,
}

impl NodePlan {
    /// Stand-ins of endpoints for which the host routes.
    pub fn lanes(&self) -> BTreeMap<IfName, ()> {
        self.parents.iter().filter(|(_, plan)| plan.seat.is_routed()).map(|(name, _)| (name.clone(), ())).collect()
    }

    /// The routes that keep packets to pools and gateways on the host.
    pub fn routes(&self) -> BTreeMap<(IpNet, Hop), ()> {
        let pools = self.pools.iter().map(|pool| ((*pool, Hop::Unreachable), ()));
        let own = self.host_addresses.iter().map(|address| ((IpNet::from(*address), Hop::Host), ()));
        pools.chain(own).collect()
    }
}

/// What the node must be. `seats` are those of endpoints that are there: what they sit on stays, whatever becomes of
/// the host's uplink.
pub fn plan(networks: &BTreeMap<NetworkName, Network>, host: &HostFacts, seats: &BTreeSet<Seat>) -> NodePlan {
    let bridge = |network: &Network| {
        let (name, plan) = attachment::kind(network.attachment)?.bridge(network)?;
        Some((name, (plan, host.mtu_of(network))))
    };
    let host_addresses = |network: &Network| {
        let kind = attachment::kind(network.attachment);
        kind.map_or_else(Vec::new, |kind| kind.host_addresses(network))
    };
    let of_networks = networks.values().filter_map(|network| parent::seat(network, &host.parent_of(network)?));
    let seats: BTreeSet<Seat> = of_networks.chain(seats.iter().cloned()).collect();
    NodePlan {
        vlans: vlans(&seats),
        parents: parents(&seats),
        uplinks: uplinks(&seats),
        host_addresses: networks.values().flat_map(host_addresses).collect(),
        settings: settings(networks, host),
        bridges: networks.values().filter_map(bridge).collect(),
        pools: on_host(networks).flat_map(|network| &network.pools).map(|pool| pool.subnet).collect(),
        table: table(networks),
    }
}

/// Networks whose packets to the outside leave by the host.
fn on_host(networks: &BTreeMap<NetworkName, Network>) -> impl Iterator<Item = &Network> + Clone {
    networks.values().filter(|network| network.attachment.is_translated())
}

fn vlans(seats: &BTreeSet<Seat>) -> BTreeMap<IfName, VlanPlan> {
    let plan = |seat: &Seat| Some((parent::outside(seat), VlanPlan { parent: seat.uplink.clone(), vlan: seat.vlan? }));
    seats.iter().filter_map(plan).collect()
}

fn parents(seats: &BTreeSet<Seat>) -> BTreeMap<IfName, ParentPlan> {
    let plan = |seat: &Seat| {
        Some((parent::stand_in(seat)?, ParentPlan { seat: seat.clone(), outside: parent::outside(seat) }))
    };
    seats.iter().filter_map(plan).collect()
}

fn uplinks(seats: &BTreeSet<Seat>) -> BTreeMap<IfName, UplinkPlan> {
    let mut uplinks = BTreeMap::new();
    for seat in seats {
        let empty = || UplinkPlan { seat: seat.clone(), by_address: None };
        let plan: &mut UplinkPlan = uplinks.entry(parent::outside(seat)).or_insert_with(empty);
        // To where the host routes, nothing is sent that is for many.
        if let Some(stand_in) = parent::stand_in(seat).filter(|_| !seat.is_routed()) {
            plan.by_address = Some(stand_in);
        }
    }
    uplinks
}

/// Forwarding, where a network needs it. A host that forwards IPv6 stops to listen to routers unless told to go on.
fn settings(networks: &BTreeMap<NetworkName, Network>, host: &HostFacts) -> Vec<SettingPlan> {
    let forwards = |family: Family| on_host(networks).any(|network| network.families().any(|f| f == family));
    let why = "containers are reached through the host";
    let mut settings = Vec::new();
    if forwards(Family::IPv4) {
        settings.push(SettingPlan { name: "net/ipv4/ip_forward".to_owned(), value: "1", why });
    }
    if forwards(Family::IPv6) {
        for link in &host.advertised {
            let name = format!("net/ipv6/conf/{link}/accept_ra");
            settings.push(SettingPlan { name, value: "2", why: "the host learns its IPv6 routes here, and forwards" });
        }
        settings.push(SettingPlan { name: "net/ipv6/conf/all/forwarding".to_owned(), value: "1", why });
    }
    settings
}

fn table(networks: &BTreeMap<NetworkName, Network>) -> Option<Table> {
    if on_host(networks).all(|network| network.pools.is_empty()) {
        return None;
    }
    let chain = |name: &str, kind, at, priority, rules| {
        let hook = Some(Hook { kind, at, priority, policy: Policy::Accept });
        Chain { name: name.to_owned(), hook, rules }
    };
    let forward = on_host(networks).flat_map(isolation).chain(on_host(networks).flat_map(confinement)).collect();
    let postrouting = on_host(networks).flat_map(translation).collect();
    let chains = vec![
        chain("forward", HookKind::Filter, HookPoint::Forward, 0, forward),
        chain("output", HookKind::Filter, HookPoint::Output, 0, no_redirects()),
        chain("postrouting", HookKind::Nat, HookPoint::Postrouting, PRIORITY_SRCNAT, postrouting),
    ];
    Some(Table { name: OWN_TABLE.to_owned(), chains })
}

fn ours() -> Interface {
    Interface::Prefixed(NAME_PREFIX.to_owned())
}

fn drop_rule(matches: Vec<Match>, comment: String) -> Rule {
    Rule { matches, statements: vec![Statement::Counter, Statement::Drop], comment }
}

/// Endpoints of an isolated network do not reach each other by way of the host.
fn isolation(network: &Network) -> Vec<Rule> {
    if !network.isolated {
        return Vec::new();
    }
    let pairs = network.pools.iter().flat_map(|from| network.pools.iter().map(move |to| (from.subnet, to.subnet)));
    let same_family = pairs.filter(|(from, to)| Family::of_net(from) == Family::of_net(to));
    same_family
        .map(|(from, to)| {
            let matches = vec![
                Match::Is(Field::Input(ours())),
                Match::Is(Field::Output(ours())),
                Match::Is(Field::Source(from)),
                Match::Is(Field::Destination(to)),
            ];
            drop_rule(matches, format!("{} is isolated", network.name))
        })
        .collect()
}

/// Endpoints of an internal network reach nothing beyond the host, and nothing beyond reaches them.
fn confinement(network: &Network) -> Vec<Rule> {
    if !network.internal {
        return Vec::new();
    }
    let comment = || internal(&network.name);
    let both = |subnet: IpNet| {
        let leaving = vec![Match::Not(Field::Output(ours())), Match::Is(Field::Source(subnet))];
        let coming = vec![Match::Not(Field::Input(ours())), Match::Is(Field::Destination(subnet))];
        [drop_rule(leaving, comment()), drop_rule(coming, comment())]
    };
    network.pools.iter().flat_map(|pool| both(pool.subnet)).collect()
}

/// What leaves towards the outside leaves with an address of the host's.
fn translation(network: &Network) -> Vec<Rule> {
    let Some(masquerade) = &network.masquerade else { return Vec::new() };
    network.pools.iter().map(|pool| translate(network, masquerade, pool.subnet)).collect()
}

fn translate(network: &Network, masquerade: &Masquerade, subnet: IpNet) -> Rule {
    let family = Family::of_net(&subnet);
    let mut matches = vec![Match::Is(Field::Source(subnet)), Match::Not(Field::Output(ours()))];
    let except = masquerade.except.iter().filter(|net| Family::of_net(net) == family);
    matches.extend(except.map(|net| Match::Not(Field::Destination(*net))));
    let source = masquerade.source.iter().copied().find(|source| Family::of(*source) == family);
    let statement = source.map_or(Statement::Masquerade, Statement::SourceNat);
    Rule { matches, statements: vec![Statement::Counter, statement], comment: format!("masquerade {}", network.name) }
}

/// The host forwards between endpoints of one bridge and must not tell them a shorter way: they would learn neighbours.
fn no_redirects() -> Vec<Rule> {
    let rule = |field| {
        drop_rule(vec![Match::Is(Field::Output(ours())), Match::Is(field)], "no redirects to containers".to_owned())
    };
    vec![rule(Field::Icmp(ICMP_REDIRECT)), rule(Field::Icmpv6(ICMPV6_REDIRECT))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::Built;
    use weft_model::{Labels, MasqueradeSpec, Mode, NetworkSpec};

    fn networks(specs: Vec<(&str, NetworkSpec)>) -> BTreeMap<NetworkName, Network> {
        let resolve = |(name, spec): (&str, NetworkSpec)| {
            let name = NetworkName::parse(name).unwrap();
            let network = spec.resolve(&name, &Labels::new(), &Built).unwrap();
            (name, network)
        };
        specs.into_iter().map(resolve).collect()
    }

    fn spec(mode: Mode, pools: &[&str]) -> NetworkSpec {
        let pools = pools.iter().map(|pool| (*pool).to_owned()).collect();
        NetworkSpec { mode: Some(mode), pools, ..NetworkSpec::default() }
    }

    fn comments(plan: &NodePlan, chain: &str) -> Vec<String> {
        let chains = plan.table.iter().flat_map(|table| &table.chains).filter(|c| c.name == chain);
        chains.flat_map(|chain| &chain.rules).map(|rule| rule.comment.clone()).collect()
    }

    #[test]
    fn nothing_is_needed_without_networks() {
        let plan = plan(&BTreeMap::new(), &HostFacts::default(), &BTreeSet::new());
        assert!(plan.settings.is_empty() && plan.bridges.is_empty() && plan.pools.is_empty() && plan.table.is_none());
    }

    #[test]
    fn a_host_that_listens_to_routers_goes_on_doing_so_before_it_forwards() {
        let facts = HostFacts { advertised: BTreeSet::from(["eth7".to_owned()]), ..HostFacts::default() };
        let plan = plan(&networks(vec![("a", spec(Mode::Routed, &["fd64::/64"]))]), &facts, &BTreeSet::new());
        let names: Vec<_> = plan.settings.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(names, ["net/ipv6/conf/eth7/accept_ra", "net/ipv6/conf/all/forwarding"]);
    }

    #[test]
    fn where_the_host_routes_a_stand_in_has_its_lane_and_hears_nothing_that_is_for_many() {
        use weft_model::IpvlanMode::{L2, L3, L3s};
        let of = |mode| NetworkSpec { ipvlan_mode: Some(mode), ..spec(Mode::Ipvlan, &["10.1.0.0/24"]) };
        let macvlan = spec(Mode::Macvlan, &["10.2.0.0/24"]);
        let networks = networks(vec![("a", of(L2)), ("b", of(L3)), ("c", of(L3s)), ("d", macvlan)]);
        let uplink = Uplink { name: "eno1".to_owned(), mtu: 1500, mac: None, addresses: Vec::new() };
        let plan = plan(&networks, &HostFacts { uplink: Some(uplink), ..HostFacts::default() }, &BTreeSet::new());
        let names: Vec<_> = plan.parents.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["weftl-eno1", "weftn-eno1", "wefts-eno1"], "a macvlan endpoint has a link of its own");
        let lanes = plan.lanes();
        assert_eq!(
            lanes.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
            ["l", "s"].map(|it| format!("weft{it}-eno1"))
        );
        let [uplink] = plan.uplinks.into_values().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(uplink.by_address.map(|name| name.to_string()), Some("weftn-eno1".to_owned()));
    }

    #[test]
    fn rules_follow_the_networks() {
        let internal = NetworkSpec { internal: true, isolated: true, ..spec(Mode::Bridge, &["10.1.0.0/24"]) };
        let except = MasqueradeSpec::Details { except: vec!["10.0.0.0/8".into(), "fd00::/8".into()], source: vec![] };
        let open = NetworkSpec { masquerade: Some(except), ..spec(Mode::Routed, &["10.2.0.0/24", "fd02::/64"]) };
        let plan = plan(&networks(vec![("in", internal), ("out", open)]), &HostFacts::default(), &BTreeSet::new());
        assert_eq!(comments(&plan, "forward"), ["in is isolated", "in is internal", "in is internal"]);
        assert_eq!(comments(&plan, "postrouting"), ["masquerade out", "masquerade out"]);
        let table = plan.table.as_ref().unwrap();
        let lengths: Vec<_> = table.chains[2].rules.iter().map(|rule| rule.matches.len()).collect();
        assert_eq!(lengths, [3, 3], "source, link, and the one exception of the family");
        assert_eq!(plan.bridges.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["weftb-in"]);
        assert_eq!(plan.pools.len(), 3);
        let own = plan.routes().into_keys().filter(|(_, hop)| *hop == Hop::Host);
        assert_eq!(own.map(|(to, _)| to.to_string()).collect::<Vec<_>>(), ["169.254.1.1/32"], "of the routed one");
    }
}
