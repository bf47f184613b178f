//! What an endpoint may do, as the programs have it: written before its link is raised, taken back when it is down.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use weft_model::MacAddr;

use crate::address::{address_of, ip_of};
use crate::{Dataplane, DataplaneError, abi};

/// An endpoint to be let in. Without it, its link passes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Its own addresses; it may send from these, and from the link-local one of its MAC address.
    pub addresses: Vec<IpAddr>,
    /// Without host bits: it may send from these besides, whatever its network says.
    pub allowed: Vec<IpNet>,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Number of its network on this host.
    pub network: u32,
    /// Bytes, behind the Ethernet header.
    pub mtu: u32,
    /// It does not reach others of its network.
    pub isolated: bool,
    /// Its packets go by the host's stack, where something waits for them.
    pub by_stack: bool,
    /// Number of the link that holds back what it sends.
    pub throttle: Option<u32>,
    /// Number of the bridge that its link is a port of.
    pub bridge: Option<u32>,
    /// Where it is on an Ethernet segment, if it is on one.
    pub seat: Option<Seat>,
    /// Its addresses are leased by DHCP.
    pub leases: bool,
}

/// The place of an endpoint on an Ethernet segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Number of its parent: its own link, or the one that this sits on.
    pub parent: u32,
    /// Number of the parent's segment.
    pub segment: u32,
    /// The endpoint has an Ethernet address of its own; else its link-local address is not made of it.
    pub is_station: bool,
    /// Made of the address that tells it from its neighbours where it has no Ethernet address of its own.
    pub link_local: IpAddr,
    /// What it sends to neighbours goes by the physical switch.
    pub by_switch: bool,
    /// It does not reach the host, nor the host it.
    pub without_host: bool,
    /// Inode of the network namespace that its link is in, where its parent does not tell whose a packet is; else 0.
    pub namespace: u32,
}

impl Admission {
    fn entry(&self) -> abi::endpoint {
        let first = |v4: bool| self.addresses.iter().copied().find(|ip| ip.is_ipv4() == v4);
        let (ipv4, ipv6) = (first(true), first(false));
        let has_more = self.addresses.iter().any(|ip| Some(*ip) != ipv4 && Some(*ip) != ipv6);
        abi::endpoint {
            ipv4: ipv4.map(address_of).unwrap_or_default(),
            ipv6: ipv6.map(address_of).unwrap_or_default(),
            link_local: address_of(self.link_local()),
            mac: self.mac.0,
            network: self.network,
            flags: flag(has_more, abi::ENDPOINT_HAS_MORE)
                | flag(self.isolated, abi::ENDPOINT_ISOLATED)
                | flag(self.by_stack, abi::ENDPOINT_BY_STACK)
                | flag(!self.allowed.is_empty(), abi::ENDPOINT_HAS_ALLOWANCES)
                | flag(self.seat.is_some_and(|seat| seat.by_switch), abi::ENDPOINT_BY_SWITCH)
                | flag(self.seat.is_some_and(|seat| seat.without_host), abi::ENDPOINT_WITHOUT_HOST)
                | flag(self.leases, abi::ENDPOINT_LEASES),
            mtu: self.mtu,
            throttle: self.throttle.unwrap_or(0),
            bridge: self.bridge.unwrap_or(0),
            parent: self.seat.map_or(0, |seat| seat.parent),
            namespace: self.seat.map_or(0, |seat| seat.namespace),
            ..abi::endpoint::default()
        }
    }

    fn link_local(&self) -> IpAddr {
        self.seat.map_or_else(|| IpAddr::V6(self.mac.link_local()), |seat| seat.link_local)
    }

    /// The addresses by which others find it: its own, and the link-local one where nothing else tells whose that is.
    fn held(&self) -> impl Iterator<Item = IpAddr> {
        let by_address = self.seat.filter(|seat| !seat.is_station);
        self.addresses.iter().copied().chain(by_address.map(|seat| seat.link_local))
    }

    fn station(&self) -> Option<abi::station_key> {
        let seat = self.seat.filter(|seat| seat.is_station)?;
        Some(abi::station_key { segment: seat.segment, mac: self.mac.0, ..abi::station_key::default() })
    }
}

fn flag(is_set: bool, flag: u32) -> u32 {
    if is_set { flag } else { 0 }
}

/// The addresses that an entry names; it may hold others.
fn addresses(entry: &abi::endpoint) -> [abi::address; 3] {
    [entry.ipv4, entry.ipv6, entry.link_local]
}

fn has_more(entry: &abi::endpoint) -> bool {
    entry.flags & abi::ENDPOINT_HAS_MORE != 0
}

impl Dataplane {
    /// Lets the endpoint behind the link with this number in. May be run again, also with other addresses: what it had
    /// before is nobody's then.
    pub fn admit(&self, link: u32, admission: &Admission) -> Result<(), DataplaneError> {
        let before = self.endpoints.get(&link)?;
        let entry = admission.entry();
        for ip in admission.held() {
            self.addresses.put(&address_of(ip), &abi::holder { link, network: admission.network })?;
        }
        self.endpoint_allowed.set(link, &admission.allowed)?;
        self.endpoints.put(&link, &entry)?;
        let is_other = |before: &abi::endpoint| addresses(before) != addresses(&entry) || has_more(before);
        if let Some(before) = before.filter(is_other) {
            let kept: Vec<_> = admission.held().map(address_of).collect();
            self.free(link, &before, &kept)?;
        }
        if let Some(station) = admission.station() {
            self.stations.put(&station, &abi::station { link })?;
        }
        self.settings.renew()
    }

    /// Whether the endpoint behind the link is let in just so.
    pub fn has_admitted(&self, link: u32, admission: &Admission) -> Result<bool, DataplaneError> {
        if self.endpoints.get(&link)? != Some(admission.entry()) {
            return Ok(false);
        }
        for ip in admission.held() {
            let holder = abi::holder { link, network: admission.network };
            if self.addresses.get(&address_of(ip))? != Some(holder) {
                return Ok(false);
            }
        }
        if let Some(station) = admission.station()
            && self.stations.get(&station)? != Some(abi::station { link })
        {
            return Ok(false);
        }
        self.endpoint_allowed.is(link, &admission.allowed)
    }

    /// Lets nothing of the link pass any more, and forgets what was counted of it.
    pub fn dismiss(&self, link: u32) -> Result<(), DataplaneError> {
        if let Some(entry) = self.endpoints.get(&link)? {
            self.endpoints.remove(&link)?;
            self.free(link, &entry, &[])?;
            if entry.parent != 0 {
                self.dismiss_station(link, &entry)?;
            }
            self.settings.renew()?;
        }
        self.endpoint_allowed.set(link, &[])?;
        counter_keys(link).try_for_each(|key| self.counters.remove(&key))
    }

    /// Has the addresses be nobody's that the endpoint behind the link had by `entry`, but for those that are kept.
    fn free(&self, link: u32, entry: &abi::endpoint, kept: &[abi::address]) -> Result<(), DataplaneError> {
        let held = if has_more(entry) { self.addresses.keys() } else { addresses(entry).to_vec() };
        for address in held.iter().filter(|address| !kept.contains(address)) {
            if self.addresses.get(address)?.is_some_and(|holder| holder.link == link) {
                self.addresses.remove(address)?;
            }
        }
        Ok(())
    }

    /// Only of a parent that is gone already it is not known which segment it was part of.
    fn dismiss_station(&self, link: u32, entry: &abi::endpoint) -> Result<(), DataplaneError> {
        let mut found = Vec::new();
        match self.parents.get(&entry.parent)? {
            Some(abi::parent { segment, .. }) => {
                let key = abi::station_key { segment, mac: entry.mac, ..abi::station_key::default() };
                let is_its = self.stations.get(&key)? == Some(abi::station { link });
                found.extend(is_its.then_some(key));
            }
            None => self.stations.each(|key, station| found.extend((station.link == link).then_some(key)))?,
        }
        found.iter().try_for_each(|key| self.stations.remove(key))
    }

    /// An address of the endpoint behind the link.
    pub fn address_behind(&self, link: u32) -> Result<Option<IpAddr>, DataplaneError> {
        let Some(entry) = self.endpoints.get(&link)? else { return Ok(None) };
        Ok([entry.ipv4, entry.ipv6].iter().find(|address| address.bytes != [0; 16]).map(ip_of))
    }

    /// Numbers of the links whose endpoints are let in.
    pub fn admitted(&self) -> Vec<u32> {
        self.endpoints.keys()
    }

    /// Whether packets among endpoints go past the host's stack.
    pub fn has_short_way(&self) -> Result<bool, DataplaneError> {
        self.settings.has(abi::SETTING_SHORT_WAY)
    }

    /// Lets packets among endpoints go past the host's stack, or not any more: those of living connections, too.
    pub fn set_short_way(&self, is_open: bool) -> Result<(), DataplaneError> {
        self.settings.set(abi::SETTING_SHORT_WAY, is_open)
    }

    /// What was counted on a link: packets and bytes by direction and reason, all CPUs together.
    pub fn counted(&self, link: u32) -> Result<BTreeMap<(u16, u16), abi::counter>, DataplaneError> {
        let mut counted = BTreeMap::new();
        for key in counter_keys(link) {
            let per_cpu = self.counters.per_cpu(&key)?;
            let sum = per_cpu.iter().fold(abi::counter::default(), |sum, one| abi::counter {
                packets: sum.packets + one.packets,
                bytes: sum.bytes + one.bytes,
            });
            if sum.packets > 0 {
                counted.insert((key.direction, key.reason), sum);
            }
        }
        Ok(counted)
    }
}

fn counter_keys(link: u32) -> impl Iterator<Item = abi::counter_key> {
    let directions = [abi::DIRECTION_OUT, abi::DIRECTION_IN];
    directions.into_iter().flat_map(move |direction| {
        (0..abi::REASON_MAX).map(move |reason| abi::counter_key {
            link,
            direction: direction as u16,
            reason: reason as u16,
        })
    })
}
