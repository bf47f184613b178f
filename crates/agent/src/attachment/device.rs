//! `device`: a link of the host's own, which goes into the container and comes back.

use std::net::IpAddr;

use weft_kernel::device::DevicePlan;
use weft_kernel::endpoint::LinkPlan;
use weft_model::{Attachment, Device as Nic, Endpoint, FunctionSettings, Loan, Network, Pool};

use super::{Ground, Kind, admit_own_namespace, parent};

pub(super) struct Device;

impl Kind for Device {
    fn attachment(&self) -> Attachment {
        Attachment::Device
    }

    fn admit(&self, ground: &Ground) -> Result<(), String> {
        admit_own_namespace(ground)
    }

    fn endow(&self, network: &Network, chosen: &[(IpAddr, &Pool)], endpoint: &mut Endpoint) {
        let wished = endpoint.mac;
        parent::endow(network, chosen, endpoint);
        endpoint.mac = wished;
    }

    /// None of its ends is on the host: see [`plan`].
    fn link(&self, _: &Endpoint, _: Option<u32>) -> Option<LinkPlan> {
        None
    }
}

/// The loan of a device to an endpoint of `network` that wishes this Ethernet address. `before` is how the device is
/// set, if it is a virtual function: its address is fixed if anybody holds it to one, as it is if one is wished.
pub fn loan(
    network: &Network,
    device: Nic,
    wished: Option<weft_model::MacAddr>,
    before: Option<FunctionSettings>,
) -> Loan {
    let meanwhile = before.as_ref().map(|before| {
        let wishes = &network.function;
        let is_held = wishes.spoof_check.or(before.spoof_check) == Some(true);
        FunctionSettings {
            mac: wished.or(device.mac).filter(|_| is_held || wished.is_some()),
            // The kernel sets both rates at once.
            rates: wishes.rates.map(|(_, most)| (before.rates.map_or(0, |(least, _)| least), most)),
            ..wishes.clone()
        }
    });
    Loan { device, before, meanwhile }
}

/// Gives the device to an endpoint, which has it under this number.
pub fn take(network: &Network, loan: Loan, number: u32, endpoint: &mut Endpoint) {
    endpoint.link = Some(number);
    endpoint.mac = endpoint.mac.or(loan.device.mac);
    endpoint.mtu = network.mtu.unwrap_or(loan.device.mtu);
    endpoint.loan = Some(loan);
}

/// How the record has the device.
pub fn plan(endpoint: &Endpoint) -> Option<DevicePlan<'_>> {
    let (loan, interior) = (endpoint.loan.as_ref()?, parent::interior(endpoint)?);
    Some(DevicePlan { loan, mac: endpoint.mac?, mtu: endpoint.mtu, interior })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_model::{Labels, MacAddr, NetworkName, NetworkSpec};

    #[test]
    fn a_function_that_is_held_to_its_address_has_it_fixed() {
        let own = MacAddr([2, 0, 0, 0, 0, 3]);
        let device = || -> Nic {
            serde_json::from_value(serde_json::json!({
                "name": "eth3v0", "index": 3, "driver": "iavf", "mac": own, "mtu": 1500, "up": true, "group": 0,
                "function": {"pf": "eth3", "number": 0},
            }))
            .unwrap()
        };
        let loan = |vf: serde_json::Value, wished| {
            let spec = serde_json::json!({"mode": "device", "pools": ["192.0.2.0/24"], "vf": vf});
            let spec: NetworkSpec = serde_json::from_value(spec).unwrap();
            let network =
                spec.resolve(&NetworkName::parse("wire").unwrap(), &Labels::new(), &super::super::Built).unwrap();
            let before = FunctionSettings {
                spoof_check: Some(false),
                trust: Some(false),
                rates: Some((5, 0)),
                ..FunctionSettings::default()
            };
            super::loan(&network, device(), wished, Some(before))
        };
        let held = loan(serde_json::json!({"spoofCheck": true, "rate": 100}), None);
        assert_eq!(held.meanwhile.as_ref().unwrap().mac, Some(own));
        assert_eq!(held.meanwhile.as_ref().unwrap().rates, Some((5, 100)));
        assert!(held.is_enforced());
        let open = loan(serde_json::json!({}), None);
        assert_eq!(open.meanwhile, Some(FunctionSettings::default()));
        assert!(!open.is_enforced());
        let wished = MacAddr([2, 0, 0, 0, 0, 9]);
        assert_eq!(loan(serde_json::json!({}), Some(wished)).meanwhile.unwrap().mac, Some(wished));
    }
}
