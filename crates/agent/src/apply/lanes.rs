//! The way that IPv6 packets take to a stand-in's program in ipvlan's modes `l3` and `l3s`.
//!
//! There the kernel routes what a container sends in the host's namespace, and names the stand-in as the link to leave
//! by (`ipvlan_process_outbound` in drivers/net/ipvlan/ipvlan_core.c). IPv4 takes that for an order, whatever routes
//! there are, and has no neighbour to ask for, because an ifb does not speak ARP. To IPv6 it is a wish: it would give
//! to the host itself what is for the host, and send the rest as the host's routes say, past the program that checks
//! who sent it. So a rule in front of all others leads to a table that has the stand-in alone.
//!
//! ```text
//!   0:     from all oif weftl-eno1 lookup 1048577 ── default dev weftl-eno1, unreachable while that is down
//!   0:     from all lookup local
//!   32766: from all lookup main
//! ```
//!
//! The table has the stand-in's number.

use std::collections::BTreeMap;

use ipnet::IpNet;
use weft_kernel::route::{self, Hop};
use weft_kernel::rule::{self, Front, LinkRule};
use weft_kernel::{Errno, KernelError, Netlink, link};
use weft_model::{Family, IfName};
use weft_reconcile::Target;

/// Rules and tables of one host.
pub struct Lanes<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
}

impl Target for Lanes<'_> {
    type Key = IfName;
    type Desired = ();
    type Actual = Vec<LinkRule>;
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<IfName, Vec<LinkRule>>, KernelError> {
        let mut found: BTreeMap<IfName, Vec<LinkRule>> = BTreeMap::new();
        for rule in Front::read(self.netlink)?.rules {
            let Ok(name) = IfName::parse(rule.link.as_str()) else { continue };
            found.entry(name).or_default().push(rule);
        }
        Ok(found)
    }

    /// Asked for by [`Lanes::update`], one by one: they are few.
    fn is_settled(&self, _: &IfName, (): &(), _: &Vec<LinkRule>) -> bool {
        false
    }

    /// The table first: a rule that leads to an empty one is passed over.
    fn update(&mut self, name: &IfName, (): &()) -> Result<(), KernelError> {
        let absent = || KernelError::new("find parent", name.as_str(), Errno::NODEV);
        let index = link::find(self.netlink, name.as_str())?.ok_or_else(absent)?.index;
        let has = route::list_in(self.netlink, index)?;
        let missing = routes(index).into_iter().filter(|route| !has.contains(route));
        let mut requests: Vec<_> = missing.map(|(to, hop)| route::set_in(index, to, hop)).collect();
        let front = Front::read(self.netlink)?;
        let (own, stale) = of(&front, name, index);
        if !own.is_some_and(|rule| rule.is_in_front) {
            requests.extend(front.lead(name.as_str(), index));
        }
        requests.extend(stale.flat_map(|rule| clear(&rule.link, rule.table)));
        self.netlink.run(&requests)
    }

    fn delete(&mut self, name: &IfName) -> Result<(), KernelError> {
        let front = Front::read(self.netlink)?;
        let own = front.rules.iter().filter(|rule| rule.link == name.as_str());
        self.netlink.run(&own.flat_map(|rule| clear(&rule.link, rule.table)).collect::<Vec<_>>())
    }
}

/// Whether what endpoints send by the stand-in with this number comes to its program.
pub fn is_open(netlink: &mut Netlink, name: &IfName, index: u32) -> Result<bool, KernelError> {
    let front = Front::read(netlink)?;
    let is_led = of(&front, name, index).0.is_some_and(|rule| rule.is_in_front);
    let has = route::list_in(netlink, index)?;
    Ok(is_led && routes(index).iter().all(|route| has.contains(route)))
}

/// The requests that take a rule away, and the table that it leads to.
pub fn clear(link: &str, table: u32) -> Vec<weft_kernel::Request> {
    let routes = routes(table).into_iter().map(|(to, hop)| route::delete_in(table, to, hop));
    [rule::delete_by_link(link, table)].into_iter().chain(routes).collect()
}

/// The rule of the stand-in with this name and number, and those of earlier ones of that name.
fn of<'a>(front: &'a Front, name: &IfName, index: u32) -> (Option<&'a LinkRule>, impl Iterator<Item = &'a LinkRule>) {
    let name = name.clone();
    let own = front.rules.iter().find(|rule| rule.link == name.as_str() && rule.table == index);
    (own, front.rules.iter().filter(move |rule| rule.link == name.as_str() && rule.table != index))
}

/// What is in the table of the stand-in with this number.
fn routes(index: u32) -> [(IpNet, Hop); 2] {
    [Hop::Link(index), Hop::Unreachable].map(|hop| (Family::IPv6.everything(), hop))
}
