//! Devices of a host that containers get for themselves: which ones a network has, and what is kept of one that is out.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mac::MacAddr;
use crate::name::IfName;

/// Address of a PCI function, in the kernel's spelling: `0000:3b:02.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciAddress(String);

/// Hex digits of domain, bus, device and function; domains of some machines have more digits.
const PCI_DOMAIN_DIGITS: std::ops::RangeInclusive<usize> = 4..=8;

impl PciAddress {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PciAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let whole = || {
            let (domain, rest) = text.split_once(':')?;
            let (bus, rest) = rest.split_once(':')?;
            let (device, function) = rest.split_once('.')?;
            let lengths = (bus.len(), device.len(), function.len());
            let is_sound = PCI_DOMAIN_DIGITS.contains(&domain.len())
                && lengths == (2, 2, 1)
                && [domain, bus, device].into_iter().all(is_hex)
                && matches!(function.as_bytes(), [b'0'..=b'7']);
            is_sound.then(|| Self(text.to_ascii_lowercase()))
        };
        whole()
            .ok_or_else(|| format!("{text:?} is not a PCI address: write it as `lspci -D` does, such as 0000:3b:02.1"))
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PciAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PciAddress> for String {
    fn from(address: PciAddress) -> String {
        address.0
    }
}

/// One of a host's devices, as somebody calls it who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceReference {
    /// By name.
    Name(IfName),
    /// By Ethernet address.
    Mac(MacAddr),
    /// By place on the bus.
    Pci(PciAddress),
}

impl DeviceReference {
    /// Whether it means this one.
    pub fn means(&self, device: &Device) -> bool {
        match self {
            Self::Name(name) => device.name == *name,
            Self::Mac(mac) => device.mac == Some(*mac),
            Self::Pci(pci) => device.pci.as_ref() == Some(pci),
        }
    }
}

impl FromStr for DeviceReference {
    type Err = String;

    /// No link's name has a colon, and every address has.
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = if !text.contains(':') {
            IfName::parse(text).map(Self::Name).map_err(|error| error.to_string())
        } else if text.contains('.') {
            text.parse().map(Self::Pci)
        } else {
            text.parse().map(Self::Mac)
        };
        parsed.map_err(|error| format!("{error}: a device is called by its name, PCI address or MAC address"))
    }
}

impl fmt::Display for DeviceReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
            Self::Pci(pci) => pci.fmt(f),
        }
    }
}

/// Which of a host's devices a network has: those that one of the lists names, if any does, and that are as the other
/// fields say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceSelector {
    /// By name.
    pub names: Vec<IfName>,
    /// By Ethernet address.
    pub macs: Vec<MacAddr>,
    /// By place on the bus.
    pub pci: Vec<PciAddress>,
    /// By the driver; of a virtual link, its kind.
    pub driver: Option<String>,
    /// Virtual functions of this device.
    pub pf: Option<IfName>,
}

impl DeviceSelector {
    /// Whether it says nothing: then the runtime has to name each device.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a list names the device.
    pub fn names(&self, device: &Device) -> bool {
        self.names.contains(&device.name)
            || device.mac.is_some_and(|mac| self.macs.contains(&mac))
            || device.pci.as_ref().is_some_and(|pci| self.pci.contains(pci))
    }

    /// Whether the device is one of the network's.
    pub fn matches(&self, device: &Device) -> bool {
        let has_lists = !(self.names.is_empty() && self.macs.is_empty() && self.pci.is_empty());
        (!has_lists || self.names(device))
            && self.driver.as_ref().is_none_or(|driver| *driver == device.driver)
            && self.pf.as_ref().is_none_or(|pf| device.function.as_ref().is_some_and(|function| function.pf == *pf))
    }
}

/// A virtual function, seen from the physical one, which rules it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The physical function's link.
    pub pf: IfName,
    /// Its number there.
    pub number: u32,
}

/// A device as the host has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: IfName,
    /// Its number.
    pub index: u32,
    /// Where the hardware is in /sys: the same under every name and in every namespace. Virtual links have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// Its place on the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<PciAddress>,
    /// Its driver; of a virtual link, its kind.
    pub driver: String,
    /// If it is a virtual function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// Its Ethernet address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Takes in what is sent to any group.
    #[serde(default)]
    pub takes_all_groups: bool,
    /// Takes in what is sent to anybody.
    #[serde(default)]
    pub is_promiscuous: bool,
    /// Device group.
    pub group: u32,
}

/// What the physical function has a virtual one do; `None` is as it happens to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FunctionSettings {
    /// The Ethernet address that it has to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Frames with a foreign sender are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoof_check: Option<bool>,
    /// It may change what the physical function set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<bool>,
    /// The VLAN that all its frames are in, 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The priority in that VLAN's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Least and most that it may send, in Mbit/s; 0 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<(u32, u32)>,
}

/// A device that an endpoint has, as it was before: what gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// As the host had it.
    pub device: Device,
    /// Of a virtual function, as the physical one had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<FunctionSettings>,
    /// Of a virtual function, as the physical one is to have it meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meanwhile: Option<FunctionSettings>,
}

impl Loan {
    /// Whether the device itself drops what its user has no right to send: a function whose Ethernet address is fixed
    /// and held against what it sends, and that may not change either.
    pub fn is_enforced(&self) -> bool {
        let (Some(before), Some(meanwhile)) = (&self.before, &self.meanwhile) else { return false };
        meanwhile.mac.is_some()
            && meanwhile.spoof_check.or(before.spoof_check) == Some(true)
            && meanwhile.trust.or(before.trust) == Some(false)
    }
}

/// `device` of a Network's `spec`: which of the host's devices its endpoints get, one each. Of several that are named,
/// or that are alike, each endpoint gets one that nobody has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DeviceSpec {
    /// By name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// By Ethernet address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<String>,
    /// By PCI address, as `lspci -D` writes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<String>,
    /// Only those of this driver; of virtual links, of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Only virtual functions (SR-IOV) of this device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pf: Option<String>,
}

/// `vf` of a Network's `spec`: settings of virtual functions (SR-IOV), put back afterwards; what is absent stays as it
/// is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct VfSpec {
    /// Drop frames with a foreign sender. Only with this, and without trust, sources are enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spoof_check: Option<bool>,
    /// Let the container change what was set: its Ethernet address, promiscuous mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<bool>,
    /// Most that it may send, in Mbit/s; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// The VLAN that all its frames are in, 1 to 4094; 0 is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device {
            name: "enp1s0v3".parse().expect("name"),
            index: 7,
            hardware: Some("/sys/devices/pci0000:00/0000:01:00.3".to_owned()),
            pci: Some("0000:01:00.3".parse().expect("address")),
            driver: "iavf".to_owned(),
            function: Some(Function { pf: "enp1s0".parse().expect("name"), number: 3 }),
            mac: Some(MacAddr([2, 0, 0, 0, 0, 3])),
            mtu: 1500,
            up: true,
            takes_all_groups: false,
            is_promiscuous: false,
            group: 0,
        }
    }

    #[test]
    fn pci_addresses_are_whole_and_in_lower_case() {
        assert_eq!("0000:3B:02.1".parse::<PciAddress>().expect("address").as_str(), "0000:3b:02.1");
        for bad in [
            "",
            "3b:02.1",
            "0000:3b:02",
            "0000:3b:02.8",
            "0000:3b:2.1",
            "zzzz:3b:02.1",
            "0000:3b:02.1x",
            "../..:aa:bb.1",
        ] {
            assert!(bad.parse::<PciAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_device_is_the_networks_if_a_list_names_it_and_all_else_is_so() {
        let (none, device) = (DeviceSelector::default(), device());
        let with_name = |name: &str| DeviceSelector { names: vec![name.parse().expect("name")], ..none.clone() };
        let both = DeviceSelector { macs: vec![MacAddr([2, 0, 0, 0, 0, 3])], ..with_name("eth7") };
        let by_driver = |driver: &str| DeviceSelector { driver: Some(driver.to_owned()), ..none.clone() };
        let by_pf = |pf: &str| DeviceSelector { pf: Some(pf.parse().expect("name")), ..none.clone() };
        for chosen in [&with_name("enp1s0v3"), &both, &by_driver("iavf"), &by_pf("enp1s0"), &none] {
            assert!(chosen.matches(&device), "{chosen:?}");
        }
        let other_driver = DeviceSelector { driver: Some("igbvf".to_owned()), ..both };
        for passed_over in [&with_name("enp1s0"), &by_driver("igbvf"), &by_pf("enp2s0"), &other_driver] {
            assert!(!passed_over.matches(&device), "{passed_over:?}");
        }
        assert!(!by_driver("iavf").names(&device), "a pool of all that are alike names nobody");
    }

    #[test]
    fn a_device_is_called_by_its_name_or_an_address_of_either_kind() {
        let device = device();
        for text in ["enp1s0v3", "02:00:00:00:00:03", "0000:01:00.3"] {
            let reference: DeviceReference = text.parse().expect("a reference");
            assert!(reference.means(&device), "{text}");
            assert_eq!(reference.to_string(), text);
        }
        for text in ["enp1s0v30", "02:00:00:00:00:30", "0000:01:00.4"] {
            assert!(!text.parse::<DeviceReference>().expect("a reference").means(&device), "{text}");
        }
        for bad in ["", "a/b", "3b:02.1", "02:00:00:00:00", "a name that is too long for a link"] {
            let refused = bad.parse::<DeviceReference>().expect_err(bad);
            assert!(refused.contains("by its name, PCI address or MAC address"), "{refused}");
        }
    }

    #[test]
    fn only_a_function_that_is_held_to_a_fixed_address_is_enforced() {
        let settings = |mac: bool, spoof_check, trust| FunctionSettings {
            mac: mac.then_some(MacAddr([2, 0, 0, 0, 0, 3])),
            spoof_check,
            trust,
            ..FunctionSettings::default()
        };
        let before = settings(true, Some(false), Some(false));
        let loan = |meanwhile| Loan { device: device(), before: Some(before.clone()), meanwhile };
        assert!(loan(Some(settings(true, Some(true), None))).is_enforced());
        for meanwhile in [
            None,
            Some(settings(true, None, None)),
            Some(settings(false, Some(true), None)),
            Some(settings(true, Some(true), Some(true))),
        ] {
            assert!(!loan(meanwhile.clone()).is_enforced(), "{meanwhile:?}");
        }
        let unknown = FunctionSettings { trust: None, ..before.clone() };
        let loan = Loan { before: Some(unknown), ..loan(Some(settings(true, Some(true), None))) };
        assert!(!loan.is_enforced(), "what cannot be read is not relied on");
    }
}
