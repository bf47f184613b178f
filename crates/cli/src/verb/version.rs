//! `weft version`: who asks and who answers.

use anyhow::Result;
use serde::Serialize;
use weft_api::{API_VERSION, CallError, Version};

use crate::session::Session;
use crate::sheet::Sheet;

/// Arguments of `weft version`.
#[derive(Debug, clap::Args)]
pub struct Args {}

#[derive(Serialize)]
struct Versions {
    client: Version,
    /// Absent if weftd cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Version>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let client = Version { version: env!("CARGO_PKG_VERSION").to_owned(), api: API_VERSION.to_owned() };
        let agent = match session.client.get("/v1/version") {
            Ok(version) => Some(version),
            Err(CallError::Unreachable { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let socket = session.client.socket().display().to_string();
        session.show_text(&Versions { client, agent }, |versions| {
            let shown = |version: &Version| format!("{}, API {}", version.version, version.api);
            let agent = versions.agent.as_ref().map(shown);
            Sheet::default()
                .field("weft", shown(&versions.client))
                .field("weftd", agent.unwrap_or_else(|| format!("not reached at {socket}")))
                .into_text()
        })
    }
}
