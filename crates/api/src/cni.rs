//! What the shim sends and gets: the environment and the configuration of one CNI call, untouched.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One call of the plugin (CNI SPEC.md, section 2). A descriptor of the namespace may travel beside it (SCM_RIGHTS),
/// for agents that do not see the runtime's paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CniRequest {
    /// `CNI_COMMAND`.
    pub command: String,
    /// `CNI_CONTAINERID`.
    #[serde(default)]
    pub container_id: String,
    /// `CNI_NETNS`.
    #[serde(default)]
    pub netns: String,
    /// `CNI_IFNAME`.
    #[serde(default)]
    pub ifname: String,
    /// `CNI_ARGS`.
    #[serde(default)]
    pub args: String,
    /// `CNI_PATH`.
    #[serde(default)]
    pub path: String,
    /// All variables of the environment, where the configuration names a plugin for addresses that is to have them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Standard input, as text.
    #[serde(default)]
    pub config: String,
}

/// An error as CNI has it: what the plugin prints on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CniError {
    /// Version of the configuration.
    pub cni_version: String,
    /// Number (SPEC.md, section "Error"; 100 and above are weft's own).
    pub code: u32,
    /// What is wrong.
    pub msg: String,
    /// More of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}
