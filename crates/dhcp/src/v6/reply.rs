//! What a server says to one client, read out of its message and held against reason.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use weft_model::{Duid, Grant, LeaseServer, LeaseTimes};

use super::message::{Kind, Message, code, decode_options, find};
use crate::addresses::{is_assignable_v6, is_reachable};
use crate::bytes::Reader;
use crate::{INFINITE, Identity, LIFETIME_S_MIN, Moment, names};

/// Most name servers that are taken of one message.
const DNS_MAX: usize = 8;
/// Extensions need not be asked for more often than this, whatever T1 is said to be: in seconds.
const RENEW_S_MIN: u32 = 60;

/// Status codes (RFC 8415, section 21.13).
const SUCCESS: u16 = 0;
/// The server does not know of this association.
const NO_BINDING: u16 = 3;

/// A message of a server that is for this client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// An advertisement, or a reply.
    pub kind: Kind,
    /// Transaction id.
    pub xid: u32,
    /// Who says so.
    pub server: Duid,
    /// How much it wants to be chosen.
    pub preference: u8,
    /// It answers a solicitation at once.
    pub is_rapid: bool,
    /// The message as a whole is good news.
    pub is_success: bool,
    /// What becomes of the client's address.
    pub association: Association,
    dns: Vec<IpAddr>,
    search: Vec<String>,
}

/// What a server says of the client's one association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Association {
    /// Nothing, or nothing of use.
    Absent,
    /// It does not know of it.
    Unknown,
    /// An address that a host can have, and its seconds.
    Address {
        /// The address.
        address: Ipv6Addr,
        /// T1.
        renew_s: u32,
        /// T2.
        rebind_s: u32,
        /// `None` is without end.
        preferred_s: Option<u32>,
        /// `None` is without end.
        valid_s: Option<u32>,
    },
    /// An address is over.
    Over(Ipv6Addr),
}

impl Reply {
    /// Reads a message of a server's; `None` if it is not for the client (RFC 8415, section 16), or says nothing.
    pub fn read(message: &Message, identity: &Identity) -> Option<Self> {
        let is_servers = matches!(message.kind, Kind::Advertise | Kind::Reply);
        if !is_servers || message.option(code::CLIENT_ID)? != identity.duid() {
            return None;
        }
        Some(Self {
            kind: message.kind,
            xid: message.xid,
            server: Duid::of(message.option(code::SERVER_ID)?)?,
            preference: message.option(code::PREFERENCE).and_then(|value| value.first().copied()).unwrap_or(0),
            is_rapid: message.option(code::RAPID_COMMIT).is_some(),
            is_success: status(&message.options) == SUCCESS,
            association: association(message, identity),
            dns: servers(message.option(code::DNS).unwrap_or_default()),
            search: names::parse_list(message.option(code::SEARCH).unwrap_or_default()),
        })
    }

    /// The grant of what was asked for at `asked`, if this is one.
    pub(crate) fn grant(&self, asked: Moment) -> Option<Grant> {
        let Association::Address { address, renew_s, rebind_s, preferred_s, valid_s } = self.association else {
            return None;
        };
        Some(Grant {
            address: Ipv6Net::from(address).into(),
            gateways: Vec::new(),
            routes: Vec::new(),
            dns: self.dns.clone(),
            domain: None,
            search: self.search.clone(),
            mtu: None,
            server: LeaseServer::Duid(self.server.clone()),
            times: LeaseTimes {
                granted_s: asked.now.as_secs(),
                granted_unix_s: asked.unix_s,
                renew_s,
                rebind_s,
                preferred_s,
                lifetime_s: valid_s,
            },
        })
    }
}

/// The status among options: success, unless it says otherwise.
fn status(options: &[(u16, Vec<u8>)]) -> u16 {
    let value = find(options, code::STATUS).unwrap_or_default();
    Reader(value).u16().unwrap_or(SUCCESS)
}

fn servers(value: &[u8]) -> Vec<IpAddr> {
    let (all, _) = value.as_chunks::<16>();
    all.iter().map(|octets| IpAddr::from(*octets)).filter(|ip| is_reachable(*ip)).take(DNS_MAX).collect()
}

/// The first of the client's associations that says something.
fn association(message: &Message, identity: &Identity) -> Association {
    let all = message.options.iter().filter(|(code, _)| *code == code::IA_NA);
    let read = all.filter_map(|(_, value)| parse_association(value, identity));
    let mut said = read.filter(|association| *association != Association::Absent);
    said.next().unwrap_or(Association::Absent)
}

fn parse_association(value: &[u8], identity: &Identity) -> Option<Association> {
    let mut reader = Reader(value);
    let (iaid, t1, t2) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let options = decode_options(reader.0)?;
    // An association whose T1 is behind its T2 is to be discarded (section 21.4).
    if iaid != identity.iaid() || (t2 > 0 && t1 > t2) {
        return None;
    }
    match status(&options) {
        SUCCESS => {}
        NO_BINDING => return Some(Association::Unknown),
        _ => return None,
    }
    let addresses = options.iter().filter(|(code, _)| *code == code::IA_ADDRESS);
    let mut addresses = addresses.filter_map(|(_, value)| parse_address(value, (t1, t2)));
    addresses.next()
}

fn parse_address(value: &[u8], said: (u32, u32)) -> Option<Association> {
    let mut reader = Reader(value);
    let address = Ipv6Addr::from(reader.array::<16>()?);
    let (preferred, valid) = (reader.u32()?, reader.u32()?);
    let options = decode_options(reader.0)?;
    // Preferred for longer than valid is to be discarded (section 21.6).
    if !is_assignable_v6(address) || preferred > valid || status(&options) != SUCCESS {
        return None;
    }
    if valid == 0 {
        return Some(Association::Over(address));
    }
    if valid < LIFETIME_S_MIN {
        return None;
    }
    let (renew_s, rebind_s) = phases(preferred, valid, said);
    let bounded = |seconds: u32| Some(seconds).filter(|seconds| *seconds != INFINITE);
    Some(Association::Address { address, renew_s, rebind_s, preferred_s: bounded(preferred), valid_s: bounded(valid) })
}

/// T1 and T2: what the server says if it makes sense, else what section 21.4 has servers say.
fn phases(preferred: u32, valid: u32, (t1, t2): (u32, u32)) -> (u32, u32) {
    // Of something that is not preferred at all, the time that it is valid counts.
    let base = if preferred < LIFETIME_S_MIN { valid } else { preferred };
    let usual = (base / 2, base - base.div_ceil(5));
    let floor = (valid / 8).clamp(1, RENEW_S_MIN);
    if floor <= t1 && t1 < t2 && t2 < valid { (t1, t2) } else { usual }
}

#[cfg(test)]
mod tests {
    use weft_model::MacAddr;

    use super::super::message::encode_option;
    use super::*;

    fn identity() -> Identity {
        Identity::derived(&["web"], MacAddr([2, 0, 0, 0, 0, 1]))
    }

    fn address(address: &str, preferred: u32, valid: u32) -> Vec<u8> {
        let address: Ipv6Addr = address.parse().unwrap();
        let value = [&address.octets()[..], &preferred.to_be_bytes(), &valid.to_be_bytes()].concat();
        let mut bytes = Vec::new();
        encode_option(code::IA_ADDRESS, &value, &mut bytes);
        bytes
    }

    fn read(iaid: u32, t1: u32, t2: u32, within: &[u8]) -> Association {
        let value = [&iaid.to_be_bytes()[..], &t1.to_be_bytes(), &t2.to_be_bytes(), within].concat();
        let options =
            vec![(code::CLIENT_ID, identity().duid().to_vec()), (code::SERVER_ID, vec![0, 1, 2]), (code::IA_NA, value)];
        Reply::read(&Message { kind: Kind::Reply, xid: 1, options }, &identity()).unwrap().association
    }

    fn times(t1: u32, t2: u32, preferred: u32, valid: u32) -> Option<(u32, u32)> {
        match read(identity().iaid(), t1, t2, &address("fd00::7", preferred, valid)) {
            Association::Address { renew_s, rebind_s, .. } => Some((renew_s, rebind_s)),
            _ => None,
        }
    }

    #[test]
    fn lifetimes_that_make_no_sense_are_refused_or_put_right() {
        assert_eq!(times(100, 200, 300, 400), Some((100, 200)));
        assert_eq!(times(0, 0, 300, 400), Some((150, 240)));
        assert_eq!(times(100, 0, 300, 400), Some((150, 240)));
        assert_eq!(times(1, 2, 3000, 4000), Some((1500, 2400)), "too often");
        assert_eq!(times(500, 600, 300, 400), Some((150, 240)), "after its end");
        assert_eq!(times(300, 200, 300, 400), None, "T1 behind T2");
        assert_eq!(times(0, 0, 400, 300), None, "preferred for longer than valid");
        for valid in [1, 2, 3] {
            assert_eq!(times(0, 0, 1, valid), None);
        }
        assert_eq!(times(0, 0, 0, 400), Some((200, 320)));
        assert!(times(0, 0, u32::MAX, u32::MAX).is_some());
        let over = read(identity().iaid(), 0, 0, &address("fd00::7", 0, 0));
        assert_eq!(over, Association::Over("fd00::7".parse().unwrap()));
    }

    #[test]
    fn addresses_that_no_host_has_are_passed_over() {
        let iaid = identity().iaid();
        for bad in ["::", "::1", "ff02::1", "fe80::1", "::ffff:10.0.0.1"] {
            assert_eq!(read(iaid, 0, 0, &address(bad, 100, 100)), Association::Absent, "{bad}");
            let second = [address(bad, 100, 100), address("fd00::7", 100, 100)].concat();
            assert!(matches!(read(iaid, 0, 0, &second), Association::Address { .. }));
        }
        assert_eq!(read(iaid ^ 1, 0, 0, &address("fd00::7", 100, 100)), Association::Absent, "another's");
        assert_eq!(read(iaid, 0, 0, &[0, 13, 0, 2, 0, 3]), Association::Unknown);
        assert_eq!(read(iaid, 0, 0, &[0, 13, 0, 2, 0, 2]), Association::Absent, "no addresses are left");
        assert_eq!(read(iaid, 0, 0, &[0, 5, 0, 99, 0]), Association::Absent, "runs over the end");
    }

    #[test]
    fn what_is_not_for_the_client_says_nothing() {
        let whole = vec![(code::CLIENT_ID, identity().duid().to_vec()), (code::SERVER_ID, vec![0, 1, 2])];
        let read = |kind, options: &[(u16, Vec<u8>)]| {
            Reply::read(&Message { kind, xid: 1, options: options.to_vec() }, &identity())
        };
        assert!(read(Kind::Reply, &whole).is_some());
        assert!(read(Kind::Solicit, &whole).is_none());
        assert!(read(Kind::Reply, &whole[..1]).is_none());
        assert!(read(Kind::Reply, &whole[1..]).is_none());
        for server in [vec![], vec![0; 131]] {
            assert!(read(Kind::Reply, &[whole[0].clone(), (code::SERVER_ID, server)]).is_none());
        }
    }
}
