//! Prefixes as people write them: of pools and routes, and of what may be sent from besides an endpoint's own
//! addresses.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::invalid::{Invalid, InvalidFields};
use crate::network::nets_overlap;

/// Most prefixes that one endpoint may be allowed to send from: as many as a network may list. The programs' map has
/// room for a thousand such endpoints.
pub const ALLOWED_PER_ENDPOINT_MAX: usize = 64;

/// A prefix without host bits.
pub(crate) fn parse_net(text: &str) -> Result<IpNet, String> {
    let example = "write ADDRESS/LENGTH, such as 10.64.0.0/16 or fd64::/64";
    let net: IpNet = text.parse().map_err(|_| format!("is not a CIDR: {example}"))?;
    if net.addr() == net.network() { Ok(net) } else { Err(format!("has host bits set: write {}", net.trunc())) }
}

/// What `texts`, addresses and CIDRs, allow to be sent from; else all that is wrong with them. They are `field` of
/// `object`, such as `spec.allowedAddresses` of `network "app"`.
pub fn resolve_allowed<T: AsRef<str>>(object: &str, field: &str, texts: &[T]) -> Result<Vec<IpNet>, InvalidFields> {
    let (mut allowed, mut faults) = (Vec::new(), Vec::new());
    for (n, text) in texts.iter().map(AsRef::as_ref).enumerate() {
        match parse_allowed(text) {
            Ok(net) => allowed.push(net),
            Err(remedy) => faults.push(Invalid {
                object: object.to_owned(),
                field: format!("{field}[{n}]"),
                value: text.to_owned(),
                remedy,
            }),
        }
    }
    if faults.is_empty() { Ok(allowed) } else { Err(InvalidFields(faults)) }
}

fn parse_allowed(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| parse_net(text))?;
    let mapped = IpNet::new_assert(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into(), 96);
    if net.addr().is_unspecified() {
        Err("would allow everything: list what endpoints really send from".to_owned())
    } else if nets_overlap(&net, &mapped) {
        Err("is IPv4 in IPv6 clothes: write the IPv4 address".to_owned())
    } else {
        Ok(net)
    }
}
