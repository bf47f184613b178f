//! Devices of the host that endpoints may have for themselves: which there are, who has them, which one is next.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use weft_api::{Condition, DeviceStatus};
use weft_kernel::link::{GROUP_LIVE, Link};
use weft_kernel::{Snapshot, device, uplink};
use weft_model::{Attachment, Device, DeviceReference, Enforcement, IfName, Network};

use crate::ledger::Ledger;

/// Devices and endpoints that are named in one message.
const SHOWN_MAX: usize = 5;
/// Devices that are remembered as not come back.
const LOSSES_MAX: usize = 16;

/// A link of the host's, with what speaks against giving it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// The device.
    pub device: Device,
    /// Nobody may have it, because of this.
    pub unfit: Option<String>,
    /// The host uses it for this: only who names it gets it.
    pub in_use: Option<String>,
}

/// What the host has. `parents` are links that networks sit on.
pub fn survey(snapshot: &Snapshot, parents: &BTreeSet<IfName>) -> Vec<Nic> {
    let uplink = uplink::choose(snapshot, None).map(|link| link.index);
    let foreign = snapshot.links.values().filter(|link| !link.is_ours());
    let nic = |link: &Link| {
        let device = device::of_link(link)?;
        let master = link.master.and_then(|master| snapshot.link(master));
        // A veth names its other end, which may be in another namespace.
        let above = |other: &&Link| other.lower == Some(link.index) && other.kind != "veth";
        let unfit = if link.group == GROUP_LIVE {
            Some("is on its way to or from a container".to_owned())
        } else if let Some(master) = master {
            Some(format!("is a port of {}: take it out of that", master.name))
        } else if !link.is_ethernet {
            Some("is no Ethernet link".to_owned())
        } else if parents.contains(&device.name) {
            Some("is the parent of a network".to_owned())
        } else {
            snapshot.links.values().find(above).map(|other| format!("has {} on it: delete that", other.name))
        };
        let addresses = uplink::addresses(snapshot, link);
        let in_use = if uplink == Some(link.index) {
            Some("is the host's way to the outside".to_owned())
        } else {
            addresses.first().map(|address| format!("has the host's address {address}"))
        };
        Some(Nic { device, unfit, in_use })
    };
    foreign.filter_map(nic).collect()
}

/// Links that networks sit on by name.
pub fn parents<'a>(networks: impl Iterator<Item = &'a Network>) -> BTreeSet<IfName> {
    networks
        .filter(|network| network.attachment.sits_on_parent())
        .filter_map(|network| network.parent.clone())
        .collect()
}

/// Those that an endpoint of `network` may have now, the first one first; else the reason why there is none. `wanted`
/// is what is asked for, by its runtime or by whoever attaches it.
pub fn choose<'n>(
    network: &Network,
    wanted: Option<&DeviceReference>,
    nics: &'n [Nic],
    ledger: &Ledger,
) -> Result<Vec<&'n Nic>, String> {
    let selector = &network.devices;
    if selector.is_empty() && wanted.is_none() {
        let remedy = "say which in spec.device, by --device, or have the runtime send runtimeConfig.deviceID";
        return Err(format!("nothing says which device the container is to have: {remedy}"));
    }
    let is_wanted = |device: &Device| wanted.is_none_or(|wanted| wanted.means(device));
    let is_meant = |device: &Device| is_wanted(device) && selector.matches(device);
    let lent = ledger.entries().filter_map(|entry| Some((&entry.endpoint, &entry.endpoint.loan.as_ref()?.device)));
    let lent: Vec<_> = lent.collect();
    let held = lent.iter().filter(|(_, device)| is_meant(device));
    let mut refused: Vec<_> =
        held.map(|(endpoint, device)| format!("{} is with {}", device.name, endpoint.title())).collect();
    let is_lent = |nic: &Nic| lent.iter().any(|(_, device)| is_same(&nic.device, device));
    let mut free = Vec::new();
    for nic in nics.iter().filter(|nic| is_meant(&nic.device) && !is_lent(nic)) {
        match obstacle(network, nic) {
            Some(reason) => refused.push(format!("{} {reason}", nic.device.name)),
            None => free.push(nic),
        }
    }
    if !free.is_empty() {
        return Ok(free);
    }
    let mut everyone = nics.iter().map(|nic| &nic.device).chain(lent.iter().map(|(_, device)| *device));
    let passed_over = wanted.and_then(|wanted| everyone.find(|device| wanted.means(device)));
    let meant = wanted.map_or_else(|| "what spec.device says".to_owned(), ToString::to_string);
    Err(match (shown(&refused), passed_over) {
        (Some(refused), _) => format!("no device is free: {refused}"),
        (None, Some(Device { name, .. })) => {
            format!("device {name} is none of those that spec.device says: ask for one of them, or add it there")
        }
        (None, None) => format!("the host has no device that is {meant}, with a driver that makes a network interface"),
    })
}

/// Why no endpoint of the network may have it.
fn obstacle(network: &Network, nic: &Nic) -> Option<String> {
    let in_use = || nic.in_use.clone().filter(|_| !network.devices.names(&nic.device));
    let unset = || {
        let is_set = network.function != weft_model::FunctionSettings::default();
        let reason = "is no virtual function, which alone has what spec.vf sets";
        (is_set && nic.device.function.is_none()).then(|| reason.to_owned())
    };
    nic.unfit.clone().or_else(in_use).or_else(unset)
}

fn is_same(one: &Device, other: &Device) -> bool {
    one.index == other.index || (one.hardware.is_some() && (&one.hardware, one.mac) == (&other.hardware, other.mac))
}

fn shown(items: &[String]) -> Option<String> {
    let more = items.len().saturating_sub(SHOWN_MAX);
    let shown = items.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    match (items.is_empty(), more) {
        (true, _) => None,
        (_, 0) => Some(shown),
        _ => Some(format!("{shown} and {more} more")),
    }
}

/// Who has which of a network's devices, and which nobody has.
pub fn of_network(network: &Network, nics: &[Nic], ledger: &Ledger) -> Vec<DeviceStatus> {
    if network.attachment != Attachment::Device {
        return Vec::new();
    }
    let row = |device: &Device, holder: Option<String>, reason: Option<String>| DeviceStatus {
        name: device.name.to_string(),
        pci: device.pci.as_ref().map(ToString::to_string),
        driver: device.driver.clone(),
        mac: device.mac.map(|mac| mac.to_string()),
        pf: device.function.as_ref().map(|function| function.pf.to_string()),
        state: if holder.is_some() {
            "held"
        } else if reason.is_some() {
            "unfit"
        } else {
            "free"
        }
        .to_owned(),
        holder,
        reason: reason.unwrap_or_default(),
    };
    let lent: Vec<_> =
        ledger.entries().filter_map(|entry| Some((&entry.endpoint, &entry.endpoint.loan.as_ref()?.device))).collect();
    let held = lent.iter().filter(|(endpoint, _)| endpoint.network == network.name);
    let held =
        held.map(|(endpoint, device)| row(device, Some(format!("{}@{}", endpoint.title(), endpoint.key.ifname)), None));
    let here = nics.iter().filter(|nic| !network.devices.is_empty() && network.devices.matches(&nic.device));
    let here = here.filter(|nic| !lent.iter().any(|(_, device)| is_same(&nic.device, device)));
    held.chain(here.map(|nic| row(&nic.device, None, obstacle(network, nic)))).collect()
}

/// What is to be known of endpoints that nothing holds to their addresses.
pub fn unenforced(ledger: &Ledger) -> Option<Condition> {
    let advisory = ledger.live().filter(|endpoint| endpoint.enforcement() == Some(Enforcement::Advisory));
    let names: Vec<_> = advisory.map(|endpoint| format!("{}@{}", endpoint.title(), endpoint.key.ifname)).collect();
    Some(Condition {
        kind: "SourcesEnforced".to_owned(),
        status: "False".to_owned(),
        message: format!("{}: {}", shown(&names)?, Enforcement::Advisory.meaning()),
    })
}

/// Devices that did not come back as they went.
#[derive(Debug, Default)]
pub struct Losses(Mutex<VecDeque<(IfName, String)>>);

impl Losses {
    /// This one did not, as `what` tells.
    pub fn note(&self, device: &IfName, what: String) {
        tracing::warn!(%device, what, "a device did not come back to the host as it went");
        let mut losses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        losses.retain(|(other, _)| other != device);
        losses.truncate(LOSSES_MAX - 1);
        losses.push_front((device.clone(), what));
    }

    /// What is to be known of those that the host still does without.
    pub fn condition(&self, is_there: impl Fn(&IfName) -> bool) -> Option<Condition> {
        let mut losses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        losses.retain(|(device, _)| !is_there(device));
        let told: Vec<_> = losses.iter().map(|(device, what)| format!("{device} {what}")).collect();
        let (kind, status) = ("DevicesReturned".to_owned(), "False".to_owned());
        Some(Condition { kind, status, message: shown(&told)? })
    }
}

#[cfg(test)]
mod tests {
    use weft_model::{Labels, NetworkName, NetworkSpec};

    use super::*;
    use crate::attachment::Built;

    fn nic(name: &str, index: u32, more: serde_json::Value) -> Nic {
        let mut device = serde_json::json!({
            "name": name, "index": index, "driver": "igb", "mac": format!("02:00:00:00:00:{index:02x}"),
            "mtu": 1500, "up": true, "group": 0, "pci": format!("0000:01:00.{index}"),
            "hardware": format!("/sys/devices/pci0000:00/0000:01:00.{index}"),
        });
        device.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        Nic { device: serde_json::from_value(device).unwrap(), unfit: None, in_use: None }
    }

    fn network(more: serde_json::Value) -> Network {
        let mut spec = serde_json::json!({"mode": "device", "pools": ["192.0.2.0/24"]});
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let spec: NetworkSpec = serde_json::from_value(spec).unwrap();
        spec.resolve(&NetworkName::parse("wire").unwrap(), &Labels::new(), &Built).unwrap()
    }

    fn ledger(name: &str) -> Ledger {
        let path = std::env::temp_dir().join(format!("weft-devices-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Ledger::open(&path).unwrap()
    }

    fn names(network: &Network, wanted: Option<&str>, nics: &[Nic], ledger: &Ledger) -> Result<Vec<String>, String> {
        let wanted = wanted.map(|wanted| wanted.parse().unwrap());
        let chosen = choose(network, wanted.as_ref(), nics, ledger)?;
        Ok(chosen.into_iter().map(|nic| nic.device.name.to_string()).collect())
    }

    #[test]
    fn what_the_host_uses_is_given_to_who_names_it_alone() {
        let used = Nic { in_use: Some("has the host's address".to_owned()), ..nic("eth1", 1, serde_json::json!({})) };
        let port = Nic { unfit: Some("is a port of br0".to_owned()), ..nic("eth2", 2, serde_json::json!({})) };
        let nics = [used, port, nic("eth3", 3, serde_json::json!({}))];
        let ledger = ledger("uses");
        let by = |device: serde_json::Value, wanted| {
            names(&network(serde_json::json!({ "device": device })), wanted, &nics, &ledger)
        };
        assert_eq!(by(serde_json::json!({"driver": "igb"}), None).unwrap(), ["eth3"]);
        assert_eq!(by(serde_json::json!({"names": ["eth1"]}), None).unwrap(), ["eth1"]);
        assert_eq!(by(serde_json::json!({"macs": ["02:00:00:00:00:01"]}), None).unwrap(), ["eth1"]);
        assert_eq!(by(serde_json::json!({"driver": "igb"}), Some("0000:01:00.3")).unwrap(), ["eth3"]);
        let refused = by(serde_json::json!({"driver": "igb"}), Some("0000:01:00.1")).unwrap_err();
        assert_eq!(refused, "no device is free: eth1 has the host's address");
        let refused = by(serde_json::json!({"names": ["eth2"]}), None).unwrap_err();
        assert!(refused.contains("eth2 is a port of br0"), "{refused}");
        let refused = by(serde_json::json!({"names": ["eth3"]}), Some("0000:01:00.7")).unwrap_err();
        assert!(refused.contains("no device that is 0000:01:00.7"), "{refused}");
    }

    #[test]
    fn who_asks_for_one_gets_it_or_hears_why_not() {
        let nics = [nic("eth1", 1, serde_json::json!({})), nic("eth2", 2, serde_json::json!({}))];
        let ledger = ledger("asks");
        let network = network(serde_json::json!({"device": {"names": ["eth2"], "driver": "igb"}}));
        for wanted in ["eth2", "02:00:00:00:00:02", "0000:01:00.2"] {
            assert_eq!(names(&network, Some(wanted), &nics, &ledger).unwrap(), ["eth2"]);
        }
        for wanted in ["eth1", "02:00:00:00:00:01", "0000:01:00.1"] {
            let refused = names(&network, Some(wanted), &nics, &ledger).unwrap_err();
            assert!(refused.starts_with("device eth1 is none of those that spec.device says"), "{refused}");
        }
        let refused = names(&network, Some("eth3"), &nics, &ledger).unwrap_err();
        assert!(refused.contains("no device that is eth3"), "{refused}");
    }

    #[test]
    fn without_a_selector_the_runtime_has_to_say_which() {
        let (nics, ledger) = ([nic("eth3", 3, serde_json::json!({}))], ledger("says"));
        let network = network(serde_json::json!({}));
        assert_eq!(names(&network, Some("0000:01:00.3"), &nics, &ledger).unwrap(), ["eth3"]);
        assert!(names(&network, None, &nics, &ledger).unwrap_err().contains("runtimeConfig.deviceID"));
    }

    #[test]
    fn settings_of_virtual_functions_are_for_those_alone() {
        let function = serde_json::json!({"function": {"pf": "eth3", "number": 0}});
        let nics = [nic("eth3", 3, serde_json::json!({})), nic("eth3v0", 4, function)];
        let network = network(serde_json::json!({"device": {"driver": "igb"}, "vf": {"spoofCheck": true}}));
        assert_eq!(names(&network, None, &nics, &ledger("functions")).unwrap(), ["eth3v0"]);
    }
}
