//! Whether ledger, kernel and namespaces agree.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use weft_api::{Finding, IpamCheck};
use weft_kernel::link::DEAD_PREFIX;
use weft_kernel::{KernelError, Netlink, Snapshot, route};
use weft_model::{Endpoint, EndpointKey, IfName};
use weft_netns::Netns;
use weft_reconcile::Target as _;

use crate::apply::admissions::Detours;
use crate::apply::endpoints;
use crate::attach::{Attacher, is_same};

/// What is wrong with one endpoint; nothing if all is well.
pub fn endpoint(
    attacher: &Attacher,
    netlink: &mut Netlink,
    endpoint: &Arc<Endpoint>,
    netns: &Netns,
) -> Result<Vec<String>, KernelError> {
    let snapshot = endpoints::read(netlink, endpoint)?;
    let mut problems = host_side(attacher, netlink, endpoint, &snapshot);
    if is_same(&endpoint.netns, netns.id()) {
        problems.extend(inside(endpoint, netns)?);
    } else {
        problems.push("the namespace is not the one it was born in".to_owned());
    }
    Ok(problems)
}

/// Compares everything. Endpoints whose birth or death is under way are passed over.
pub fn all(attacher: &Attacher, netlink: &mut Netlink) -> Result<IpamCheck, KernelError> {
    let mut snapshot = Snapshot::read(netlink)?;
    snapshot.read_filters(netlink)?;
    let endpoints: Vec<Arc<Endpoint>> = attacher.ledger().live().cloned().collect();
    let mut check = IpamCheck { endpoints: endpoints.len(), addresses: 0, findings: Vec::new() };
    let mut owners: BTreeMap<IpAddr, EndpointKey> = BTreeMap::new();
    for endpoint in &endpoints {
        let problems = attacher.alone(&endpoint.key, |entry| match entry {
            Some(entry) if Arc::ptr_eq(&entry.endpoint, endpoint) => {
                problems_of(netlink, attacher, endpoint, &snapshot)
            }
            _ => Vec::new(),
        });
        let problems = problems.unwrap_or_else(|busy| vec![busy.to_string()]);
        let object = format!("endpoint {}", endpoint.key);
        check.findings.extend(problems.into_iter().map(|problem| Finding { object: object.clone(), problem }));
        for address in endpoint.addresses.iter().map(ipnet::IpNet::addr) {
            check.addresses += 1;
            if let Some(other) = owners.insert(address, endpoint.key.clone()) {
                let problem = format!("is also held by endpoint {other}");
                check.findings.push(Finding { object: format!("address {address} of {}", endpoint.key), problem });
            }
        }
    }
    check.findings.extend(leftovers(attacher, netlink, &snapshot)?);
    Ok(check)
}

fn problems_of(netlink: &mut Netlink, attacher: &Attacher, endpoint: &Arc<Endpoint>, seen: &Snapshot) -> Vec<String> {
    let mut problems = host_side(attacher, netlink, endpoint, seen);
    if !problems.is_empty() {
        // It may have been born after the snapshot.
        problems = endpoints::read(netlink, endpoint)
            .map_or_else(|e| vec![e.to_string()], |now| host_side(attacher, netlink, endpoint, &now));
    }
    for net in &endpoint.addresses {
        if attacher.ledger().leases().holder(net.addr()) != Some(&endpoint.key) {
            problems.push(format!("its address {} is not leased to it", net.addr()));
        }
    }
    // A path that leads elsewhere, or nowhere, says nothing about the namespace itself.
    if let Ok(netns) = Netns::open(&endpoint.netns.path)
        && is_same(&endpoint.netns, netns.id())
    {
        problems.extend(inside(endpoint, &netns).unwrap_or_else(|error| vec![error.to_string()]));
    }
    problems
}

fn host_side(attacher: &Attacher, netlink: &mut Netlink, endpoint: &Arc<Endpoint>, snapshot: &Snapshot) -> Vec<String> {
    if let Some(link) = endpoint.link.filter(|_| !endpoint.attachment.has_host_link()) {
        let is_admitted = attacher.is_admitted(endpoint, link, Detours::of(endpoint, snapshot));
        let problem = "the programs of its parent do not know it as it is".to_owned();
        return (!is_admitted).then_some(problem).into_iter().collect();
    }
    if !endpoint.attachment.has_host_link() {
        return Vec::new();
    }
    let host = endpoint.key.host_link();
    let Some(link) = snapshot.links.get(host.as_str()) else {
        return vec![format!("its link {host} is gone from the host")];
    };
    let mut problems = Vec::new();
    if !attacher.endpoints_as(netlink, snapshot, None).is_settled(&host, endpoint, &link.index) {
        problems.push(format!(
            "the host's side of {host} lacks an address, route, neighbour, filter, limit or port setting"
        ));
    }
    if !attacher.is_admitted(endpoint, link.index, Detours::of(endpoint, snapshot)) {
        problems.push(format!("the programs at {host} do not know it as it is"));
    }
    problems
}

fn inside(endpoint: &Endpoint, netns: &Netns) -> Result<Vec<String>, KernelError> {
    if !endpoint.attachment.has_link() {
        return Ok(Vec::new());
    }
    let refused = |e: weft_netns::NetnsError| {
        KernelError::new("enter the namespace of", format!("{}: {e}", endpoint.key), weft_kernel::Errno::NODEV)
    };
    let mut netlink = netns.within(Netlink::open).map_err(refused)??;
    let snapshot = Snapshot::read(&mut netlink)?;
    let ifname = &endpoint.key.ifname;
    let Some(link) = snapshot.links.get(ifname.as_str()) else {
        return Ok(vec![format!("the container has no interface {ifname}")]);
    };
    let mut problems = Vec::new();
    if endpoint.loan.is_some() && Some(link.index) != endpoint.link {
        problems.push(format!("{ifname} is another link than the device that it was given"));
    }
    if !link.up {
        problems.push(format!("{ifname} is down"));
    }
    for address in endpoint.addresses.iter().filter(|net| !snapshot.addresses.contains(&(link.index, **net))) {
        problems.push(format!("{ifname} lacks its address {address}"));
    }
    let is_there = |to: &IpNet| snapshot.routes.iter().any(|found| found.to == *to && found.is_usable);
    let missing: Vec<_> = endpoint.routes.iter().filter(|route| !is_there(&route.to)).collect();
    if !missing.is_empty() {
        // Plugins behind weft (sbr) move them to tables of their own; the one with the link's number is weft's.
        let moved = route::list_all(&mut netlink)?;
        let is_moved = |to: &IpNet| {
            moved.iter().any(|found| (found.to, found.link) == (*to, link.index) && found.table != link.index)
        };
        let gone = missing.iter().filter(|route| !is_moved(&route.to));
        problems.extend(gone.map(|route| format!("{ifname} lacks its route to {}", route.to)));
    }
    Ok(problems)
}

/// Links with weft's mark that no record names, and leases whose holder has no record.
fn leftovers(attacher: &Attacher, netlink: &mut Netlink, seen: &Snapshot) -> Result<Vec<Finding>, KernelError> {
    let mut findings = Vec::new();
    let endpoints = seen.links.values().filter(|link| endpoints::is_endpoints(&link.name));
    let throttles: BTreeSet<IfName> =
        attacher.ledger().entries().map(|entry| entry.endpoint.key.throttle_link()).collect();
    for link in endpoints.filter(|link| !link.name.starts_with(DEAD_PREFIX)) {
        let Ok(name) = IfName::parse(link.name.as_str()) else { continue };
        let known = throttles.contains(&name) || attacher.ledger().by_host_link(&name).is_some();
        if !known && weft_kernel::link::find(netlink, &link.name)?.is_some_and(|now| now.index == link.index) {
            let problem = "no endpoint has it: it is a leftover, and will be deleted".to_owned();
            findings.push(Finding { object: format!("link {}", link.name), problem });
        }
    }
    let ledger = attacher.ledger();
    for pool in ledger.leases().open_pools() {
        for (address, holder) in ledger.leases().held_in(pool).filter(|(_, holder)| ledger.get(holder).is_none()) {
            let problem = format!("is leased to {holder}, which has no record");
            findings.push(Finding { object: format!("address {address}"), problem });
        }
    }
    Ok(findings)
}
