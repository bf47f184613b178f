//! What the programs know of links by which endpoints are on a segment each by itself. Births tell them; what becomes
//! of the link to the outside since, is told here.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_dataplane::Parent;
use weft_kernel::link::{self, Link};
use weft_kernel::{KernelError, Netlink};
use weft_model::{Endpoint, IfName};
use weft_reconcile::Target;

use super::parents;
use crate::attach::Attacher;
use crate::attachment::parent;

/// Such links of one host, by number.
pub struct Stations<'a> {
    /// The endpoints, which die and are born meanwhile.
    pub attacher: &'a Attacher,
}

impl Target for Stations<'_> {
    type Key = u32;
    type Desired = (Arc<Endpoint>, Parent);
    type Actual = ();
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<u32, ()>, KernelError> {
        Ok(self.attacher.dataplane().parents().into_iter().map(|link| (link, ())).collect())
    }

    fn is_settled(&self, link: &u32, (_, parent): &(Arc<Endpoint>, Parent), (): &()) -> bool {
        self.attacher.dataplane().has_parent(*link, parent).unwrap_or(false)
    }

    /// Only if the endpoint is still the one that was seen.
    fn update(&mut self, link: &u32, (endpoint, parent): &(Arc<Endpoint>, Parent)) -> Result<(), KernelError> {
        let told = self.attacher.alone(&endpoint.key, |entry| match entry {
            Some(entry) if Arc::ptr_eq(&entry.endpoint, endpoint) => {
                parents::tell(self.attacher.dataplane(), *link, parent)
            }
            _ => Ok(()),
        });
        // One that is busy is being born or dying.
        told.unwrap_or(Ok(()))
    }

    /// Not what others sit on, nor a newborn's; what is left of the dead, [`parents::Parents`] finds.
    fn delete(&mut self, _: &u32) -> Result<(), KernelError> {
        Ok(())
    }
}

/// What there must be for `endpoints`.
pub fn desired(
    netlink: &mut Netlink,
    endpoints: &[Arc<Endpoint>],
) -> Result<BTreeMap<u32, (Arc<Endpoint>, Parent)>, KernelError> {
    let mut links: BTreeMap<IfName, Option<Link>> = BTreeMap::new();
    let mut find = |name: IfName| match links.get(&name) {
        Some(found) => Ok(found.clone()),
        None => {
            let found = link::find(netlink, name.as_str())?;
            links.insert(name, found.clone());
            Ok::<_, KernelError>(found)
        }
    };
    let mut desired = BTreeMap::new();
    for endpoint in endpoints {
        let (Some(seat), Some(link)) = (&endpoint.seat, endpoint.link) else { continue };
        if parent::stand_in(seat).is_some() {
            continue;
        }
        let outside = find(parent::outside(seat))?;
        let listening = find(parent::listening(seat))?.map(|link| link.index);
        desired.insert(link, (Arc::clone(endpoint), parents::entry(seat, outside.as_ref(), listening)));
    }
    Ok(desired)
}
