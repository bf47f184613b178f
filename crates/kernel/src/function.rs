//! Virtual functions (SR-IOV), which the physical one rules: whatever a container does with its function, these
//! settings hold (`do_setvfinfo` in net/core/rtnetlink.c).

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkMessage, LinkVfInfo, VfInfo, VfInfoMac, VfInfoRate, VfInfoSpoofCheck,
    VfInfoTrust, VfInfoVlan,
};
use rustix::io::Errno;
use weft_model::{Function, FunctionSettings, MacAddr};

use crate::link;
use crate::netlink::{KernelError, Netlink, Request};

/// What the physical function has it do.
pub fn read(host: &mut Netlink, function: &Function) -> Result<FunctionSettings, KernelError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(function.pf.to_string()));
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats]));
    let found = host.get(RouteNetlinkMessage::GetLink(message))?;
    let Some(RouteNetlinkMessage::NewLink(message)) = found else { return Err(absent(function)) };
    let lists = message.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::VfInfoList(list) => Some(list),
        _ => None,
    });
    let mut all = lists.flatten().map(|info| settings(&info.0));
    let found = all.find_map(|(number, settings)| (number == Some(function.number)).then_some(settings));
    found.ok_or_else(|| absent(function))
}

fn absent(function: &Function) -> KernelError {
    KernelError::new("read", name(function), Errno::NODEV)
}

fn name(function: &Function) -> String {
    format!("virtual function {} of {}", function.number, function.pf)
}

fn settings(infos: &[VfInfo]) -> (Option<u32>, FunctionSettings) {
    let (mut number, mut settings) = (None, FunctionSettings::default());
    for info in infos {
        match info {
            VfInfo::Mac(info) => {
                number = Some(info.vf_id);
                settings.mac = info.mac.first_chunk().map(|bytes| MacAddr(*bytes));
            }
            VfInfo::Vlan(info) => {
                settings.vlan = u16::try_from(info.vlan_id).ok();
                settings.priority = u8::try_from(info.qos).ok();
            }
            VfInfo::Rate(info) => settings.rates = Some((info.min_tx_rate, info.max_tx_rate)),
            VfInfo::SpoofCheck(info) => settings.spoof_check = Some(info.enabled),
            VfInfo::Trust(info) => settings.trust = Some(info.enabled),
            _ => {}
        }
    }
    (number, settings)
}

/// Sets what `settings` say. One request each: what a driver cannot do is then known by name.
pub fn set(host: &mut Netlink, function: &Function, settings: &FunctionSettings) -> Result<(), KernelError> {
    let infos = infos(function.number, settings);
    if infos.is_empty() {
        return Ok(());
    }
    let pf = link::find(host, function.pf.as_str())?.ok_or_else(|| absent(function))?;
    let request = |(what, info): (&'static str, VfInfo)| {
        let mut message = LinkMessage::default();
        message.header.index = pf.index;
        message.attributes.push(LinkAttribute::VfInfoList(vec![LinkVfInfo(vec![info])]));
        Request::new(what, name(function), 0, RouteNetlinkMessage::SetLink(message))
    };
    host.run(&infos.into_iter().map(request).collect::<Vec<_>>())
}

fn infos(number: u32, settings: &FunctionSettings) -> Vec<(&'static str, VfInfo)> {
    let FunctionSettings { mac, spoof_check, trust, vlan, priority, rates } = settings;
    let priority = u32::from(priority.unwrap_or_default());
    let mac = mac.map(|mac| ("fix the Ethernet address of", VfInfo::Mac(VfInfoMac::new(number, &mac.0))));
    let vlan = vlan.map(|vlan| {
        ("set the VLAN of", VfInfo::Vlan(VfInfoVlan::new(number, vlan.into(), if vlan == 0 { 0 } else { priority })))
    });
    let rates = rates.map(|(least, most)| ("set the rate of", VfInfo::Rate(VfInfoRate::new(number, least, most))));
    let spoof_check =
        spoof_check.map(|is_on| ("set the spoof check of", VfInfo::SpoofCheck(VfInfoSpoofCheck::new(number, is_on))));
    let trust = trust.map(|is_on| ("set the trust of", VfInfo::Trust(VfInfoTrust::new(number, is_on))));
    // Not trusted before it has an address to keep.
    [trust, mac, vlan, rates, spoof_check].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_what_is_read() {
        let whole = FunctionSettings {
            mac: Some(MacAddr([2, 0, 0, 0, 0, 3])),
            spoof_check: Some(true),
            trust: Some(false),
            vlan: Some(42),
            priority: Some(3),
            rates: Some((0, 100)),
        };
        let read = |settings: &FunctionSettings| {
            let infos: Vec<_> = infos(3, settings).into_iter().map(|(_, info)| info).collect();
            self::settings(&infos)
        };
        assert_eq!(read(&whole), (Some(3), whole.clone()));
        assert_eq!(infos(3, &FunctionSettings::default()).len(), 0, "what is not said stays");
        let none = FunctionSettings { vlan: Some(0), ..whole };
        assert_eq!(read(&none).1.priority, Some(0), "the kernel refuses a priority without a VLAN");
    }
}
