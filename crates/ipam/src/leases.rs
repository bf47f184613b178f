//! The book of leases: held addresses, and the order in which others became free.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use weft_model::{AddressRange, EndpointKey, Pool};

use crate::interval::IntervalSet;

/// Releases remembered per pool. What was released longer ago counts as never leased: it has been free for at least
/// this many releases, and remembering more would let a /64 under churn grow without bound.
pub const RECENT_MAX: usize = 4096;

/// An address that was asked for, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address {address} is held by {holder}")]
pub struct Held {
    /// The address.
    pub address: IpAddr,
    /// Its holder.
    pub holder: EndpointKey,
}

/// How full a pool is, in addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What could be leased if nothing were held.
    pub capacity: u128,
    /// What is held.
    pub held: u128,
}

/// Everything held, by pool.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    pools: BTreeMap<IpNet, PoolLeases>,
    /// Held, in no pool that is open: their network is gone or not read yet.
    strays: BTreeMap<IpAddr, EndpointKey>,
}

/// `touched` holds the numbers of `held` and `recent` together: its gaps are what has been free for longest.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolLeases {
    held: BTreeMap<IpAddr, EndpointKey>,
    recent: BTreeMap<u64, IpAddr>,
    released: BTreeMap<IpAddr, u64>,
    touched: IntervalSet,
    releases: u64,
}

impl Leases {
    /// Begins to lease from `subnet`. Addresses held in it before stay held.
    pub fn open(&mut self, subnet: IpNet) {
        let pool = self.pools.entry(subnet).or_default();
        let inside: Vec<IpAddr> = self.strays.keys().copied().filter(|ip| subnet.contains(ip)).collect();
        for ip in inside {
            if let Some(holder) = self.strays.remove(&ip) {
                pool.hold(ip, holder);
            }
        }
    }

    /// Stops to lease from `subnet`. What is held stays held.
    pub fn close(&mut self, subnet: IpNet) {
        if let Some(pool) = self.pools.remove(&subnet) {
            self.strays.extend(pool.held);
        }
    }

    /// Who has `address`.
    pub fn holder(&self, address: IpAddr) -> Option<&EndpointKey> {
        match self.pool_of(address) {
            Some(pool) => pool.held.get(&address),
            None => self.strays.get(&address),
        }
    }

    /// Gives `address` to `holder`; refused while another has it, and nothing new if `holder` has it already.
    pub fn hold(&mut self, address: IpAddr, holder: &EndpointKey) -> Result<(), Held> {
        match self.holder(address) {
            Some(other) if other == holder => return Ok(()),
            Some(other) => return Err(Held { address, holder: other.clone() }),
            None => {}
        }
        match self.pool_of_mut(address) {
            Some(pool) => pool.hold(address, holder.clone()),
            None => drop(self.strays.insert(address, holder.clone())),
        }
        Ok(())
    }

    /// Takes `address` back from `holder`; nothing happens if another or nobody has it.
    pub fn release(&mut self, address: IpAddr, holder: &EndpointKey) {
        if self.holder(address) != Some(holder) {
            return;
        }
        match self.pool_of_mut(address) {
            Some(pool) => pool.release(address),
            None => drop(self.strays.remove(&address)),
        }
    }

    /// What is held inside `subnet`, ascending.
    pub fn held_in(&self, subnet: &IpNet) -> impl Iterator<Item = (IpAddr, &EndpointKey)> {
        let span = subnet.network()..=subnet.broadcast();
        let pooled = self.pools.get(subnet).into_iter().flat_map(|pool| &pool.held);
        pooled.chain(self.strays.range(span)).map(|(ip, key)| (*ip, key))
    }

    /// How full `pool` is.
    pub fn usage(&self, pool: &Pool) -> Usage {
        let capacity = pool.ranges.iter().map(|range| leasable(pool, range)).fold(0, u128::saturating_add);
        Usage { capacity, held: self.held_in(&pool.subnet).count() as u128 }
    }

    /// Addresses released lately in `subnet`, the longest free first: what a rewritten ledger must keep.
    pub fn recent_in(&self, subnet: &IpNet) -> impl Iterator<Item = IpAddr> {
        self.pools.get(subnet).into_iter().flat_map(|pool| pool.recent.values().copied())
    }

    /// The pools that are open.
    pub fn open_pools(&self) -> impl Iterator<Item = &IpNet> {
        self.pools.keys()
    }

    /// Notes that `address` was released, by somebody no longer known: how a rewritten ledger is read back.
    pub fn note_released(&mut self, address: IpAddr) {
        if let Some(pool) = self.pool_of_mut(address)
            && !pool.held.contains_key(&address)
        {
            pool.note_released(address);
        }
    }

    pub(crate) fn pool(&self, subnet: &IpNet) -> Option<&PoolLeases> {
        self.pools.get(subnet)
    }

    /// Pools are disjoint, so the last one that begins at or below the address is the only candidate.
    fn pool_of(&self, address: IpAddr) -> Option<&PoolLeases> {
        let subnet = self.subnet_of(address)?;
        self.pools.get(&subnet)
    }

    fn pool_of_mut(&mut self, address: IpAddr) -> Option<&mut PoolLeases> {
        let subnet = self.subnet_of(address)?;
        self.pools.get_mut(&subnet)
    }

    fn subnet_of(&self, address: IpAddr) -> Option<IpNet> {
        let (subnet, _) = self.pools.range(..=IpNet::from(address)).next_back()?;
        subnet.contains(&address).then_some(*subnet)
    }
}

impl PoolLeases {
    /// The lowest address of `first..=last` that nobody holds and nobody released lately.
    pub(crate) fn first_untouched(&self, first: IpAddr, last: IpAddr) -> Option<IpAddr> {
        self.touched.first_absent(number(first), number(last)).map(|n| address(first, n))
    }

    /// Addresses released lately, the longest free first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = IpAddr> {
        self.recent.values().copied()
    }

    fn hold(&mut self, ip: IpAddr, holder: EndpointKey) {
        if let Some(at) = self.released.remove(&ip) {
            self.recent.remove(&at);
        }
        self.held.insert(ip, holder);
        self.touched.insert(number(ip));
    }

    fn release(&mut self, ip: IpAddr) {
        self.held.remove(&ip);
        self.note_released(ip);
    }

    fn note_released(&mut self, ip: IpAddr) {
        if let Some(earlier) = self.released.insert(ip, self.releases) {
            self.recent.remove(&earlier);
        }
        self.recent.insert(self.releases, ip);
        self.touched.insert(number(ip));
        self.releases += 1;
        if self.recent.len() > RECENT_MAX
            && let Some((_, forgotten)) = self.recent.pop_first()
        {
            self.released.remove(&forgotten);
            self.touched.remove(number(forgotten));
        }
    }
}

/// Addresses of `range` that may be leased at all.
fn leasable(pool: &Pool, range: &AddressRange) -> u128 {
    let within = |r: &AddressRange| -> u128 {
        let (first, last) = (number(r.first).max(number(range.first)), number(r.last).min(number(range.last)));
        last.checked_sub(first).map_or(0, |span| span.saturating_add(1))
    };
    let single = |ip: IpAddr| AddressRange { first: ip, last: ip };
    let excluded: u128 = pool.excluded.iter().map(within).sum();
    let apart = |ip: &IpAddr| !pool.excluded.iter().any(|range| range.contains(*ip));
    let mut own = vec![pool.subnet.network(), pool.subnet.broadcast()];
    own.extend(pool.gateway);
    own.sort();
    own.dedup();
    let own: u128 =
        own.into_iter().filter(|ip| pool.is_reserved(*ip)).filter(apart).map(|ip| within(&single(ip))).sum();
    within(range).saturating_sub(excluded).saturating_sub(own)
}

pub(crate) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address of `like`'s family with this number.
pub(crate) fn address(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    }
}
