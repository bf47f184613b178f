//! What a link that came whole into a container needs there, whatever kind it is: addresses, routes, and to be raised.

use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;
use weft_model::IfName;
use weft_netns::Netns;

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
}

impl Interior {
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
    pub(crate) fn settings(&self) -> Vec<Request> {
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
    pub(crate) fn removals(&self, after: &Interior) -> Vec<Request> {
        let index = after.index;
        let routes = self.routes.iter().filter(|route| !after.routes.contains(route));
        let routes = routes.map(|(to, via)| route::delete(*to, Hop::by(*via, index)));
        let addresses = self.addresses.iter().filter(|address| !after.addresses.contains(address));
        routes.chain(addresses.map(|address| address::delete(index, *address))).collect()
    }
}
