//! What an endpoint comes to have by what its LAN gave it.

use ipnet::IpNet;
use weft_model::{Dns, Endpoint, Family, Grant, Lease, LeaseTimes, Network, Route};

use crate::defaults;
use crate::ledger::Leased;

/// What `endpoint` has by `lease`, and by the addresses that the kernel inside formed. Where it had stood back from a
/// default route, or an interface beside it has that of one of the families in `taken`, it leaves that route to the
/// other. Routes that were asked for by name stay.
pub fn leased(network: &Network, lease: Lease, formed: &[IpNet], taken: &[Family], endpoint: &Endpoint) -> Leased {
    let mut after = endpoint.clone();
    let granted: Vec<IpNet> = formed.iter().copied().filter(|net| !lease.addresses().contains(net)).collect();
    after.addresses = [lease.addresses(), granted].concat();
    after.gateways = lease.gateways();
    after.routes = routes(network, &lease, endpoint);
    after.source_routes.clear();
    let stood_back = Family::ALL.into_iter().filter(|family| defaults::has_default(&endpoint.source_routes, *family));
    let taken: Vec<Family> = stood_back.chain(taken.iter().copied()).collect();
    defaults::stand_back(&[], &taken, &mut after);
    let smallest = lease.grants().filter_map(|grant| grant.mtu).min();
    after.mtu = smallest.map_or(endpoint.mtu, |mtu| endpoint.mtu.min(mtu.into()));
    after.dns = dns(network, &lease, endpoint);
    after.lease = remembered(lease, &endpoint.lease);
    Leased::of(&after)
}

/// By next hops of the lease, and those of the network and of the endpoint's own, as far as there is a next hop for
/// them. What is on the link has none: see [`super::parent::on_link`].
fn routes(network: &Network, lease: &Lease, endpoint: &Endpoint) -> Vec<Route> {
    let earlier: Vec<Route> = given(&endpoint.lease).collect();
    let asked = endpoint.routes.iter().filter(|route| !earlier.contains(route) && route.to.prefix_len() > 0);
    let mut routes: Vec<Route> = Vec::new();
    for route in network.routes.iter().chain(asked).cloned().chain(given(lease)) {
        let is_default = route.to.prefix_len() == 0;
        let has_hop =
            route.via.is_some() || lease.gateways().iter().any(|ip| Family::of(*ip) == Family::of_net(&route.to));
        if !(is_default && network.internal) && has_hop && routes.iter().all(|other| other.to != route.to) {
            routes.push(route);
        }
    }
    routes
}

/// The routes of a lease that have a next hop. The default one is by the endpoint's gateway, as everywhere.
fn given(lease: &Lease) -> impl Iterator<Item = Route> {
    let gateways = lease.gateways();
    let route =
        move |to: IpNet, via| Route { to, via: Some(via).filter(|via| to.prefix_len() > 0 || !gateways.contains(via)) };
    let by_route = lease.routes().filter_map(|route| Some((route.to, route.via?))).collect::<Vec<_>>();
    by_route.into_iter().map(move |(to, via)| route(to, via))
}

/// What the network says of name servers, else the LAN.
fn dns(network: &Network, lease: &Lease, endpoint: &Endpoint) -> Dns {
    let is_lans = endpoint.dns.is_empty() || endpoint.dns == endpoint.lease.dns();
    if is_lans && network.dns.is_empty() { lease.dns() } else { endpoint.dns.clone() }
}

/// The lease with grants of before, as far as it has none instead: over, from the moment on that they began.
fn remembered(lease: Lease, before: &Lease) -> Lease {
    let over = |grant: &Grant| {
        let mut grant = grant.clone();
        let LeaseTimes { granted_s, granted_unix_s, .. } = grant.times;
        let (renew_s, rebind_s, preferred_s, lifetime_s) = (0, 0, Some(0), Some(0));
        grant.times = LeaseTimes { granted_s, granted_unix_s, renew_s, rebind_s, preferred_s, lifetime_s };
        grant
    };
    let v4 = lease.v4.or_else(|| before.v4.as_ref().map(over));
    let v6 = lease.v6.or_else(|| before.v6.as_ref().map(over));
    Lease { v4, v6, ..lease }
}

/// The grants of the record that are in force: those whose addresses it has.
pub fn in_force(endpoint: &Endpoint) -> Lease {
    let has = |grant: &Grant| endpoint.addresses.contains(&grant.address);
    let Lease { v4, v6, autoconfigured, advertised } = endpoint.lease.clone();
    Lease { v4: v4.filter(has), v6: v6.filter(has), autoconfigured, advertised }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use weft_model::{Ipam, Labels, Mode, NetworkName, NetworkSpec};

    fn network(more: NetworkSpec) -> Network {
        let spec = NetworkSpec { mode: Some(Mode::Macvlan), ipam: Some(Ipam::Dhcp), ..more };
        spec.resolve(&NetworkName::parse("app").unwrap(), &Labels::new(), &super::super::Built).unwrap()
    }

    fn endpoint() -> Endpoint {
        serde_json::from_value(json!({
            "key": {"container": "c", "ifname": "eth0"}, "network": "app", "namespace": "default", "name": "c",
            "netns": {"path": "/x", "device": 4, "inode": 5}, "attachment": "macvlan", "mtu": 1500, "born_s": 0,
            "asked_families": ["IPv4"],
        }))
        .unwrap()
    }

    fn lease(address: &str, more: Value) -> Lease {
        let mut grant = json!({
            "address": address, "gateways": ["10.0.0.1"], "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
            "dns": ["10.0.0.53"], "server": {"address": "10.0.0.1"},
            "times": {"granted_s": 7, "granted_unix_s": 0, "renew_s": 5, "rebind_s": 8, "lifetime_s": 10},
        });
        grant.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({ "v4": grant })).unwrap()
    }

    fn after(network: &Network, lease: Lease, endpoint: &Endpoint) -> Endpoint {
        let mut after = endpoint.clone();
        leased(network, lease, &[], &[], endpoint).write(&mut after);
        after
    }

    fn shown(routes: &[Route]) -> Vec<(String, Option<String>)> {
        routes.iter().map(|route| (route.to.to_string(), route.via.map(|via| via.to_string()))).collect()
    }

    #[test]
    fn a_lease_gives_addresses_routes_servers_and_a_smaller_mtu() {
        let more = json!({"mtu": 1400, "routes": [
            {"to": "0.0.0.0/0", "via": "10.0.0.1"}, {"to": "10.9.0.0/16", "via": "10.0.0.9"}, {"to": "10.8.0.0/16"},
        ]});
        let endpoint = after(&network(NetworkSpec::default()), lease("10.0.0.5/24", more), &endpoint());
        assert_eq!(endpoint.addresses, ["10.0.0.5/24".parse::<IpNet>().unwrap()]);
        assert_eq!((endpoint.mtu, endpoint.dns.servers.len(), endpoint.gateways.len()), (1400, 1, 1));
        let expected = [("0.0.0.0/0", None), ("10.9.0.0/16", Some("10.0.0.9"))];
        assert_eq!(shown(&endpoint.routes), expected.map(|(to, via)| (to.to_owned(), via.map(str::to_owned))));
        assert_eq!(in_force(&endpoint), endpoint.lease);
    }

    #[test]
    fn another_lease_takes_the_place_of_the_first_and_what_was_asked_for_stays() {
        let network = network(NetworkSpec::default());
        let mut first = after(&network, lease("10.0.0.5/24", json!({})), &endpoint());
        first.routes.push(Route { to: "10.7.0.0/16".parse().unwrap(), via: None });
        let moved = json!({"gateways": ["10.0.0.2"], "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.2"}], "dns": []});
        let second = after(&network, lease("10.0.0.6/24", moved), &first);
        assert_eq!(second.addresses, ["10.0.0.6/24".parse::<IpNet>().unwrap()]);
        let to: Vec<_> = shown(&second.routes).into_iter().map(|(to, _)| to).collect();
        assert_eq!(to, ["10.7.0.0/16", "0.0.0.0/0"]);
        assert!(second.dns.is_empty(), "{:?}", second.dns);
    }

    #[test]
    fn what_is_lost_is_remembered_as_over() {
        let network = network(NetworkSpec::default());
        let first = after(&network, lease("10.0.0.5/24", json!({})), &endpoint());
        let lost = after(&network, Lease::default(), &first);
        assert!(lost.addresses.is_empty() && lost.routes.is_empty() && lost.gateways.is_empty());
        assert_eq!(lost.lease.v4.as_ref().and_then(|grant| grant.times.end_s()), Some(7));
        assert_eq!(in_force(&lost), Lease::default());
        let again = after(&network, lease("10.0.0.5/24", json!({})), &lost);
        assert_eq!((again.addresses, again.routes), (first.addresses, first.routes));
    }

    #[test]
    fn default_routes_are_left_to_whoever_has_them_and_are_not_set_in_an_internal_network() {
        let lease = || lease("10.0.0.5/24", json!({}));
        let open = network(NetworkSpec::default());
        let mut second = endpoint();
        leased(&open, lease(), &[], &[Family::IPv4], &endpoint()).write(&mut second);
        assert!(second.routes.is_empty() && second.source_routes.len() == 1, "{second:?}");
        let extended = after(&open, lease(), &second);
        assert!(extended.routes.is_empty() && extended.source_routes.len() == 1, "{extended:?}");
        let internal = network(NetworkSpec { internal: true, ..NetworkSpec::default() });
        assert!(after(&internal, lease(), &endpoint()).routes.is_empty());
    }
}
