//! What endpoints say to each other and to others, as the programs see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One end of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowEnd {
    /// Its address; empty of what is no IP.
    pub address: String,
    /// Its port, where the protocol has ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `NAMESPACE/NAME` of the endpoint of this host that has the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// That endpoint's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// Something that happened at an endpoint's door: a connection began or ended, or a packet was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// Counts up by one, from 1 at the agent's start; where numbers are missing, older ones were forgotten.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// `opened`, `established`, `ended`, `dropped` or `audited`.
    pub event: String,
    /// `passed`, `dropped`, or `audited` if it passed and policies would have dropped it if nothing were in audit.
    pub verdict: String,
    /// Why it was dropped, or would have been: a word; empty if it just passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the reason means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meaning: String,
    /// The policies, or the rule of one, that decided, where policies did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Which change of what the programs decide by was the last before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// `NAMESPACE/NAME` of the endpoint at whose door it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<String>,
    /// `out` for what that endpoint sent, `in` for what was sent to it.
    pub direction: String,
    /// Who sent the packet that was seen.
    pub from: FlowEnd,
    /// Whom it was sent to.
    pub to: FlowEnd,
    /// `TCP`, `UDP`, `ICMP`, `ICMPv6`, `SCTP`, `ARP`, or a number.
    pub protocol: String,
    /// TCP's flags, as letters: `S`, `A`, `F`, `R`, `P`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flags: String,
    /// `stack`, or `short` if it goes from door to door, past the host's stack.
    pub way: String,
    /// Of the packet, with the Ethernet header.
    pub bytes: u32,
    /// The service by which its connection was led to who gets it: `NAMESPACE/NAME`, and `:PORT` by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A connection that is tracked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Who opened it.
    pub from: FlowEnd,
    /// Whom it was opened to.
    pub to: FlowEnd,
    /// `TCP`, `UDP`, `ICMP`, `ICMPv6`, `SCTP`, or a number.
    pub protocol: String,
    /// `opening`, `answered`, `established`, `closing`, `finished` or `reset`.
    pub state: String,
    /// `stack`, or `short` if it goes from door to door, past the host's stack.
    pub way: String,
    /// Seconds after which it is forgotten if nothing more is sent.
    pub remaining_s: u64,
    /// The service by which it was led to who gets it: `NAMESPACE/NAME`, and `:PORT` by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}
