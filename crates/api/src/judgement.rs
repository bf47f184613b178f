//! Whether one may speak to another, and who says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flow::FlowEnd;

/// What one of those on the way says of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Who: a door, a route, a rule.
    pub at: String,
    /// `allowed`, `denied`, or `unknown` of what weft cannot tell.
    pub verdict: String,
    /// Why.
    pub why: String,
}

/// Whether one may open a connection to another, by what is installed in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Who would open it.
    pub from: FlowEnd,
    /// To whom.
    pub to: FlowEnd,
    /// `TCP`, `UDP`, `ICMP`, `ICMPv6`, `SCTP`, or a number.
    pub protocol: String,
    /// `allowed` or `denied`.
    pub verdict: String,
    /// Who decided.
    pub decided_by: String,
    /// All that were asked, in the order in which a packet comes by.
    pub steps: Vec<Step>,
}
