//! What a table of rules is, as plain data.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// A table of family `inet`: what [`Nft::replace`](super::Nft::replace) makes true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its chains; rules may jump to any of them.
    pub chains: Vec<Chain>,
}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets enter it; a chain without is entered by jumps only.
    pub hook: Option<Hook>,
    /// Walked in this order.
    pub rules: Vec<Rule>,
}

/// How packets reach a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// What the chain may do.
    pub kind: HookKind,
    /// On which path.
    pub at: HookPoint,
    /// Lower comes first; 0 is `filter`, 100 is `srcnat`.
    pub priority: i32,
    /// What happens to a packet that no rule decided.
    pub policy: Policy,
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    /// Accept and drop.
    Filter,
    /// Translate: sees the first packet of a connection only.
    Nat,
}

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HookKind::Filter => "filter",
            HookKind::Nat => "nat",
        })
    }
}

/// The points of a packet's path through the host; the numbers are the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum HookPoint {
    /// Before routing.
    Prerouting = 0,
    /// To the host itself.
    Input = 1,
    /// Through the host.
    Forward = 2,
    /// From the host itself.
    Output = 3,
    /// After routing.
    Postrouting = 4,
}

/// The fate of a packet at the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It goes on.
    Accept,
    /// It ends here.
    Drop,
}

/// One rule: when all matches hold, the statements are carried out in order.
///
/// Alternatives are several rules. A rule holds about 30 matches; longer lists of exceptions are better a chain of
/// their own that returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// None at all is a rule for every packet.
    pub matches: Vec<Match>,
    /// A verdict, if there is one, comes last.
    pub statements: Vec<Statement>,
    /// What `nft` shows beside the rule, at most [`COMMENT_BYTES_MAX`] bytes; empty for none.
    pub comment: String,
}

/// Longest comment of a rule in bytes: what `nft` itself allows.
pub const COMMENT_BYTES_MAX: usize = 128;

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The field has this value.
    Is(Field),
    /// It has another. A packet that lacks the field (an IPv6 packet an IPv4 address) matches neither.
    Not(Field),
}

/// What a condition looks at, and the value it looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The interface the packet came in by.
    Input(Interface),
    /// The interface it leaves by.
    Output(Interface),
    /// The source address.
    Source(IpNet),
    /// The destination address.
    Destination(IpNet),
    /// The protocol above IP, by its IANA number.
    Protocol(u8),
    /// The type of an ICMP message.
    Icmp(u8),
    /// The type of an ICMPv6 message.
    Icmpv6(u8),
    /// The connection is in one of these states.
    State(Vec<State>),
    /// The connection's destination was translated.
    DestinationTranslated,
}

/// Interfaces by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// The one of this name.
    Named(String),
    /// All whose names begin so.
    Prefixed(String),
}

/// The states of connection tracking; the numbers are the kernel's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Belongs to no connection and begins none.
    Invalid = 1,
    /// Packets were seen both ways.
    Established = 2,
    /// Begins a connection that a known one announced, or tells of its error.
    Related = 4,
    /// Begins a connection.
    New = 8,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Counts the packet.
    Counter,
    /// Ends this base chain; the packet goes on to the next.
    Accept,
    /// Ends the packet.
    Drop,
    /// Goes back to the chain that jumped here.
    Return,
    /// Walks another chain of the table and comes back.
    Jump(String),
    /// Gives the connection the address of the interface it leaves by.
    Masquerade,
    /// Gives the connection this source address.
    SourceNat(IpAddr),
}

/// The families a table can be of; the numbers are the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ip = 2,
    /// ARP.
    Arp = 3,
    /// The ingress and egress of devices.
    Netdev = 5,
    /// Frames through a bridge.
    Bridge = 7,
    /// IPv6.
    Ip6 = 10,
}

impl Family {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        use Family::*;
        [Inet, Ip, Arp, Netdev, Bridge, Ip6].into_iter().find(|family| *family as u8 == number)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Inet => "inet",
            Family::Ip => "ip",
            Family::Arp => "arp",
            Family::Netdev => "netdev",
            Family::Bridge => "bridge",
            Family::Ip6 => "ip6",
        })
    }
}

/// Names a table of anybody's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableRef {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: String,
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} {}", self.family, self.name)
    }
}

/// Names a chain of anybody's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainRef {
    /// The family of its table.
    pub family: Family,
    /// The name of its table.
    pub table: String,
    /// Its own name.
    pub chain: String,
}

impl fmt::Display for ChainRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain {} {} {}", self.family, self.table, self.chain)
    }
}
