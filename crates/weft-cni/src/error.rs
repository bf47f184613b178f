//! An error as CNI has it: the object on standard output, and its numbers (CNI SPEC.md, section "Error").

use crate::{CNI_VERSION, json};

/// A variable of the environment is missing or wrong.
pub(crate) const BAD_ENVIRONMENT: u32 = 4;
/// Reading or writing failed.
pub(crate) const IO_FAILURE: u32 = 5;
/// The configuration is not what can be decoded.
pub(crate) const UNDECODABLE: u32 = 6;
/// The same call may succeed later.
pub(crate) const TRY_AGAIN_LATER: u32 = 11;
/// The plugin cannot serve ADD.
pub(crate) const UNAVAILABLE: u32 = 50;

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CniError {
    /// Version of the configuration, where it is known.
    pub(crate) cni_version: Option<String>,
    pub(crate) code: u32,
    pub(crate) msg: String,
    pub(crate) details: String,
}

impl CniError {
    /// An error found before the configuration was looked at.
    pub(crate) fn new(code: u32, msg: &str, details: &str) -> Self {
        Self { cni_version: None, code, msg: msg.to_owned(), details: details.to_owned() }
    }

    /// The object, on a line of its own.
    pub(crate) fn to_json(&self) -> String {
        let version = self.cni_version.as_deref().unwrap_or(CNI_VERSION);
        let mut text = String::from("{\"cniVersion\":");
        json::push_string(&mut text, version);
        text.push_str(&format!(",\"code\":{},\"msg\":", self.code));
        json::push_string(&mut text, &self.msg);
        if !self.details.is_empty() {
            text.push_str(",\"details\":");
            json::push_string(&mut text, &self.details);
        }
        text.push_str("}\n");
        text
    }
}
