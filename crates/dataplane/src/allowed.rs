//! What single endpoints may send from besides their own addresses.
//!
//! The map is a tree of the keys' bits, and lists them from left to right: those of one link follow each other, and a
//! front of zeros comes before them. So what one endpoint is allowed is read without a look at what others are.

use std::collections::HashSet;
use std::path::Path;

use ipnet::IpNet;

use crate::address::{address_of, fixed_bits};
use crate::{DataplaneError, Table, abi};

/// Bits of an address.
const ADDRESS_BITS: u32 = 128;

/// The map, of which one endpoint's part is read and written as a whole.
#[derive(Debug)]
pub(crate) struct Allowed(Table<abi::endpoint_allowed_key, u8>);

impl Allowed {
    pub(crate) fn open(directory: &Path) -> Result<Self, DataplaneError> {
        Ok(Self(Table::open(directory, "weft_endpoint_allowed")?))
    }

    /// Allows the endpoint behind the link `prefixes`, and nothing else.
    pub(crate) fn set(&self, link: u32, prefixes: &[IpNet]) -> Result<(), DataplaneError> {
        if !prefixes.is_empty() {
            self.0.put(&front(link), &(abi::ENDPOINT_ALLOWED_FRONT as u8))?;
        }
        let wanted = keys(link, prefixes);
        for key in &wanted {
            self.0.put(key, &(abi::ENDPOINT_ALLOWED_PREFIX as u8))?;
        }
        let Some(found) = self.behind_front(link)? else { return Ok(()) };
        found.difference(&wanted).try_for_each(|key| self.0.remove(key))?;
        if prefixes.is_empty() { self.0.remove(&front(link)) } else { Ok(()) }
    }

    /// Whether the endpoint behind the link is allowed just `prefixes`.
    pub(crate) fn is(&self, link: u32, prefixes: &[IpNet]) -> Result<bool, DataplaneError> {
        let wanted = (!prefixes.is_empty()).then(|| keys(link, prefixes));
        Ok(self.behind_front(link)? == wanted)
    }

    /// What is there of the link; `None` if there is no front.
    fn behind_front(&self, link: u32) -> Result<Option<HashSet<abi::endpoint_allowed_key>>, DataplaneError> {
        // The map answers with the longest prefix that covers the front: its own entry, or one that somebody made.
        if self.0.get(&front(link))? != Some(abi::ENDPOINT_ALLOWED_FRONT as u8) {
            return Ok(None);
        }
        let (mut found, mut last) = (HashSet::new(), front(link));
        while let Some(key) = self.0.key_after(&last)?.filter(|key| key.link == link) {
            // Or it was taken away meanwhile, and the map begins anew.
            if !found.insert(key) {
                break;
            }
            last = key;
        }
        Ok(Some(found))
    }
}

fn keys(link: u32, prefixes: &[IpNet]) -> HashSet<abi::endpoint_allowed_key> {
    let key = |net: &IpNet| abi::endpoint_allowed_key {
        length: abi::ALLOWED_LINK_BITS + fixed_bits(net.addr(), net.prefix_len()),
        link,
        prefix: address_of(net.network()),
    };
    prefixes.iter().map(key).collect()
}

/// The first of all keys of the link.
fn front(link: u32) -> abi::endpoint_allowed_key {
    let length = abi::ALLOWED_LINK_BITS + ADDRESS_BITS;
    abi::endpoint_allowed_key { length, link, prefix: abi::address::default() }
}
