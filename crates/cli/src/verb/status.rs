//! `weft status`: what weftd can serve, what it changed on the host, what is wrong.

use anyhow::Result;
use weft_api::Status;

use crate::session::Session;
use crate::sheet::Sheet;

const MIB: u64 = 1024 * 1024;

/// Arguments of `weft status`.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let status: Status = session.client.get("/v1/status")?;
        session.show_text(&status, text)
    }
}

fn text(status: &Status) -> String {
    let Status { version, node, pid, resident_bytes, map_bytes, socket, run_dir, state_dir, .. } = status;
    let Status { uplink, networks, endpoints, features, settings, accepts, conditions, .. } = status;
    Sheet::default()
        .field("Node", node)
        .field("Version", version)
        .field("Process", pid)
        .field("Memory", format!("{} MiB", resident_bytes.div_ceil(MIB)))
        .field("Maps", format!("{} MiB of the kernel's memory", map_bytes.div_ceil(MIB)))
        .field("Socket", socket)
        .field("Run directory", run_dir)
        .field("State directory", state_dir)
        .optional("Uplink", uplink.as_ref())
        .field("Networks", networks)
        .field("Endpoints", endpoints)
        .section("Conditions", conditions)
        .section("Features", features)
        .section("Settings changed on this host", settings)
        .section("Rules added to foreign chains", accepts)
        .into_text()
}
