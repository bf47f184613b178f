//! Which of a container's interfaces has its default routes, family by family: the one that claims them, else the one
//! that has them, else the first, unless an interface that is not weft's has them.
//!
//! What an interface without them has is kept in its record: it steps forward when nobody else is left.

use std::sync::Arc;

use ipnet::IpNet;
use weft_model::{Endpoint, EndpointKey, Family, NetworkName, Route};

/// Default routes that an endpoint is to have, whoever of its container has them now.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The endpoint.
    pub key: &'a EndpointKey,
    /// Of these families.
    pub families: &'a [Family],
}

/// The endpoints of one container whose routes must change so that each default route is had once. `pools` are those of
/// a network.
pub fn share(
    endpoints: &[Arc<Endpoint>],
    claim: Claim<'_>,
    pools: impl Fn(&NetworkName) -> Vec<IpNet>,
) -> Vec<(Arc<Endpoint>, Endpoint)> {
    let mut shared: Vec<Endpoint> = endpoints.iter().map(|endpoint| (**endpoint).clone()).collect();
    for family in Family::ALL {
        let Some(holder) = holder(&shared, claim, family) else { continue };
        for (place, endpoint) in shared.iter_mut().enumerate() {
            if place == holder {
                step_forward(family, endpoint);
            } else {
                stand_back(&pools(&endpoint.network), &[family], endpoint);
            }
        }
    }
    let changed = endpoints.iter().cloned().zip(shared);
    changed.filter(|(before, after)| **before != *after).collect()
}

fn holder(endpoints: &[Endpoint], claim: Claim<'_>, family: Family) -> Option<usize> {
    let is_claimant = |endpoint: &Endpoint| endpoint.key == *claim.key && claim.families.contains(&family);
    let may_have = |endpoint: &Endpoint| has_default(&endpoint.source_routes, family);
    let has = |endpoint: &Endpoint| has_default(&endpoint.routes, family);
    let claimant = endpoints.iter().position(|endpoint| is_claimant(endpoint) && (has(endpoint) || may_have(endpoint)));
    let is_foreign = endpoints.iter().any(|endpoint| endpoint.foreign_defaults.contains(&family));
    let first = || endpoints.iter().position(may_have).filter(|_| !is_foreign);
    claimant.or_else(|| endpoints.iter().position(has)).or_else(first)
}

/// Leaves the default routes of these families to interfaces of the container that have them. What is for the network
/// itself goes by the endpoint still, and so does all that is sent from its own addresses.
pub fn stand_back(pools: &[IpNet], taken: &[Family], endpoint: &mut Endpoint) {
    for family in taken.iter().filter(|family| has_default(&endpoint.routes, **family)).copied().collect::<Vec<_>>() {
        let own: Vec<Route> = of_family(&endpoint.routes, family).cloned().collect();
        endpoint.routes.retain(|route| !is_default(route) || Family::of_net(&route.to) != family);
        let pools = pools.iter().filter(|pool| Family::of_net(pool) == family);
        endpoint.routes.extend(pools.map(|pool| Route { to: *pool, via: None }));
        endpoint.source_routes.extend(own);
    }
}

/// Takes back what [`stand_back`] did.
fn step_forward(family: Family, endpoint: &mut Endpoint) {
    if !has_default(&endpoint.source_routes, family) {
        return;
    }
    let own: Vec<Route> = of_family(&endpoint.source_routes, family).cloned().collect();
    for routes in [&mut endpoint.routes, &mut endpoint.source_routes] {
        routes.retain(|route| Family::of_net(&route.to) != family);
    }
    endpoint.routes.extend(own);
}

/// Whether one of `routes` is the default route of `family`.
pub fn has_default(routes: &[Route], family: Family) -> bool {
    of_family(routes, family).any(is_default)
}

fn is_default(route: &Route) -> bool {
    route.to.prefix_len() == 0
}

fn of_family(routes: &[Route], family: Family) -> impl Iterator<Item = &Route> {
    routes.iter().filter(move |route| Family::of_net(&route.to) == family)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn endpoint(ifname: &str) -> Endpoint {
        serde_json::from_value(json!({
            "key": {"container": "c", "ifname": ifname}, "network": "app", "namespace": "default", "name": "c",
            "netns": {"path": "/x", "device": 4, "inode": 5}, "attachment": "bridge", "mtu": 1500, "born_s": 0,
            "routes": [{"to": "0.0.0.0/0"}, {"to": "10.9.0.0/16"}, {"to": "::/0"}],
        }))
        .unwrap()
    }

    fn pools(_: &NetworkName) -> Vec<IpNet> {
        vec!["10.1.0.0/24".parse().unwrap(), "fd61::/64".parse().unwrap()]
    }

    fn standing_back(ifname: &str) -> Endpoint {
        let mut endpoint = endpoint(ifname);
        stand_back(&pools(&endpoint.network), &Family::ALL, &mut endpoint);
        endpoint
    }

    /// The interface with the default route of each family, after `claim`.
    fn holders(endpoints: &[Arc<Endpoint>], claimant: &Endpoint, families: &[Family]) -> Vec<String> {
        let mut after: Vec<Endpoint> = endpoints.iter().map(|endpoint| (**endpoint).clone()).collect();
        for (_, changed) in share(endpoints, Claim { key: &claimant.key, families }, pools) {
            let place = after.iter().position(|endpoint| endpoint.key == changed.key).unwrap();
            after[place] = changed;
        }
        let has = |family| after.iter().filter(move |endpoint| has_default(&endpoint.routes, family));
        Family::ALL.into_iter().flat_map(|f| has(f).map(|e| e.key.ifname.to_string()).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn who_stands_back_keeps_the_network_and_steps_forward_as_it_was() {
        let mut endpoint = endpoint("eth1");
        let before = endpoint.clone();
        stand_back(&pools(&endpoint.network), &[Family::IPv4], &mut endpoint);
        let to: Vec<_> = endpoint.routes.iter().map(|route| route.to.to_string()).collect();
        assert_eq!(to, ["10.9.0.0/16", "::/0", "10.1.0.0/24"]);
        assert_eq!(endpoint.source_routes.len(), 2, "{:?}", endpoint.source_routes);
        step_forward(Family::IPv4, &mut endpoint);
        endpoint.routes.sort();
        let mut expected = before.routes.clone();
        expected.sort();
        assert_eq!((endpoint.routes, endpoint.source_routes), (expected, before.source_routes));
    }

    #[test]
    fn the_default_routes_are_the_claimants_else_whose_they_were_else_the_first_ones() {
        let (first, second) = (Arc::new(endpoint("eth0")), Arc::new(standing_back("eth1")));
        let both = [Arc::clone(&first), Arc::clone(&second)];
        assert_eq!(holders(&both, &second, &[]), ["eth0", "eth0"]);
        assert!(share(&both, Claim { key: &first.key, families: &Family::ALL }, pools).is_empty());
        assert_eq!(holders(&both, &second, &Family::ALL), ["eth1", "eth1"]);
        assert_eq!(holders(&both, &second, &[Family::IPv6]), ["eth0", "eth1"]);
        let left = [Arc::new(standing_back("eth0")), second];
        assert_eq!(holders(&left, &left[0], &[]), ["eth0", "eth0"], "nobody has them");
        let foreign = Endpoint { foreign_defaults: vec![Family::IPv6], ..standing_back("eth0") };
        let foreign = [Arc::new(foreign), Arc::new(standing_back("eth1"))];
        assert_eq!(holders(&foreign, &foreign[0], &[]), ["eth0"], "nobody of weft's");
        assert_eq!(holders(&foreign, &foreign[0], &[Family::IPv6]), ["eth0", "eth0"], "but it may be taken");
    }
}
