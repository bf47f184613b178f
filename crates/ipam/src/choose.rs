//! The choice of an endpoint's addresses: those it asked for, else those free for longest.

use std::net::IpAddr;

use weft_model::{AddressRange, EndpointKey, Family, Ipam, Network, NetworkName, Pool};

use crate::leases::{Leases, address, number};

/// What an endpoint wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Addresses it asks for by value, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// What becomes of families that it names no address of.
    pub rest: Rest,
}

/// Families of which an endpoint names no address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rest {
    /// It gets one from the pools.
    #[default]
    Filled,
    /// It has none: somebody else chose all addresses that it is to have.
    Without,
}

/// Why no addresses were given. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Every address of a family is held.
    #[error(
        "network {network}: no free {family:?} address: {held} of {capacity} are held; see who holds them with \
         `weft ipam show {network}`, or create a network with a larger pool"
    )]
    Exhausted {
        /// The network.
        network: NetworkName,
        /// The family that ran out.
        family: Family,
        /// Addresses held.
        held: u128,
        /// Addresses that may be leased at all.
        capacity: u128,
    },
    /// The address asked for has a holder.
    #[error("network {network}: address {address} is held by {holder}: ask for another, or for none")]
    Taken {
        /// The network.
        network: NetworkName,
        /// The address.
        address: IpAddr,
        /// Who has it.
        holder: EndpointKey,
    },
    /// The address asked for is in no pool of the network.
    #[error("network {network}: address {address} lies in none of its pools ({pools}): ask for one of those")]
    Outside {
        /// The network.
        network: NetworkName,
        /// The address.
        address: IpAddr,
        /// The pools, as text.
        pools: String,
    },
    /// The address asked for is a gateway, excluded, or has a meaning of its own.
    #[error(
        "network {network}: address {address} is reserved (gateway, excluded, network or broadcast): ask for another"
    )]
    Reserved {
        /// The network.
        network: NetworkName,
        /// The address.
        address: IpAddr,
    },
    /// Two addresses of one family were asked for.
    #[error("network {network}: both {first} and {second} were asked for: ask for one address per family")]
    TwoOfOneFamily {
        /// The network.
        network: NetworkName,
        /// One of them.
        first: IpAddr,
        /// The other.
        second: IpAddr,
    },
}

impl Leases {
    /// The addresses that a new endpoint of `network` gets, one per family of the network unless it is to do without or
    /// others give them, IPv4 first. Changes nothing.
    pub fn choose<'n>(&self, network: &'n Network, request: &Request) -> Result<Vec<(IpAddr, &'n Pool)>, Refusal> {
        let mut chosen: Vec<(IpAddr, &Pool)> = Vec::with_capacity(2);
        let is_filled = request.rest == Rest::Filled && network.ipam == Ipam::Pools;
        for address in &request.addresses {
            let pool = self.grant(network, *address)?;
            if let Some((first, _)) = chosen.iter().find(|(ip, _)| ip.is_ipv4() == address.is_ipv4()) {
                let (network, first, second) = (network.name.clone(), *first, *address);
                return Err(Refusal::TwoOfOneFamily { network, first, second });
            }
            chosen.push((*address, pool));
        }
        for family in network.families().filter(|_| is_filled) {
            if !chosen.iter().any(|(ip, _)| Family::of(*ip) == family) {
                chosen.push(self.next(network, family)?);
            }
        }
        chosen.sort_by_key(|(ip, _)| Family::of(*ip));
        Ok(chosen)
    }

    /// The pool of an address that was asked for by value, if it is to be had.
    fn grant<'n>(&self, network: &'n Network, address: IpAddr) -> Result<&'n Pool, Refusal> {
        let name = || network.name.clone();
        let pool = network.pools.iter().find(|pool| pool.subnet.contains(&address)).ok_or_else(|| {
            let pools: Vec<_> = network.pools.iter().map(|pool| pool.subnet.to_string()).collect();
            Refusal::Outside { network: name(), address, pools: pools.join(", ") }
        })?;
        if pool.is_reserved(address) {
            return Err(Refusal::Reserved { network: name(), address });
        }
        match self.holder(address) {
            Some(holder) => Err(Refusal::Taken { network: name(), address, holder: holder.clone() }),
            None => Ok(pool),
        }
    }

    /// The address of `family` that has been free for longest.
    fn next<'n>(&self, network: &'n Network, family: Family) -> Result<(IpAddr, &'n Pool), Refusal> {
        let untouched = network.ranges(family).find_map(|(pool, range)| Some((self.untouched(pool, range)?, pool)));
        let chosen = untouched.or_else(|| self.longest_free(network, family));
        chosen.ok_or_else(|| {
            let pools = network.pools.iter().filter(|pool| Family::of_net(&pool.subnet) == family);
            let usage: Vec<_> = pools.map(|pool| self.usage(pool)).collect();
            Refusal::Exhausted {
                network: network.name.clone(),
                family,
                held: usage.iter().map(|u| u.held).sum(),
                capacity: usage.iter().map(|u| u.capacity).fold(0, u128::saturating_add),
            }
        })
    }

    /// The lowest address of `range` that may be leased and is neither held nor released lately. Each round steps over
    /// one reserved range, so there are no more rounds than those.
    fn untouched(&self, pool: &Pool, range: AddressRange) -> Option<IpAddr> {
        let mut from = range.first;
        loop {
            let candidate = match self.pool(&pool.subnet) {
                Some(leases) => leases.first_untouched(from, range.last)?,
                None => from,
            };
            if !pool.is_reserved(candidate) {
                return Some(candidate);
            }
            let blocking = pool.excluded.iter().find(|excluded| excluded.contains(candidate));
            let end = number(blocking.map_or(candidate, |excluded| excluded.last));
            from = address(candidate, end.checked_add(1).filter(|next| *next <= number(range.last))?);
        }
    }

    fn longest_free<'n>(&self, network: &'n Network, family: Family) -> Option<(IpAddr, &'n Pool)> {
        let pools = network.pools.iter().filter(|pool| Family::of_net(&pool.subnet) == family);
        pools.into_iter().find_map(|pool| {
            let leasable = |ip: &IpAddr| !pool.is_reserved(*ip) && pool.ranges.iter().any(|range| range.contains(*ip));
            Some((self.pool(&pool.subnet)?.recent().find(leasable)?, pool))
        })
    }
}
