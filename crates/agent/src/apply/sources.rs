//! By which of a container's interfaces its packets leave, where it has several: what is sent from an address goes by
//! the interface that has it. So answers leave by the network that the question came from, and no door drops them.
//!
//! ```text
//!   from 10.1.0.5 lookup 1048577 ── default via 10.1.0.1 dev eth0
//!   from 10.2.0.7 lookup 1048578 ── default via 10.2.0.1 dev eth1
//!   from all      lookup main    ── default via 10.1.0.1 dev eth0, 10.2.0.0/24 via 10.2.0.1 dev eth1
//! ```
//!
//! The tables have the links' numbers. A container with one interface needs none of it, unless there is one beside it
//! that is not weft's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use weft_kernel::route::{self, Hop};
use weft_kernel::{KernelError, Netlink, rule};
use weft_model::Endpoint;
use weft_netns::{Netns, NetnsError};
use weft_reconcile::{Target, reconcile};

use super::endpoints;
use crate::attachment;

/// Address and table.
type Rule = (IpAddr, u32);
/// What a table has for an address: destinations and next hops.
type Table = Vec<(IpNet, Option<IpAddr>)>;

/// Rules and tables in one container.
struct Sources {
    inside: Netlink,
    /// Those of interfaces that stay, and of the others as far as they are known.
    tables: BTreeMap<Rule, Table>,
}

impl Target for Sources {
    type Key = Rule;
    type Desired = ();
    type Actual = ();
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<Rule, ()>, KernelError> {
        Ok(rule::list(&mut self.inside)?.into_iter().map(|rule| (rule, ())).collect())
    }

    fn is_settled(&self, _: &Rule, (): &(), (): &()) -> bool {
        true
    }

    /// The table first: a rule that leads to an empty one is passed over.
    fn update(&mut self, key: &Rule, (): &()) -> Result<(), KernelError> {
        let (ip, table) = *key;
        let routes = self.tables.get(key).into_iter().flatten();
        let routes = routes.map(|(to, via)| route::set_in(table, *to, Hop::by(*via, table)));
        let requests: Vec<_> = routes.chain([rule::add(ip, table)]).collect();
        self.inside.run(&requests)
    }

    fn delete(&mut self, key: &Rule) -> Result<(), KernelError> {
        let (ip, table) = *key;
        let routes = self.tables.get(key).into_iter().flatten();
        let routes = routes.map(|(to, via)| route::delete_in(table, *to, Hop::by(*via, table)));
        let requests: Vec<_> = [rule::delete(ip, table)].into_iter().chain(routes).collect();
        self.inside.run(&requests)
    }
}

/// Arranges routes and rules in the namespace of a container that has or had several interfaces: `present` are those
/// that it has now, `moved` those whose routes are other ones than before.
pub fn arrange(
    host: &mut Netlink,
    netns: &Netns,
    present: &[Arc<Endpoint>],
    moved: &[(Arc<Endpoint>, Endpoint)],
) -> Result<(), KernelError> {
    let mut requests = (Vec::new(), Vec::new());
    let mut tables = BTreeMap::new();
    let mut desired = BTreeMap::new();
    for endpoint in present.iter().filter(|endpoint| endpoint.attachment.has_link()) {
        let Some(link) = endpoints::number(host, endpoint)? else { continue };
        for ip in endpoint.addresses.iter().map(IpNet::addr) {
            tables.insert((ip, link), attachment::source_hops(endpoint, ip));
            if present.len() > 1 || !endpoint.source_routes.is_empty() {
                desired.insert((ip, link), ());
            }
        }
    }
    for (before, after) in moved {
        let Some(link) = endpoints::number(host, after)? else { continue };
        let hops = |endpoint| attachment::hops(endpoint, &endpoint.routes);
        let (before, after) = (hops(before), hops(after));
        // A route that takes the place of another one is there before the other goes.
        let new = after.iter().filter(|hop| !before.contains(hop));
        requests.0.extend(new.map(|(to, via)| route::set(*to, Hop::by(*via, link))));
        let old = before.iter().filter(|hop| !after.contains(hop));
        requests.1.extend(old.map(|(to, via)| route::delete(*to, Hop::by(*via, link))));
    }
    let refused = |e: NetnsError| KernelError::new("enter", e.to_string(), weft_kernel::Errno::NODEV);
    let mut inside = netns.within(Netlink::open).map_err(refused)??;
    inside.run(&[requests.0, requests.1].concat())?;
    let outcome = reconcile(&mut Sources { inside, tables }, &desired)?;
    outcome.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}
