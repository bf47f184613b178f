//! What a server offers or grants, read out of its message and held against reason.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use weft_model::{Grant, GrantedRoute, LeaseServer, LeaseTimes};

use super::message::{Message, code};
use crate::addresses::{classful_length, is_assignable_v4, is_reachable, mask_length};
use crate::bytes::Reader;
use crate::{INFINITE, LIFETIME_S_MIN, Moment, names};

/// Most routers, and most name servers, that are taken of one message.
const HOSTS_MAX: usize = 8;
/// Most routes that are taken of one message.
const ROUTES_MAX: usize = 64;
/// Smallest MTU that RFC 2132, section 5.1, allows is 68; below this one IPv6 would go (RFC 8200, section 5).
const MTU_MIN: u16 = 1280;
/// Extensions need not be asked for more often than this, whatever T1 is said to be: in seconds.
const RENEW_S_MIN: u32 = 60;

/// Terms that a client can live with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The address, with the length of its subnet.
    pub address: Ipv4Net,
    /// Who says so.
    pub server: Ipv4Addr,
    /// Seconds; `None` is without end.
    pub lifetime_s: Option<u32>,
    /// T1 in seconds.
    pub renew_s: u32,
    /// T2 in seconds.
    pub rebind_s: u32,
    routers: Vec<IpAddr>,
    routes: Vec<GrantedRoute>,
    dns: Vec<IpAddr>,
    domain: Option<String>,
    search: Vec<String>,
    mtu: Option<u16>,
}

/// Why a client cannot live with what a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It does not say who it is.
    #[error("names no server")]
    NoServer,
    /// No host can have this address.
    #[error("{0} is no address for a host")]
    Address(Ipv4Addr),
    /// No subnet has this mask.
    #[error("{0} is no mask of a subnet")]
    Mask(Ipv4Addr),
    /// The address is that of the subnet itself, or its broadcast address.
    #[error("{0} is the first or last address of its subnet")]
    Edge(Ipv4Net),
    /// The lease has no length, or is over at once.
    #[error("a lease of {} s, less than {LIFETIME_S_MIN}", .0.unwrap_or(0))]
    Lifetime(Option<u32>),
}

impl Terms {
    /// Reads an offer or an acknowledgement.
    pub fn read(message: &Message) -> Result<Self, Unusable> {
        let server = message.address(code::SERVER_ID).filter(|server| is_reachable((*server).into()));
        let server = server.ok_or(Unusable::NoServer)?;
        let address = subnet(message)?;
        let lifetime = message.seconds(code::LEASE_TIME);
        let lifetime = lifetime.filter(|s| *s >= LIFETIME_S_MIN).ok_or(Unusable::Lifetime(lifetime))?;
        let said = (message.seconds(code::RENEWAL_TIME), message.seconds(code::REBINDING_TIME));
        let (renew_s, rebind_s) = phases(lifetime, said);
        let own = IpAddr::V4(address.addr());
        let hosts = |code| {
            let all = message.addresses(code).map(IpAddr::V4).filter(move |ip| is_reachable(*ip) && *ip != own);
            all.take(HOSTS_MAX).collect::<Vec<_>>()
        };
        let mut routers = hosts(code::ROUTER);
        routers.retain(|router| !is_edge(&address, *router));
        let routes = classless(message, address.addr());
        // Whoever has classless routes must not look at the routers (RFC 3442).
        let routes = routes.unwrap_or_else(|| {
            let default = |router: &IpAddr| GrantedRoute { to: Ipv4Net::default().into(), via: Some(*router) };
            routers.first().map(default).into_iter().collect()
        });
        let is_default = |route: &&GrantedRoute| route.to.prefix_len() == 0;
        let gateways = routes.iter().filter(is_default).filter_map(|route| route.via);
        let routers = gateways.chain(routers.iter().copied()).take(HOSTS_MAX);
        let mut distinct: Vec<IpAddr> = Vec::new();
        routers.for_each(|router| distinct.extend(Some(router).filter(|router| !distinct.contains(router))));
        let text = |code| message.options.get(&code).and_then(|bytes| names::parse_text(bytes));
        let mtu = message.options.get(&code::MTU).and_then(|bytes| crate::bytes::u16_of(bytes));
        Ok(Self {
            address,
            server,
            lifetime_s: Some(lifetime).filter(|s| *s != INFINITE),
            renew_s,
            rebind_s,
            routers: if routes.iter().any(|route| route.to.prefix_len() == 0) { distinct } else { Vec::new() },
            routes,
            dns: message.addresses(code::DNS).map(IpAddr::V4).filter(|ip| is_reachable(*ip)).take(HOSTS_MAX).collect(),
            domain: text(code::DOMAIN),
            search: message.options.get(&code::SEARCH).map_or_else(Vec::new, |bytes| names::parse_list(bytes)),
            mtu: mtu.filter(|mtu| *mtu >= MTU_MIN),
        })
    }

    /// The grant of what was asked for at `asked` (RFC 2131, section 4.4.1: its time counts from the question).
    pub(crate) fn grant(&self, asked: Moment) -> Grant {
        Grant {
            address: self.address.into(),
            gateways: self.routers.clone(),
            routes: self.routes.clone(),
            dns: self.dns.clone(),
            domain: self.domain.clone(),
            search: self.search.clone(),
            mtu: self.mtu,
            server: LeaseServer::Address(self.server),
            times: LeaseTimes {
                granted_s: asked.now.as_secs(),
                granted_unix_s: asked.unix_s,
                renew_s: self.renew_s,
                rebind_s: self.rebind_s,
                preferred_s: self.lifetime_s,
                lifetime_s: self.lifetime_s,
            },
        }
    }
}

fn subnet(message: &Message) -> Result<Ipv4Net, Unusable> {
    let address = message.yiaddr;
    if !is_assignable_v4(address) {
        return Err(Unusable::Address(address));
    }
    let length = match message.address(code::SUBNET_MASK) {
        Some(mask) => mask_length(mask).ok_or(Unusable::Mask(mask))?,
        None => classful_length(address),
    };
    let net = Ipv4Net::new(address, length).map_err(|_| Unusable::Address(address))?;
    if is_edge(&net, address.into()) { Err(Unusable::Edge(net)) } else { Ok(net) }
}

/// Whether the address stands for the subnet, or for all in it; subnets of two or one have no such (RFC 3021).
fn is_edge(net: &Ipv4Net, address: IpAddr) -> bool {
    net.prefix_len() < 31 && (address == IpAddr::V4(net.network()) || address == IpAddr::V4(net.broadcast()))
}

/// T1 and T2: what the server says if it makes sense, else the halves and eighths of RFC 2131, section 4.4.5.
fn phases(lifetime: u32, said: (Option<u32>, Option<u32>)) -> (u32, u32) {
    let usual = (lifetime / 2, lifetime - lifetime.div_ceil(8));
    let floor = (lifetime / 8).clamp(1, RENEW_S_MIN);
    let (renew, rebind) = (said.0.unwrap_or(usual.0), said.1.unwrap_or(usual.1));
    if floor <= renew && renew < rebind && rebind < lifetime { (renew, rebind) } else { usual }
}

/// The routes of RFC 3442; `None` if there are none, or they cannot be read: whoever cannot read one cannot read what
/// follows, and a part of a routing table is worse than the routers.
fn classless(message: &Message, own: Ipv4Addr) -> Option<Vec<GrantedRoute>> {
    let mut reader = Reader(message.options.get(&code::CLASSLESS_ROUTES)?);
    let mut routes: Vec<GrantedRoute> = Vec::new();
    while !reader.is_empty() {
        let length = reader.u8().filter(|length| *length <= 32)?;
        let mut octets = [0; 4];
        let significant = usize::from(length.div_ceil(8));
        octets[..significant].copy_from_slice(reader.take(significant)?);
        let to = Ipv4Net::new(octets.into(), length).ok()?.trunc();
        let via = Ipv4Addr::from(reader.array::<4>()?);
        let is_on_link = via.is_unspecified();
        let leads = is_on_link || (is_reachable(via.into()) && via != own);
        let is_unicast = to.prefix_len() == 0 || is_reachable(to.addr().into());
        let route = GrantedRoute { to: IpNet::V4(to), via: (!is_on_link).then_some(via.into()) };
        let is_first = !routes.iter().any(|other| other.to == route.to);
        // A default route without a next hop would have the whole world be on the link.
        if leads && is_unicast && is_first && !(is_on_link && length == 0) && routes.len() < ROUTES_MAX {
            routes.push(route);
        }
    }
    Some(routes).filter(|routes| !routes.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use weft_model::MacAddr;

    use super::super::message::Op;
    use super::*;

    fn offer(options: &[(u8, &[u8])]) -> Message {
        let usual: [(u8, &[u8]); 3] = [
            (code::SUBNET_MASK, &[255, 255, 255, 0]),
            (code::LEASE_TIME, &[0, 0, 0x0e, 0x10]),
            (code::SERVER_ID, &[10, 0, 0, 1]),
        ];
        let all = usual.iter().chain(options).map(|(code, value)| (*code, value.to_vec()));
        Message {
            op: Op::Reply,
            xid: 1,
            secs: 0,
            broadcast: true,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::new(10, 0, 0, 7),
            chaddr: MacAddr([2, 0, 0, 0, 0, 1]),
            options: all.collect::<BTreeMap<_, _>>(),
        }
    }

    fn read(options: &[(u8, &[u8])]) -> Result<Grant, Unusable> {
        let moment = Moment { now: Duration::from_secs(100), unix_s: 5, random: 0 };
        Terms::read(&offer(options)).map(|terms| terms.grant(moment))
    }

    fn times(options: &[(u8, &[u8])]) -> (u32, u32, Option<u32>) {
        let times = read(options).unwrap().times;
        (times.renew_s, times.rebind_s, times.lifetime_s)
    }

    #[test]
    fn all_that_a_server_says_is_in_the_grant() {
        let grant = read(&[
            (code::ROUTER, &[10, 0, 0, 1, 10, 0, 0, 2]),
            (code::DNS, &[10, 0, 0, 53, 0, 0, 0, 0, 224, 0, 0, 1]),
            (code::DOMAIN, b"lan"),
            (code::SEARCH, b"\x03lan\0\x03org\0"),
            (code::MTU, &[5, 0xdc]),
        ]);
        let grant = grant.unwrap();
        assert_eq!(grant.address.to_string(), "10.0.0.7/24");
        assert_eq!(grant.gateways, ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        assert_eq!(grant.routes.len(), 1);
        assert_eq!(grant.dns, ["10.0.0.53".parse::<IpAddr>().unwrap()]);
        assert_eq!((grant.domain.as_deref(), grant.mtu), (Some("lan"), Some(1500)));
        assert_eq!(grant.search, ["lan", "org"]);
        assert_eq!((grant.times.granted_s, grant.times.granted_unix_s), (100, 5));
    }

    #[test]
    fn lifetimes_that_make_no_sense_are_refused_or_put_right() {
        let seconds = |code, s: u32| (code, s.to_be_bytes());
        for s in [0, 1, 3] {
            let (code, value) = seconds(code::LEASE_TIME, s);
            assert_eq!(read(&[(code, &value)]), Err(Unusable::Lifetime(Some(s))));
        }
        assert_eq!(read(&[(code::LEASE_TIME, &[0, 0])]), Err(Unusable::Lifetime(None)));
        assert_eq!(times(&[(code::LEASE_TIME, &4_u32.to_be_bytes())]), (2, 3, Some(4)));
        assert_eq!(times(&[(code::LEASE_TIME, &[255; 4])]).2, None, "without end");
        assert_eq!(times(&[]), (1800, 3150, Some(3600)));
        let said = |renew: u32, rebind: u32| {
            let (renew, rebind) = (renew.to_be_bytes(), rebind.to_be_bytes());
            times(&[(code::RENEWAL_TIME, &renew), (code::REBINDING_TIME, &rebind)])
        };
        assert_eq!(said(600, 1200), (600, 1200, Some(3600)));
        for (renew, rebind) in [(0, 0), (1, 2), (1200, 600), (600, 600), (1800, 3600), (u32::MAX, u32::MAX)] {
            assert_eq!(said(renew, rebind), (1800, 3150, Some(3600)), "{renew} {rebind}");
        }
    }

    #[test]
    fn addresses_and_masks_that_no_host_has_are_refused() {
        for address in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.0.9"] {
            let address: Ipv4Addr = address.parse().unwrap();
            let message = Message { yiaddr: address, ..offer(&[]) };
            assert_eq!(Terms::read(&message), Err(Unusable::Address(address)));
        }
        for mask in [[0, 0, 0, 0], [255, 0, 255, 0], [0, 0, 0, 255]] {
            assert_eq!(read(&[(code::SUBNET_MASK, &mask)]), Err(Unusable::Mask(mask.into())));
        }
        for last in [0, 255] {
            let message = Message { yiaddr: Ipv4Addr::new(10, 0, 0, last), ..offer(&[]) };
            assert!(matches!(Terms::read(&message), Err(Unusable::Edge(_))));
        }
        assert_eq!(read(&[(code::SUBNET_MASK, &[255; 4])]).unwrap().address.prefix_len(), 32);
        assert_eq!(read(&[(code::SUBNET_MASK, &[])]).unwrap().address.prefix_len(), 8, "as classes had it");
        for server in [&[0, 0, 0, 0][..], &[255; 4], &[], &[127, 0, 0, 1]] {
            assert_eq!(read(&[(code::SERVER_ID, server)]), Err(Unusable::NoServer));
        }
    }

    #[test]
    fn routers_may_be_outside_of_the_subnet_but_must_be_somebody_else() {
        let gateways = |routers: &[u8]| read(&[(code::ROUTER, routers)]).unwrap().gateways;
        assert_eq!(gateways(&[172, 16, 0, 1]), ["172.16.0.1".parse::<IpAddr>().unwrap()]);
        for bad in [[10, 0, 0, 7], [0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [10, 0, 0, 255], [10, 0, 0, 0]] {
            assert_eq!(gateways(&bad), [] as [IpAddr; 0], "{bad:?}");
        }
        assert_eq!(gateways(&[10, 0, 0, 1].repeat(60)).len(), 1);
    }

    #[test]
    fn classless_routes_take_the_place_of_routers() {
        let routes = |bytes: &[u8]| {
            let grant = read(&[(code::CLASSLESS_ROUTES, bytes), (code::ROUTER, &[10, 0, 0, 2])]).unwrap();
            let show = |route: &GrantedRoute| format!("{} {:?}", route.to, route.via.map(|via| via.to_string()));
            (grant.routes.iter().map(show).collect::<Vec<_>>(), grant.gateways.len())
        };
        let fallback = (vec![r#"0.0.0.0/0 Some("10.0.0.2")"#.to_owned()], 1);
        let two = [&[24, 192, 168, 9, 0, 0, 0, 0][..], &[0, 10, 0, 0, 1]].concat();
        let expected = ["192.168.9.0/24 None", r#"0.0.0.0/0 Some("10.0.0.1")"#].map(str::to_owned);
        assert_eq!(routes(&two), (expected.to_vec(), 2));
        let only = routes(&[12, 172, 31, 10, 0, 0, 1]);
        assert_eq!(only, (vec![r#"172.16.0.0/12 Some("10.0.0.1")"#.to_owned()], 0), "no default route at all");
        for broken in [&[33, 1, 1, 1, 1, 1, 10, 0, 0, 1][..], &[24, 192], &[0, 10, 0, 0], &[0, 0, 0, 0, 0], &[]] {
            assert_eq!(routes(broken), fallback, "{broken:?}");
        }
        let absurd = [&[8, 127, 10, 0, 0, 1][..], &[4, 224, 10, 0, 0, 1], &[8, 20, 10, 0, 0, 7], &two].concat();
        assert_eq!(routes(&absurd).0.len(), 2);
    }
}
