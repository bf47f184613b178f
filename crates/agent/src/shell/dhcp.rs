//! Addresses from the LAN: asked for at birth, kept while the endpoint lives, given back at its death.
//!
//! ```text
//!  birth ──► acquire ──► lease ──► record in the ledger ──► keep ──► News ──► record, addresses inside
//!  death ──► forget, release                                 ▲
//!  start ──► record in the ledger ───────────────────────────┘
//! ```
//!
//! What is said is decided by `weft_dhcp`, which is pure. Here are the sockets: a socket keeps the namespace it was
//! opened in alive, so there are none but while an answer may come ([`line`]).
//!
//! Who forms IPv6 addresses: where a router advertises prefixes for it, the kernel inside, which listens to them; where
//! it says that addresses are managed (M), or no router says anything, DHCPv6 is asked.

mod acquire;
mod course;
mod keeper;
mod line;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weft_dhcp::{Identity, Moment};
use weft_kernel::KernelError;
use weft_model::{EndpointKey, Family, IfName, MacAddr, Network};
use weft_netns::NetnsError;

pub use acquire::{MayHave, acquire, announce, release};
pub use keeper::{Beginning, Keeper, Keeping, NEWS_MAX, News, What};

/// Whether a family's address is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// There is no birth without it.
    Required,
    /// It is taken if the LAN has one.
    Welcome,
    /// It is not asked for.
    Unwanted,
}

/// What a birth asks the LAN for.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// An IPv4 address.
    pub v4: Want,
    /// An IPv6 address.
    pub v6: Want,
    /// What servers may call it.
    pub hostname: Option<String>,
    /// How long the birth waits.
    pub timeout: Duration,
}

impl Wishes {
    /// What an endpoint of `network` asks for: the families that the network names, all of them; else an IPv4 address,
    /// and an IPv6 one if its LAN has any.
    pub fn of(network: &Network, hostname: &str, timeout: Duration) -> Self {
        let want = |family, unsaid| match network.asked_families.as_slice() {
            [] => unsaid,
            asked if asked.contains(&family) => Want::Required,
            _ => Want::Unwanted,
        };
        let (v4, v6) = (want(Family::IPv4, Want::Required), want(Family::IPv6, Want::Welcome));
        Self { v4, v6, hostname: Some(hostname.to_owned()), timeout }
    }
}

/// Who asks: all that follows from the endpoint's record.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The interface inside the container.
    pub ifname: IfName,
    /// Its MAC address.
    pub mac: MacAddr,
    /// The host's link by which the agent asks, where that is not for the container: see [`Asker::sharing`].
    pub outside: Option<IfName>,
    /// What servers know it by.
    pub identity: Identity,
}

impl Asker {
    /// The endpoint called `key`, whose interface has `mac`. Servers know it by this host's machine id and its key, so
    /// that it is the same after any restart of the agent's, and another than its neighbours on an ipvlan parent.
    pub fn of(key: &EndpointKey, mac: MacAddr) -> Self {
        let machine = super::machine_id();
        let identity = Identity::derived(&[&machine, key.container.as_str(), key.ifname.as_str()], mac);
        Self { ifname: key.ifname.clone(), mac, outside: None, identity }
    }

    /// The same for an endpoint that has the Ethernet address `mac` of the host's link `outside`, as its neighbours
    /// have. At the parent's door nobody could say which of them asks from an address that none of them has. So what is
    /// said from none (0.0.0.0, ::) the agent says, by the host's link, and hears the answers there: servers send them
    /// to all, and this one is known by its transaction. What is said from an address of the endpoint's own, its
    /// interface says.
    pub fn sharing(key: &EndpointKey, mac: MacAddr, outside: IfName) -> Self {
        Self { outside: Some(outside), ..Self::of(key, mac) }
    }
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// There is no way to send or hear anything.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The LAN gave no address in time.
    #[error(
        "no {family:?} address for {ifname} within {} s: {}; is there a DHCP server on its LAN, and a free address?",
        .timeout.as_secs_f32(), heard(*.answers, *.conflicts, .failure)
    )]
    Silent {
        /// The interface.
        ifname: IfName,
        /// Of which family.
        family: Family,
        /// How long it was waited for.
        timeout: Duration,
        /// DHCP messages that came in.
        answers: u32,
        /// Addresses that were refused, because somebody else had them.
        conflicts: u32,
        /// The last message that could not be sent.
        failure: Option<String>,
    },
    /// The interface has nobody at its other end.
    #[error(
        "no address for {ifname}: it has no carrier {} s after it was raised; is its cable plugged in, and the port at \
         the other end up?", .timeout.as_secs_f32()
    )]
    NoCarrier {
        /// The interface.
        ifname: IfName,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// A router says that there are no addresses to be had.
    #[error("no IPv6 address for {0}: a router of its LAN offers neither prefixes (A) nor DHCPv6 (M)")]
    Unmanaged(IfName),
    /// A router says that no server has addresses, and the interface cannot form any.
    #[error(
        "no IPv6 address for {0}: a router of its LAN offers no DHCPv6 (M), and by its prefixes (A) an interface that \
         shares its Ethernet address forms none: use macvlan, or families: [IPv4]"
    )]
    Unformed(IfName),
}

fn heard(answers: u32, conflicts: u32, failure: &Option<String>) -> String {
    match (answers, conflicts, failure) {
        (0, _, Some(failure)) => format!("nothing could be sent: {failure}"),
        (0, _, None) => "nobody answered".to_owned(),
        (answers, 0, _) => format!("none of {answers} answers was of use"),
        (_, conflicts, _) => format!("others had {conflicts} of the addresses that its server gave"),
    }
}

/// Now, and what chance has to say.
fn moment() -> Moment {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::new(since.tv_sec.unsigned_abs(), u32::try_from(since.tv_nsec).unwrap_or(0));
    let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut random = [0; 8];
    // Eight bytes are never given in part, and the pool is full long before there are containers.
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    Moment { now, unix_s, random: u64::from_ne_bytes(random) }
}
