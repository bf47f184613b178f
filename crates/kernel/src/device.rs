//! A device of the host's that a container has for a while.
//!
//! ```text
//!   host's namespace            container's namespace
//!   enp1s0f1, number 7 ──lend──► eth0, number 1048577 ──give back──► enp1s0f1, number 7
//! ```
//!
//! In the container it bears a number that weft chose, and keeps it when the namespace dies and the kernel moves what
//! is hardware to the initial one (`default_device_exit_net` in net/core/dev.c): by that it is known again under any
//! name. What is out, or on its way back, is of weft's group, which it gets first and loses last.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use rustix::io::Errno;
use weft_model::{Device, Function, FunctionSettings, IfName, Loan, MacAddr};
use weft_netns::{Netns, NetnsError};

use crate::endpoint::BirthError;
use crate::interior::Interior;
use crate::link::{self, Change, GROUP_LIVE, Link};
use crate::netlink::{KernelError, Netlink, Request};
use crate::{function, hardware};

/// What a physical function says of a virtual one that it has given no Ethernet address.
const NO_ADDRESS: MacAddr = MacAddr([0; 6]);
/// A name of the kernel's choosing, for a device whose own is taken meanwhile.
const ANY_NAME: &str = "dev%d";

/// A device that is to go into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlan<'a> {
    /// As the host has it, and how a virtual function is set meanwhile.
    pub loan: &'a Loan,
    /// The Ethernet address that it is to have.
    pub mac: MacAddr,
    /// Bytes.
    pub mtu: u32,
    /// What it is inside.
    pub interior: Interior,
}

/// The device as the host has it, if `link` is one.
pub fn of_link(link: &Link) -> Option<Device> {
    let hardware = hardware::read(&link.name);
    Some(Device {
        name: IfName::parse(link.name.as_str()).ok()?,
        index: link.index,
        driver: hardware.driver.unwrap_or_else(|| link.kind.clone()),
        hardware: hardware.path,
        pci: hardware.pci,
        function: hardware.function,
        mac: link.mac,
        mtu: link.mtu,
        up: link.up,
        takes_all_groups: link.takes_all_groups,
        is_promiscuous: link.is_promiscuous,
        group: link.group,
    })
}

/// Moves the device in, with everything on it. It may have no carrier for seconds yet: nobody waits for that. On
/// failure it may be anywhere: [`give_back`] brings it home.
pub fn lend(host: &mut Netlink, netns: &Netns, plan: &DevicePlan<'_>) -> Result<(), BirthError> {
    let DevicePlan { loan: Loan { device, meanwhile, .. }, mac, mtu, interior } = plan;
    let name = device.name.as_str();
    let mut inside = netns.within(Netlink::open)??;
    if link::find(&mut inside, interior.name.as_str())?.is_some() {
        return Err(BirthError::IfNameTaken(interior.name.clone()));
    }
    let is_there = link::find_index(host, device.index)?.is_some_and(|found| found.name == name);
    if !is_there {
        return Err(KernelError::new("lend device", name, Errno::NODEV).into());
    }
    host.run(&[link::set(
        device.index,
        name,
        Change { group: Some(GROUP_LIVE), up: Some(false), ..Change::default() },
    )])?;
    if let (Some(function), Some(meanwhile)) = (function_of(device), meanwhile) {
        function::set(host, &function, meanwhile)?;
    }
    host.run(&[move_to(device.index, name, netns.as_fd(), interior.name.as_str(), Some(interior.index))])?;
    let change = Change { mtu: Some(*mtu).filter(|mtu| device.mtu != *mtu), ..Change::default() };
    inside.run(&[link::set(interior.index, interior.name.as_str(), change)])?;
    readdress(&mut inside, interior.index, interior.name.as_str(), *mac)?;
    interior.furnish(netns)?;
    Ok(())
}

/// The virtual function that the device is: others may have renamed the physical one since it was looked at.
fn function_of(device: &Device) -> Option<Function> {
    let now = device.hardware.as_deref().and_then(hardware::function_of);
    device.function.clone().map(|then| now.unwrap_or(then))
}

/// Gives a link that is down an Ethernet address, unless it has it. The driver of a virtual function may refuse even
/// the one that the physical function has fixed, and take it over when the link goes down the next time (`igbvf_reset`
/// in drivers/net/ethernet/intel/igbvf/netdev.c).
fn readdress(netlink: &mut Netlink, index: u32, name: &str, mac: MacAddr) -> Result<(), KernelError> {
    let has_it = |netlink: &mut Netlink| -> Result<bool, KernelError> {
        Ok(link::find_index(netlink, index)?.is_some_and(|link| link.mac == Some(mac)))
    };
    if has_it(netlink)? {
        return Ok(());
    }
    let change = Change { mac: Some(mac), ..Change::default() };
    let Err(refused) = netlink.run(&[link::set(index, name, change)]) else { return Ok(()) };
    let turn = |up| link::set(index, name, Change { up: Some(up), ..Change::default() });
    netlink.run(&[turn(true), turn(false)])?;
    if has_it(netlink)? { Ok(()) } else { Err(refused) }
}

/// What became of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is the host's again, by this name.
    Home(IfName),
    /// The hardware is there, and its link in a namespace that nobody knows; it comes home when that one dies.
    Elsewhere,
    /// It is gone for good.
    Gone,
}

/// Brings a device home, wherever it is on its way, and makes it what it was. `index` is the number that it had inside,
/// `netns` the container's namespace, if it can be had.
pub fn give_back(
    host: &mut Netlink,
    netns: Option<&Netns>,
    index: u32,
    loan: &Loan,
) -> Result<Whereabouts, KernelError> {
    let device = &loan.device;
    if let Some(netns) = netns {
        fetch(netns, index, device)?;
    }
    let mut links = link::list(host)?;
    links.retain(|link| is_same(link, device));
    let is_back = |link: &&Link| link.index == index || (link.index == device.index && link.group == GROUP_LIVE);
    if let Some(found) = links.iter().find(is_back) {
        let name = settle(host, found, loan)?;
        return Ok(Whereabouts::Home(name));
    }
    // Hardware that bears neither of the numbers has been given another link since, by a driver that was loaded anew.
    let home = links.iter().find(|link| link.index == device.index || device.hardware.is_some());
    if let Some(name) = home.and_then(|link| IfName::parse(link.name.as_str()).ok()) {
        return Ok(Whereabouts::Home(name));
    }
    let is_served = device.hardware.as_ref().is_some_and(|path| hardware::is_served(path, &device.driver));
    Ok(if is_served { Whereabouts::Elsewhere } else { Whereabouts::Gone })
}

/// Whether a container still has its device.
pub fn is_inside(netns: &Netns, index: u32, device: &Device) -> Result<bool, KernelError> {
    let mut inside = enter(netns, device)?;
    Ok(link::find_index(&mut inside, index)?.is_some_and(|link| is_same(&link, device)))
}

/// Whether it is the same device: a container could leave another link in its place, which has no business on the host.
fn is_same(link: &Link, device: &Device) -> bool {
    match &device.hardware {
        Some(path) => link.hardware.is_some() && link.hardware.as_deref() == hardware::base_name(Path::new(path)),
        None => link.hardware.is_none() && link.kind == device.driver,
    }
}

/// Moves the device out of the container, if it is there; under its own name and number, unless another link of the
/// host's has those by now.
fn fetch(netns: &Netns, index: u32, device: &Device) -> Result<(), KernelError> {
    let home = Netns::current().map_err(|error| refused(device, &error))?;
    let mut inside = enter(netns, device)?;
    let name = device.name.as_str();
    for (name, number) in [(name, Some(device.index)), (name, None), (ANY_NAME, None)] {
        match link::find_index(&mut inside, index)? {
            Some(found) if is_same(&found, device) => {
                match inside.run(&[move_to(index, &found.name, home.as_fd(), name, number)]) {
                    Err(error) if !error.is_present() && error.errno != Errno::BUSY => return Err(error),
                    _ => {}
                }
            }
            _ => return Ok(()),
        }
    }
    match link::find_index(&mut inside, index)? {
        Some(found) if is_same(&found, device) => Err(KernelError::new("give back device", name, Errno::BUSY)),
        _ => Ok(()),
    }
}

fn enter(netns: &Netns, device: &Device) -> Result<Netlink, KernelError> {
    netns.within(Netlink::open).map_err(|error| refused(device, &error))?
}

fn refused(device: &Device, error: &NetnsError) -> KernelError {
    KernelError::new("give back device", format!("{}: {error}", device.name), Errno::NODEV)
}

/// Makes a device that is on the host what it was; gives back its name, which is another one if its own is taken.
fn settle(host: &mut Netlink, found: &Link, loan: &Loan) -> Result<IfName, KernelError> {
    let device = &loan.device;
    let (index, name) = (found.index, device.name.as_str());
    // A kernel before 6.2 renames no link that is up, and many drivers give another address to none.
    let down = Change { up: Some(false), group: Some(GROUP_LIVE), ..Change::default() };
    host.run(&[link::set(index, name, down)])?;
    if let (Some(function), Some(before)) = (function_of(device), changed(loan)) {
        let set = function::set(host, &function, &before);
        match without_none(&before, device.mac) {
            Some(before) if set.is_err() => function::set(host, &function, &before)?,
            _ => set?,
        }
    }
    let change = Change {
        mtu: Some(device.mtu).filter(|mtu| found.mtu != *mtu),
        takes_all_groups: Some(device.takes_all_groups),
        is_promiscuous: Some(device.is_promiscuous),
        ..Change::default()
    };
    host.run(&[link::set(index, name, change)])?;
    if let Some(mac) = device.mac {
        readdress(host, index, name, mac)?;
    }
    let rename = Change { name: Some(device.name.clone()).filter(|_| found.name != name), ..Change::default() };
    match host.run(&[link::set(index, name, rename)]) {
        Err(error) if error.is_present() => {}
        other => other?,
    }
    host.run(&[
        link::set(index, name, Change { up: Some(device.up), ..Change::default() }),
        link::set(index, name, Change { group: Some(device.group), ..Change::default() }),
    ])?;
    let now = link::find_index(host, index)?.and_then(|link| IfName::parse(link.name).ok());
    now.ok_or_else(|| KernelError::new("give back device", name, Errno::NODEV))
}

/// What was set otherwise, as it was.
fn changed(loan: &Loan) -> Option<FunctionSettings> {
    let (before, meanwhile) = (loan.before.as_ref()?, loan.meanwhile.as_ref()?);
    Some(FunctionSettings {
        mac: before.mac.filter(|_| meanwhile.mac.is_some()),
        spoof_check: before.spoof_check.filter(|_| meanwhile.spoof_check.is_some()),
        trust: before.trust.filter(|_| meanwhile.trust.is_some()),
        vlan: before.vlan.filter(|_| meanwhile.vlan.is_some()),
        priority: before.priority,
        rates: before.rates.filter(|_| meanwhile.rates.is_some()),
    })
}

/// The same, but held to its own address instead of to none: some drivers take none away that they have fixed
/// (`bnx2x_set_vf_mac` in drivers/net/ethernet/broadcom/bnx2x/bnx2x_sriov.c).
fn without_none(before: &FunctionSettings, own: Option<MacAddr>) -> Option<FunctionSettings> {
    (before.mac == Some(NO_ADDRESS)).then(|| FunctionSettings { mac: own, ..before.clone() })
}

/// Moves a link to another namespace, still of weft's group: under `name` and, if that is said, with another number.
fn move_to(index: u32, was: &str, netns: BorrowedFd<'_>, name: &str, number: Option<u32>) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
        LinkAttribute::Group(GROUP_LIVE),
        LinkAttribute::IfName(name.to_owned()),
    ];
    let number = number.and_then(|number| i32::try_from(number).ok());
    message.attributes.extend(number.map(LinkAttribute::NewIfIndex));
    Request::new("move device", was, 0, RouteNetlinkMessage::SetLink(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_had_no_address_may_be_held_to_its_own_instead() {
        let own = MacAddr([2, 0, 0, 0, 0, 3]);
        let before = |mac| FunctionSettings { mac, vlan: Some(7), ..FunctionSettings::default() };
        assert_eq!(without_none(&before(Some(NO_ADDRESS)), Some(own)), Some(before(Some(own))));
        for mac in [None, Some(own)] {
            assert_eq!(without_none(&before(mac), Some(own)), None, "it can be set as it was, or not at all");
        }
    }
}
