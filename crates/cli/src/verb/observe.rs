//! `weft observe`: what happens at endpoints' doors, and `weft connections`: what is going on there.

use std::time::Duration;

use anyhow::Result;
use weft_api::{Flow, Row as _};

use crate::fetch;
use crate::output::Output;
use crate::session::Session;
use crate::table::Columns;

/// How long one request waits for news, in milliseconds.
const WAIT_MS: &str = "2000";
/// Between two tries to reach an agent that is away.
const AWAY: Duration = Duration::from_millis(250);

/// Who and what is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only of this address, prefix or endpoint ([NAMESPACE/]NAME, a container id; @INTERFACE)
    endpoint: Option<String>,
    /// Only what this address, prefix or endpoint sent
    #[arg(long, value_name = "WHO")]
    from: Option<String>,
    /// Only what was sent to this address, prefix or endpoint
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
    /// Only with an end on this network
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Only this protocol: TCP, UDP, SCTP, ICMP, ICMPv6 or a number
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// Only with this port at either end
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

impl Filter {
    fn parameters(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("match", self.endpoint.clone()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("network", self.network.clone()),
            ("protocol", self.protocol.clone()),
            ("port", self.port.map(|port| port.to_string())),
        ]
    }
}

/// Arguments of `weft observe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Only what passed, what was dropped, or what passed and policies would have dropped if nothing were in audit
    #[arg(long, value_name = "VERDICT", value_parser = ["passed", "dropped", "audited"])]
    verdict: Option<String>,
    /// Only what was, or would have been, dropped for this reason, as `weft endpoint stats` names it
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Begin with so many of what happened before
    #[arg(long, value_name = "N", default_value_t = 100)]
    last: u32,
    /// Go on with what happens from now on, until interrupted; json is one line each then
    #[arg(short, long)]
    follow: bool,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let first = self.ask(session, 0, Some(self.last))?;
        if !self.follow {
            return session.show_list(first);
        }
        let mut columns = Columns::new(Flow::HEADER);
        let mut last = first.last().map_or(0, |flow| flow.sequence);
        show(session, &mut columns, &first)?;
        let mut is_away = false;
        loop {
            match self.next(session, last) {
                Ok(next) => {
                    is_away = false;
                    last = next.last().map_or(last, |newest| newest.sequence);
                    show(session, &mut columns, &next)?;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        session.warn(format_args!("{error:#}; going on when it is back"))?;
                    }
                    std::thread::sleep(AWAY);
                }
            }
        }
    }

    /// What happened since the flow numbered `last`. An agent that was started anew counts from 1 again.
    fn next(&self, session: &Session<'_>, last: u64) -> Result<Vec<Flow>> {
        let next = self.ask(session, last, None)?;
        let is_new = next.is_empty() && last > 0 && fetch::last_flow(&session.client)? < last;
        if is_new { self.ask(session, 0, None) } else { Ok(next) }
    }

    fn ask(&self, session: &Session<'_>, after: u64, limit: Option<u32>) -> Result<Vec<Flow>> {
        let mut parameters = self.filter.parameters();
        parameters.extend([
            ("verdict", self.verdict.clone()),
            ("reason", self.reason.clone()),
            ("after", Some(after.to_string())),
            ("last", limit.map(|limit| limit.to_string())),
            ("waitMs", (self.follow && limit.is_none()).then(|| WAIT_MS.to_owned())),
        ]);
        fetch::flows(&session.client, &parameters)
    }
}

/// Shows what came, a line each, at once.
fn show(session: &mut Session<'_>, columns: &mut Columns, flows: &[Flow]) -> Result<()> {
    for flow in flows {
        match session.output {
            Output::Table => session.out.write_all(columns.line(&flow.cells()).as_bytes())?,
            Output::Name => writeln!(session.out, "{}", flow.sequence)?,
            Output::Json | Output::Yaml => writeln!(session.out, "{}", serde_json::to_string(flow)?)?,
        }
    }
    Ok(session.out.flush()?)
}

/// Arguments of `weft connections`.
#[derive(Debug, clap::Args)]
pub struct Connections {
    #[command(flatten)]
    filter: Filter,
}

impl Connections {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<()> {
        session.show_list(fetch::connections(&session.client, &self.filter.parameters())?)
    }
}
