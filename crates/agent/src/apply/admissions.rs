//! What the programs at the endpoints' doors know: who is behind each link, and which networks are joined.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use weft_dataplane::{Admission, Dataplane, DataplaneError};
use weft_kernel::link::{self, GROUP_LIVE};
use weft_kernel::{Errno, KernelError, Netlink};
use weft_model::{Endpoint, Network, NetworkName, fnv64};
use weft_reconcile::Target;

use crate::attach::Attacher;
use crate::ledger::Entry;

/// What `endpoint` may do.
pub fn admission(endpoint: &Endpoint) -> Option<Admission> {
    Some(Admission {
        addresses: endpoint.addresses.iter().map(IpNet::addr).collect(),
        mac: endpoint.mac?,
        network: number(&endpoint.network),
        mtu: endpoint.mtu,
        isolated: endpoint.isolated,
    })
}

/// The programs' number for a network: the same after a restart, by which entries of an earlier agent stay right.
fn number(network: &NetworkName) -> u32 {
    let [a, b, c, d, ..] = fnv64(&["network", network.as_str()]).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Which networks are joined: every pair, both ways.
pub fn peerings<'a>(networks: impl Iterator<Item = &'a Network> + Clone) -> BTreeMap<(u32, u32), ()> {
    let pairs = networks.clone().flat_map(|from| networks.clone().map(move |to| (from, to)));
    let joined = pairs.filter(|(from, to)| from.name != to.name && from.is_joined_to(to));
    joined.map(|(from, to)| ((number(&from.name), number(&to.name)), ())).collect()
}

/// What endpoints of each network may send from besides their own addresses.
pub fn allowances<'a>(networks: impl Iterator<Item = &'a Network>) -> BTreeMap<(u32, IpNet), ()> {
    let of =
        |network: &'a Network| network.allowed_addresses.iter().map(|net| ((number(&network.name), net.trunc()), ()));
    networks.flat_map(of).collect()
}

/// The refusal in the words of the kernel's other ones.
pub fn refused(link: u32, error: &DataplaneError) -> KernelError {
    KernelError {
        detail: error.to_string(),
        ..KernelError::new("admit what is behind link", link.to_string(), Errno::IO)
    }
}

/// Endpoints of one host, by the number of their link.
pub struct Admissions<'a> {
    /// The host's socket.
    pub netlink: &'a mut Netlink,
    /// The endpoints, which die and are born meanwhile.
    pub attacher: &'a Attacher,
}

impl Target for Admissions<'_> {
    type Key = u32;
    type Desired = (Arc<Endpoint>, Admission);
    type Actual = ();
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<u32, ()>, KernelError> {
        Ok(self.attacher.dataplane().admitted().into_iter().map(|link| (link, ())).collect())
    }

    fn is_settled(&self, link: &u32, (_, admission): &(Arc<Endpoint>, Admission), (): &()) -> bool {
        self.attacher.dataplane().has_admitted(*link, admission).unwrap_or(false)
    }

    /// Only if the endpoint is still the one that was seen, behind the link that was seen: it may have died and been
    /// born again since, and its addresses be another's.
    fn update(&mut self, link: &u32, (endpoint, admission): &(Arc<Endpoint>, Admission)) -> Result<(), KernelError> {
        let (netlink, dataplane) = (&mut *self.netlink, self.attacher.dataplane());
        let admit = |entry: Option<Entry>| {
            let is_same = entry.is_some_and(|entry| Arc::ptr_eq(&entry.endpoint, endpoint));
            let found = link::find(netlink, endpoint.key.host_link().as_str())?;
            if !is_same || found.is_none_or(|found| found.index != *link) {
                return Ok(());
            }
            dataplane.admit(*link, admission).map_err(|e| refused(*link, &e))
        };
        // One that is busy is being born or dying.
        self.attacher.alone(&endpoint.key, admit).unwrap_or(Ok(()))
    }

    /// Not of a link that lives: that is a newborn's, whose record the round has not seen.
    fn delete(&mut self, link: &u32) -> Result<(), KernelError> {
        match link::find_index(self.netlink, *link)? {
            Some(found) if found.group == GROUP_LIVE => Ok(()),
            _ => self.attacher.dataplane().dismiss(*link).map_err(|e| refused(*link, &e)),
        }
    }
}

/// Addresses that networks allow, on one host.
pub struct Allowances<'a> {
    /// The programs' maps.
    pub dataplane: &'a Dataplane,
}

impl Target for Allowances<'_> {
    type Key = (u32, IpNet);
    type Desired = ();
    type Actual = ();
    type Error = DataplaneError;

    fn read_back(&mut self) -> Result<BTreeMap<(u32, IpNet), ()>, DataplaneError> {
        Ok(self.dataplane.allowed().into_iter().map(|allowance| (allowance, ())).collect())
    }

    fn is_settled(&self, _: &(u32, IpNet), (): &(), (): &()) -> bool {
        true
    }

    fn update(&mut self, allowance: &(u32, IpNet), (): &()) -> Result<(), DataplaneError> {
        self.dataplane.allow(*allowance)
    }

    fn delete(&mut self, allowance: &(u32, IpNet)) -> Result<(), DataplaneError> {
        self.dataplane.disallow(*allowance)
    }
}

/// Joined networks of one host.
pub struct Peerings<'a> {
    /// The programs' maps.
    pub dataplane: &'a Dataplane,
}

impl Target for Peerings<'_> {
    type Key = (u32, u32);
    type Desired = ();
    type Actual = ();
    type Error = DataplaneError;

    fn read_back(&mut self) -> Result<BTreeMap<(u32, u32), ()>, DataplaneError> {
        Ok(self.dataplane.joined().into_iter().map(|pair| (pair, ())).collect())
    }

    fn is_settled(&self, _: &(u32, u32), (): &(), (): &()) -> bool {
        true
    }

    fn update(&mut self, pair: &(u32, u32), (): &()) -> Result<(), DataplaneError> {
        self.dataplane.join(*pair)
    }

    fn delete(&mut self, pair: &(u32, u32)) -> Result<(), DataplaneError> {
        self.dataplane.part(*pair)
    }
}
