//! Answers that are no objects: status, errors, what was applied, what a check found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::Condition;

/// The error of every route but `/v1/cni`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReply {
    /// What is wrong, with which object, and what to do: one per fault.
    pub errors: Vec<String>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// weft's version.
    pub version: String,
    /// Version of the objects.
    pub api: String,
}

/// Whether something can be served here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Availability {
    /// `attachment` or `transport`.
    pub feature: String,
    /// Such as `bridge`.
    pub name: String,
    /// Whether networks may use it.
    pub available: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A setting of the host that weft needed otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Path below /proc/sys.
    pub name: String,
    /// Value before.
    pub was: String,
    /// Value that weft set.
    pub now: String,
    /// What for.
    pub why: String,
}

/// A rule of weft's in somebody else's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForeignRule {
    /// The chain: family, table and name.
    pub chain: String,
    /// The comment that marks the rule.
    pub rule: String,
}

/// The agent's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// weft's version.
    pub version: String,
    /// The host's name.
    pub node: String,
    /// Process id.
    pub pid: u32,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Kernel memory of the programs' maps, in bytes.
    #[serde(default)]
    pub map_bytes: u64,
    /// Where it listens.
    pub socket: String,
    /// Where the ledger is.
    pub run_dir: String,
    /// Where the store is.
    pub state_dir: String,
    /// The link by which the host reaches the outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<String>,
    /// Networks.
    pub networks: usize,
    /// Endpoints.
    pub endpoints: usize,
    /// What can be served.
    pub features: Vec<Availability>,
    /// Settings of the host that weft changed.
    pub settings: Vec<Setting>,
    /// Rules that weft added to chains which would drop containers' packets.
    pub accepts: Vec<ForeignRule>,
    /// Whether the kernel is as it must be, and what else is to be known.
    pub conditions: Vec<Condition>,
}

/// What became of an applied object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApplyAction {
    /// It was not there before.
    Created,
    /// It was otherwise before.
    Changed,
    /// It was so already.
    Unchanged,
}

/// One applied object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub action: ApplyAction,
}

/// A held address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The address.
    pub address: String,
    /// The network whose pool it is from, or whose LAN gave it.
    pub network: String,
    /// `NAMESPACE/NAME` of its holder.
    pub endpoint: String,
    /// The holder's container.
    pub container_id: String,
    /// The holder's interface.
    pub interface: String,
}

/// What became of an endpoint's packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counter {
    /// `NAMESPACE/NAME`; `-` for senders that are no endpoint, whose packets are dropped.
    pub endpoint: String,
    /// Its interface; of such senders, the link on the host by which they came.
    pub interface: String,
    /// `out` for what the container sent, `in` for what was sent to it.
    pub direction: String,
    /// `passed` or `dropped`.
    pub verdict: String,
    /// Why they were dropped: a word; empty if they passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the reason means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meaning: String,
    /// Packets since the endpoint's birth, as segmented as the stack has them.
    pub packets: u64,
    /// Bytes with the Ethernet header.
    pub bytes: u64,
}

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The object, such as an endpoint or a link.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Whether ledger, kernel and namespaces agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IpamCheck {
    /// Endpoints looked at.
    pub endpoints: usize,
    /// Addresses looked at.
    pub addresses: usize,
    /// What does not agree; empty if all is well.
    pub findings: Vec<Finding>,
}
