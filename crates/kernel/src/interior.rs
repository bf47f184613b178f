//! What a link that came whole into a container needs there, whatever kind it is: addresses, routes, and to be raised.

use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;
use weft_model::{IfName, MacAddr};
use weft_netns::{Netns, NetnsError};

use crate::endpoint::BirthError;
use crate::link::{self, GROUP_DEAD, LOOPBACK};
use crate::netlink::{KernelError, Netlink, Request};
use crate::route::{self, Hop};
use crate::{address, sysctl};

/// A link inside, and what is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interior {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: IfName,
    /// Its link-local address.
    pub link_local: IpAddr,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Its routes: destination, and next hop where that is not the destination itself.
    pub routes: Vec<(IpNet, Option<IpAddr>)>,
    /// Routers on the segment say which addresses and routes there are (RFC 4862).
    pub listens_to_routers: bool,
    /// It forms addresses of its own by what they say.
    pub forms_addresses: bool,
}

impl Interior {
    /// Has the link inside be as `after` from now on, with an MTU of so many bytes: what is not in `after` goes, all
    /// that is in it is set. What goes is gone first, because an address is secondary to one of the same subnet that
    /// was there before it, and goes with that; and with the last address of IPv4 go the routes.
    pub fn change(&self, netns: &Netns, after: &Interior, mtu: u32) -> Result<(), KernelError> {
        let mtu = link::Change { mtu: Some(mtu), ..link::Change::default() };
        let mut requests = self.removals(after);
        requests.push(link::set(after.index, after.name.as_str(), mtu));
        requests.extend(after.settings());
        enter(netns, after.index)?.run(&requests)
    }

    /// As [`Interior::change`], for what goes alone.
    pub fn remove(&self, netns: &Netns, after: &Interior) -> Result<(), KernelError> {
        enter(netns, after.index)?.run(&self.removals(after))
    }

    /// Whether packets pass the link, which takes a network card seconds after it was raised.
    pub fn has_carrier(&self, netns: &Netns) -> Result<bool, KernelError> {
        let found = link::find_index(&mut enter(netns, self.index)?, self.index)?;
        let gone = || KernelError::new("find link", self.name.as_str(), Errno::NODEV);
        found.map(|link| link.running).ok_or_else(gone)
    }

    /// Raises the link and gives it all that it is to have.
    pub(crate) fn furnish(&self, netns: &Netns) -> Result<Netlink, BirthError> {
        let mut inside = netns.within(|| self.prepare())??;
        match inside.run(&self.requests()) {
            // IPv6 is switched off in this namespace; the network says otherwise.
            Err(error) if error.errno == Errno::ACCESS => {
                netns.within(|| sysctl::write(&self.inet6("disable_ipv6"), "0"))??;
                inside.run(&self.requests())?;
            }
            other => other?,
        }
        Ok(inside)
    }

    /// Opens a socket inside, and says whether routers are listened to.
    fn prepare(&self) -> Result<Netlink, KernelError> {
        let written = sysctl::write(&self.inet6("accept_ra"), if self.listens_to_routers { "2" } else { "0" });
        // A kernel without IPv6 has no such setting, and listens to nobody.
        if self.has_ipv6() {
            written?;
        }
        if self.listens_to_routers && !self.forms_addresses {
            sysctl::write(&self.inet6("autoconf"), "0")?;
        }
        Netlink::open()
    }

    fn has_ipv6(&self) -> bool {
        self.listens_to_routers || self.addresses.iter().any(|net| net.addr().is_ipv6())
    }

    fn inet6(&self, setting: &str) -> String {
        format!("net/ipv6/conf/{}/{setting}", self.name)
    }

    fn requests(&self) -> Vec<Request> {
        let index = self.index;
        // First what an agent that died has left buried here.
        let raise_loopback = link::set(LOOPBACK, "lo", link::Change { up: Some(true), ..Default::default() });
        let mut requests = vec![link::delete_group(GROUP_DEAD), raise_loopback];
        requests.extend(link::veth::raise(index, self.name.as_str(), None));
        requests.extend(self.settings());
        requests
    }

    /// Addresses and routes.
    fn settings(&self) -> Vec<Request> {
        let index = self.index;
        let mut requests: Vec<_> = self.addresses.iter().map(|net| address::add(index, *net)).collect();
        let ipv6 = self.addresses.iter().map(IpNet::addr).filter(IpAddr::is_ipv6);
        requests.extend(ipv6.map(|ip| route::set_local(ip, index)));
        if self.has_ipv6() {
            let link_local = IpNet::new(self.link_local, 64).expect("64 is a length of IPv6 prefixes");
            requests.push(address::add(index, link_local));
        }
        requests.extend(self.routes.iter().map(|(to, via)| route::set(*to, Hop::by(*via, index))));
        requests
    }

    /// What goes if the link is to be as `after` from now on.
    fn removals(&self, after: &Interior) -> Vec<Request> {
        let index = after.index;
        let routes = self.routes.iter().filter(|route| !after.routes.contains(route));
        let routes = routes.map(|(to, via)| route::delete(*to, Hop::by(*via, index)));
        let addresses = self.addresses.iter().filter(|address| !after.addresses.contains(address));
        routes.chain(addresses.map(|address| address::delete(index, *address))).collect()
    }
}

/// Addresses that the kernel inside formed by what routers say of prefixes, with the mark of the link's Ethernet
/// address in them, and whether each is known to be nobody else's (RFC 4862, section 5.4).
pub fn formed(netns: &Netns, index: u32, mac: MacAddr) -> Result<Vec<(IpNet, bool)>, KernelError> {
    let mut inside = enter(netns, index)?;
    let mark = mac.link_local().octets();
    let is_formed = |net: &IpNet| match net {
        IpNet::V6(net) => !net.addr().is_unicast_link_local() && net.addr().octets()[8..] == mark[8..],
        IpNet::V4(_) => false,
    };
    let found = address::list_settled(&mut inside, index)?;
    Ok(found.into_iter().filter(|(net, _)| is_formed(net)).collect())
}

/// A socket in the namespace that the link with this number is in.
pub(crate) fn enter(netns: &Netns, index: u32) -> Result<Netlink, KernelError> {
    let refused =
        |e: NetnsError| KernelError::new("enter", format!("the namespace of link {index}: {e}"), Errno::NODEV);
    netns.within(Netlink::open).map_err(refused)?
}
