//! Endpoints on the Ethernet segment of a link of the host's, and by which links they are there.
//!
//! ```text
//!   eth0 192.0.2.50/24 (macvlan) ══ wefte… ───────┐
//!   eth0 192.0.2.51/24 (macvlan) ══ wefte… ───────┤
//!                                                 ├── switch ─┬─ host's stack
//!   eth0 192.0.2.60/24 (ipvlan) ──── weftn-eno1 ──┤           └─ eno1, the wire
//!   eth0 10.7.0.5/24 (its mode l3) ─ weftl-eno1 ──┤
//!   eth0 10.8.0.5/24 (its mode l3s)  wefts-eno1 ──┘
//! ```
//!
//! Each macvlan endpoint has a pair of links of its own, by which the switch knows who sent a frame, whatever that
//! says. ipvlan's are the kernel's devices, on a link that stands in for the host's own: of what leaves by that one
//! nobody could tell whether the host sent it, and the stand-in stays when it goes, so that containers keep their
//! links, and each other, while a driver is loaded anew. One for each mode of ipvlan, which the kernel has for all
//! links of a parent: so networks of all modes are there side by side.

use std::net::IpAddr;

use ipnet::IpNet;
use weft_kernel::endpoint::LinkPlan;
use weft_kernel::interior::Interior;
use weft_kernel::link::{LOOPBACK, Link};
use weft_kernel::neighbour::Neighbour;
use weft_kernel::station::StationPlan;
use weft_kernel::upper::UpperPlan;
use weft_model::{
    Attachment, Endpoint, Family, Grant, IfName, Ipam, IpvlanMode, MacvlanMode, Network, Pool, Seat, fnv32,
};

use super::{Ground, Kind, admit_own_namespace, endow_in_subnets, hops, link_name, mac_of};

/// What the names of stand-ins begin with, by the mode of ipvlan.
const BY_ADDRESS: [(IpvlanMode, &str); 3] =
    [(IpvlanMode::L2, "weftn-"), (IpvlanMode::L3, "weftl-"), (IpvlanMode::L3s, "wefts-")];
/// What the names of VLANs' sub-interfaces begin with.
const VLAN: &str = "weftv-";

/// `macvlan` and `ipvlan`: on the segment of a link of the host's, with Ethernet addresses of their own or without.
pub(super) struct Seated(pub(super) Attachment);

impl Kind for Seated {
    fn attachment(&self) -> Attachment {
        self.0
    }

    fn admit(&self, ground: &Ground) -> Result<(), String> {
        admit_own_namespace(ground)
    }

    fn endow(&self, network: &Network, chosen: &[(IpAddr, &Pool)], endpoint: &mut Endpoint) {
        endow(network, chosen, endpoint);
    }

    /// Another kind of link than those of this plan: see [`upper`] and [`station`].
    fn link(&self, _: &Endpoint, _: Option<u32>) -> Option<LinkPlan> {
        None
    }
}

/// The seat of an endpoint of `network` on this link to the outside; `None` where none is taken.
pub fn seat(network: &Network, uplink: &IfName) -> Option<Seat> {
    let is_macvlan = network.attachment == Attachment::Macvlan;
    network.attachment.sits_on_parent().then(|| Seat {
        uplink: uplink.clone(),
        vlan: network.vlan,
        shares_mac: !is_macvlan,
        ipvlan_mode: network.ipvlan_mode,
        by_switch: is_macvlan && network.macvlan_mode == MacvlanMode::Vepa,
        alone: is_macvlan && network.macvlan_mode == MacvlanMode::Passthru,
        host_access: network.host_access,
    })
}

/// The link on the host by which what is sent from the seat leaves: the one to the outside, or the VLAN's on it.
pub fn outside(seat: &Seat) -> IfName {
    match seat.vlan {
        Some(vlan) => link_name(VLAN, &format!("{}.{vlan}", seat.uplink)),
        None => seat.uplink.clone(),
    }
}

/// Whether a link may be such a one. Others of weft's have routes to endpoints of other kinds.
pub fn may_be_outside(link: &Link) -> bool {
    link.index != LOOPBACK && (!link.is_ours() || is_vlan(&link.name))
}

/// The link that stands in for it, if the endpoint there is ipvlan's.
pub fn stand_in(seat: &Seat) -> Option<IfName> {
    let mut prefixes = BY_ADDRESS.into_iter().filter(|(mode, _)| seat.shares_mac && *mode == seat.ipvlan_mode);
    prefixes.next().map(|(_, prefix)| link_name(prefix, outside(seat).as_str()))
}

/// The stand-in on the same segment whose endpoints hear what is for many, whether there is one or not.
pub fn listening(seat: &Seat) -> IfName {
    let [(_, prefix), ..] = BY_ADDRESS;
    link_name(prefix, outside(seat).as_str())
}

/// The programs' number for the segment: the same after a restart.
pub fn segment(seat: &Seat) -> u32 {
    fnv32(&["segment", outside(seat).as_str()])
}

/// Whether a link stands in for another.
pub fn is_stand_in(name: &str) -> bool {
    BY_ADDRESS.iter().any(|(_, prefix)| name.starts_with(prefix))
}

/// Whether a link is a VLAN's on another.
pub fn is_vlan(name: &str) -> bool {
    name.starts_with(VLAN)
}

/// Completes the record of an endpoint that got these addresses of the physical network.
pub(super) fn endow(network: &Network, chosen: &[(IpAddr, &Pool)], endpoint: &mut Endpoint) {
    endpoint.mac = (network.attachment == Attachment::Macvlan).then(|| mac_of(endpoint, chosen)).flatten();
    endow_in_subnets(network, chosen, endpoint);
    if network.ipam == Ipam::Dhcp {
        endpoint.asked_families = network.families().collect();
        // There are none yet to derive them from, nor next hops for them.
        endpoint.routes.clear();
    }
}

/// Prefixes that the endpoint's neighbours on the segment have. Where the LAN says which addresses there are, its
/// servers also say what else is on the link, and its routers what of IPv6 is (RFC 5942, section 4), which the kernel
/// inside listens to.
pub fn on_link(endpoint: &Endpoint) -> impl Iterator<Item = IpNet> {
    let is_there = endpoint.seat.is_some() || endpoint.loan.is_some();
    let is_told = |net: &&IpNet| !(endpoint.is_leased() && net.addr().is_ipv6());
    let own = endpoint.addresses.iter().filter(is_told).map(IpNet::trunc);
    let in_force = |grant: &&Grant| endpoint.addresses.contains(&grant.address);
    let granted = endpoint.lease.grants().filter(in_force).flat_map(|grant| &grant.routes);
    let granted = granted.filter(|route| route.via.is_none()).map(|route| route.to);
    own.chain(granted).filter(move |_| is_there)
}

/// How the host reaches an endpoint that answers no question of whose an address is: by the link to the outside, whose
/// program knows it.
pub fn reached_by(endpoint: &Endpoint, outside: &Link) -> Vec<Neighbour> {
    let is_reached = endpoint.seat.as_ref().is_some_and(|seat| seat.is_routed() && seat.host_access);
    let Some(mac) = outside.mac.filter(|_| is_reached && outside.up) else { return Vec::new() };
    endpoint.addresses.iter().map(|net| Neighbour { index: outside.index, ip: net.addr(), mac }).collect()
}

/// The link that the record asks for, on the stand-in with this number.
pub fn upper(endpoint: &Endpoint, parent: u32) -> Option<UpperPlan> {
    let mode = endpoint.seat.as_ref()?.ipvlan_mode;
    Some(UpperPlan { mode, parent, mtu: endpoint.mtu, interior: interior(endpoint)? })
}

/// The link that the record asks for, on the segment of `outside`.
pub fn station(endpoint: &Endpoint, outside: Option<&Link>) -> Option<StationPlan> {
    let mac = endpoint.mac?;
    let uplink = outside.filter(|outside| outside.mac != Some(mac)).map(|outside| outside.index);
    let host = endpoint.key.host_link();
    Some(StationPlan { host, uplink, mac, mtu: endpoint.mtu, interior: interior(endpoint)? })
}

/// What its link is inside, if that came there whole.
pub fn interior(endpoint: &Endpoint) -> Option<Interior> {
    // What the kernel inside forms by what routers say, it also takes away.
    let is_set = |net: &IpNet| !endpoint.is_leased() || endpoint.lease.addresses().contains(net);
    let neighbours = on_link(endpoint).map(|net| (net, None));
    let further = hops(endpoint, &endpoint.routes).into_iter();
    let further = further.filter(|(to, _)| !on_link(endpoint).any(|net| net == *to));
    Some(Interior {
        index: endpoint.link?,
        name: endpoint.key.ifname.clone(),
        link_local: endpoint.link_local()?,
        addresses: endpoint.addresses.iter().copied().filter(is_set).collect(),
        routes: neighbours.chain(further).collect(),
        listens_to_routers: endpoint.asked_families.contains(&Family::IPv6),
        // What is formed is known to be its own by the Ethernet address, and this one is its neighbours', too.
        forms_addresses: !endpoint.shares_mac(),
    })
}

#[cfg(test)]
mod tests {
    use weft_kernel::link::GROUP_LIVE;
    use weft_model::MacAddr;

    use super::*;

    fn seat(uplink: &str, vlan: Option<u16>, shares_mac: bool) -> Seat {
        let uplink = uplink.parse().expect("name");
        let ipvlan_mode = IpvlanMode::L2;
        Seat { uplink, vlan, shares_mac, ipvlan_mode, by_switch: false, alone: false, host_access: true }
    }

    #[test]
    fn where_the_host_routes_it_reaches_endpoints_without_asking_and_these_need_no_gateway() {
        for (mode, host_access, up) in
            IpvlanMode::ALL.iter().flat_map(|mode| [(mode, true, true), (mode, true, false), (mode, false, true)])
        {
            let seat = Seat { ipvlan_mode: *mode, host_access, ..seat("eno1", None, true) };
            let mut endpoint: Endpoint = serde_json::from_value(serde_json::json!({
                "key": {"container": "c", "ifname": "eth0"}, "network": "app", "namespace": "default", "name": "c",
                "netns": {"path": "/x", "device": 4, "inode": 5}, "attachment": "ipvlan", "mtu": 1500, "born_s": 0,
                "addresses": ["10.7.0.5/24", "fd07::5/64"], "routes": [{"to": "0.0.0.0/0"}, {"to": "::/0"}],
            }))
            .unwrap();
            endpoint.seat = Some(seat);
            let outside = Link { index: 7, mac: Some(MacAddr([2; 6])), up, ..Link::default() };
            let reached = reached_by(&endpoint, &outside);
            let is_reached = mode.is_routed() && host_access && up;
            let expected: Vec<_> = endpoint.addresses.iter().map(|net| net.addr()).filter(|_| is_reached).collect();
            assert_eq!(reached.iter().map(|at| at.ip).collect::<Vec<_>>(), expected);
            assert!(reached.iter().all(|at| (at.index, Some(at.mac)) == (7, outside.mac)));
            let by_link = hops(&endpoint, &endpoint.routes).into_iter().filter(|(_, via)| via.is_none());
            assert_eq!(by_link.count(), if mode.is_routed() { 2 } else { 0 });
        }
    }

    #[test]
    fn names_fit_and_one_segment_has_one_number() {
        let (macvlan, ipvlan) = (seat("eno1", None, false), seat("eno1", None, true));
        assert_eq!(stand_in(&macvlan), None);
        assert_eq!(segment(&macvlan), segment(&ipvlan));
        let [l3, l3s] = [IpvlanMode::L3, IpvlanMode::L3s].map(|ipvlan_mode| Seat { ipvlan_mode, ..ipvlan.clone() });
        let names = [&ipvlan, &l3, &l3s].map(|seat| stand_in(seat).unwrap().to_string());
        assert_eq!(names, ["weftn-eno1", "weftl-eno1", "wefts-eno1"]);
        assert!(names.iter().all(|name| is_stand_in(name)));
        assert_eq!([&macvlan, &l3].map(|seat| listening(seat).to_string()), ["weftn-eno1"; 2]);
        assert_eq!(segment(&l3), segment(&macvlan));
        let link = |name: &str, group| Link { index: 7, name: name.to_owned(), group, ..Link::default() };
        let links = [link("eno1", 0), link("weftb-app", GROUP_LIVE), link("weftv-eno1.42", GROUP_LIVE)];
        assert_eq!(links.map(|link| may_be_outside(&link)), [true, false, true]);
        let tagged = seat("eno1", Some(42), true);
        assert_eq!(outside(&tagged).as_str(), "weftv-eno1.42");
        assert_eq!(stand_in(&tagged).unwrap().as_str().get(..6), Some("weftn-"));
        assert_ne!(segment(&tagged), segment(&macvlan));
        assert_eq!(stand_in(&seat("enp129s0f1np1v7", Some(4094), true)).unwrap().as_str().len(), 15);
    }
}
