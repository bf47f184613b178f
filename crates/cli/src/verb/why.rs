//! `weft why`: whether one may open a connection to another, and who says so.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Result;
use weft_api::{Judgement, List};

use crate::fetch;
use crate::output::Output;
use crate::session::{Session, UsageError};

/// Exit code of a connection that is denied.
const EXIT_DENIED: u8 = 3;

/// Arguments of `weft why`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits with 0 if it is allowed in every family that both have, with 3 if not.")]
pub struct Args {
    /// Who would open it: an endpoint ([NAMESPACE/]NAME, a container id; @INTERFACE), or an address outside
    from: String,
    /// To whom: an endpoint or an address, with :PORT or :PORT/PROTOCOL; without one, an echo is meant ("ping")
    #[arg(value_name = "TO[:PORT[/PROTOCOL]]")]
    to: String,
}

/// Who is meant, and by which port and protocol.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    who: &'a str,
    port: Option<u16>,
    protocol: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// IPv6 addresses with a port are in brackets.
    fn parse(text: &'a str) -> Result<Self, UsageError> {
        let unported = Self { who: text, port: None, protocol: None };
        if text.parse::<IpAddr>().is_ok() {
            return Ok(unported);
        }
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (who, rest) = match bracketed {
            Some((who, "")) => return Ok(Self { who, ..unported }),
            Some((who, rest)) => (who, rest.strip_prefix(':')),
            None => match text.rsplit_once(':') {
                Some((who, rest)) => (who, Some(rest)),
                None => return Ok(unported),
            },
        };
        let (port, protocol) = match rest.unwrap_or_default().split_once('/') {
            Some((port, protocol)) => (port, Some(protocol)),
            None => (rest.unwrap_or_default(), None),
        };
        let wrong = || UsageError(format!("{text:?}: {port:?} is no port: use TO, TO:PORT or TO:PORT/PROTOCOL"));
        Ok(Self { who, port: Some(port.parse().map_err(|_| wrong())?), protocol })
    }
}

impl Args {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let target = Target::parse(&self.to)?;
        let port = target.port.map(|port| port.to_string());
        let judged = fetch::judgements(
            &session.client,
            &[
                ("from", Some(&self.from)),
                ("to", Some(target.who)),
                ("port", port.as_deref()),
                ("protocol", target.protocol),
            ],
        )?;
        let is_denied = judged.iter().any(|judgement| judgement.verdict == "denied");
        match session.output {
            Output::Name => writeln!(session.out, "{}", if is_denied { "denied" } else { "allowed" })?,
            _ => session.show_text(&List { items: judged }, |list| list.items.iter().map(text).collect())?,
        }
        Ok(if is_denied { ExitCode::from(EXIT_DENIED) } else { ExitCode::SUCCESS })
    }
}

fn text(judgement: &Judgement) -> String {
    let Judgement { from, to, protocol, verdict, decided_by, steps } = judgement;
    let (sender, receiver) = (&from.address, &to.address);
    let mut text = format!(
        "{verdict}: {} -> {} {protocol} ({sender} -> {receiver})\n  decided by {decided_by}\n",
        from.shown(),
        to.shown()
    );
    let width = steps.iter().map(|step| step.at.chars().count()).max().unwrap_or(0);
    for step in steps {
        text += &format!("    {:<width$}  {:<7}  {}\n", step.at, step.verdict, step.why);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_names_and_addresses_with_ports() {
        let target = |who, port, protocol| Target { who, port, protocol };
        for (text, expected) in [
            ("web", target("web", None, None)),
            ("shop/web@eth1", target("shop/web@eth1", None, None)),
            ("shop/web:80", target("shop/web", Some(80), None)),
            ("web:53/udp", target("web", Some(53), Some("udp"))),
            ("10.1.0.2:80/TCP", target("10.1.0.2", Some(80), Some("TCP"))),
            ("fd61::2", target("fd61::2", None, None)),
            ("[fd61::2]", target("fd61::2", None, None)),
            ("[fd61::2]:80", target("fd61::2", Some(80), None)),
        ] {
            assert_eq!(Target::parse(text).unwrap(), expected);
        }
        for wrong in ["web:", "web:http", "web:70000", "[fd61::2]80", "web:/tcp"] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
