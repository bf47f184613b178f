//! Captures: whole packets as they come to an endpoint's door, each with what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flow::FlowEnd;

/// What is to be captured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptureWish {
    /// At whose door: `[NAMESPACE/]NAME`, a container id or 4 and more of its first characters, or an address;
    /// `@INTERFACE`.
    pub endpoint: String,
    /// `out` for what the endpoint sends, `in` for what is sent to it; both where neither is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Only what is dropped.
    #[serde(default)]
    pub dropped: bool,
    /// So many bytes of each packet, from its Ethernet header on; 65000 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
}

/// A capture that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capture {
    /// What it is called by. It ends when nobody asks for its packets for 10 seconds.
    pub id: String,
    /// `NAMESPACE/NAME` of the endpoint.
    pub endpoint: String,
    /// Its interface, as the container calls it.
    pub interface: String,
    /// So many bytes of each packet.
    pub snaplen: u32,
}

/// What was captured since it was asked for last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Packets {
    /// Oldest first.
    pub items: Vec<Packet>,
    /// Packets that were not captured since the capture began, because there was no room for them.
    pub missed: u64,
    /// Why nothing more will come, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// A packet, with what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Packet {
    /// Microseconds since 1970.
    pub time_us: u64,
    /// `out` for what the endpoint sent, `in` for what was sent to it.
    pub direction: String,
    /// `passed` or `dropped`.
    pub verdict: String,
    /// Why it was dropped: a word; empty if it passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the reason means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meaning: String,
    /// `stack`, or `short` if it went from door to door, past the host's stack.
    pub way: String,
    /// Who sent it.
    pub from: FlowEnd,
    /// Whom it was sent to.
    pub to: FlowEnd,
    /// `TCP`, `UDP`, `ICMP`, `ICMPv6`, `SCTP`, `ARP`, or a number.
    pub protocol: String,
    /// TCP's flags, as letters: `S`, `A`, `F`, `R`, `P`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flags: String,
    /// Its length with the Ethernet header, of which `data` may have less.
    pub bytes: u32,
    /// Its first bytes, from the Ethernet header on, in base64 (RFC 4648, section 4).
    pub data: String,
}

impl Packet {
    /// What became of it, as one sentence.
    pub fn fate(&self) -> String {
        match (self.reason.as_str(), self.meaning.as_str()) {
            ("", _) => format!("{}: {}", self.verdict, self.way),
            (reason, meaning) => format!("{}: {reason}: {meaning}", self.verdict),
        }
    }
}
