//! Maps of which only the keys count.

use std::net::IpAddr;
use std::path::Path;

use bytemuck::Pod;
use ipnet::IpNet;

use crate::address::{address_of, fixed_bits, ip_of, net_of};
use crate::settings::Settings;
use crate::{DataplaneError, Table, abi};

/// Something that is in such a map or not.
pub trait Member: Ord + Copy {
    /// As the programs have it.
    type Key: Pod;
    /// The map.
    const NAME: &'static str;

    /// The key of this one.
    fn key(&self) -> Self::Key;

    /// What has this key; `None` of one that no agent writes.
    fn of(key: &Self::Key) -> Option<Self>;
}

/// A set of `T`. Each change of it counts for living connections, too.
#[derive(Debug)]
pub struct Set<T: Member> {
    table: Table<T::Key, u8>,
    settings: Settings,
}

impl<T: Member> Set<T> {
    pub(crate) fn open(directory: &Path, settings: &Settings) -> Result<Self, DataplaneError> {
        Ok(Self { table: Table::open(directory, T::NAME)?, settings: settings.clone() })
    }

    /// Puts `member` in.
    pub fn insert(&self, member: &T) -> Result<(), DataplaneError> {
        self.table.put(&member.key(), &1)?;
        self.settings.renew()
    }

    /// Takes `member` out, if it is in.
    pub fn remove(&self, member: &T) -> Result<(), DataplaneError> {
        self.table.remove(&member.key())?;
        self.settings.renew()
    }

    /// Whether `member` is in.
    pub fn has(&self, member: &T) -> Result<bool, DataplaneError> {
        Ok(self.table.get(&member.key())?.is_some())
    }

    /// Every member.
    pub fn list(&self) -> Vec<T> {
        self.table.keys().iter().filter_map(T::of).collect()
    }
}

/// Endpoints of the network with this number may send from this prefix besides their own addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowance {
    /// Number of the network on this host.
    pub network: u32,
    /// Without host bits.
    pub prefix: IpNet,
}

impl Member for Allowance {
    type Key = abi::allowed_key;
    const NAME: &'static str = "weft_allowed";

    fn key(&self) -> abi::allowed_key {
        let length = abi::ALLOWED_NETWORK_BITS + fixed_bits(self.prefix.addr(), self.prefix.prefix_len());
        abi::allowed_key { length, network: self.network, prefix: address_of(self.prefix.network()) }
    }

    fn of(key: &abi::allowed_key) -> Option<Self> {
        let prefix = net_of(&key.prefix, key.length.checked_sub(abi::ALLOWED_NETWORK_BITS)?)?;
        Some(Self { network: key.network, prefix })
    }
}

/// Endpoints of one network reach those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peering {
    /// Number of the network of who sends.
    pub from: u32,
    /// Number of the network of who gets it.
    pub to: u32,
}

impl Member for Peering {
    type Key = abi::peering;
    const NAME: &'static str = "weft_peers";

    fn key(&self) -> abi::peering {
        abi::peering { from: self.from, to: self.to }
    }

    fn of(key: &abi::peering) -> Option<Self> {
        Some(Self { from: key.from, to: key.to })
    }
}

/// An address of a host, at which tunnels end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostAddress(pub IpAddr);

impl Member for HostAddress {
    type Key = abi::address;
    const NAME: &'static str = "weft_hosts";

    fn key(&self) -> abi::address {
        address_of(self.0)
    }

    fn of(key: &abi::address) -> Option<Self> {
        Some(Self(ip_of(key)))
    }
}
