//! A host of the lab with one contender, and its two ends.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use weft_lab::Host;
use weft_model::Family;

use super::case::{Case, EXCHANGE, EXCHANGE_IPV6};
use super::contender::{Contender, Joined};
use super::cpus::Machine;
use super::performer::{Answer, Order, Side};
use super::work::Tally;

/// Long enough to see that packets pass.
const TURN_FIRST: Duration = Duration::from_millis(10);

/// What is dropped first stands first: the ends, then the host with all that is left.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) contender: Contender,
    joined: Joined,
    host: Host,
}

impl Stage {
    /// A host for `contender`, whose ends reach each other by both families.
    pub(crate) fn set(contender: Contender, machine: Machine) -> Result<Self> {
        let network = contender.network().map_or_else(String::new, |network| format!("-{network}"));
        let host = Host::start(&format!("bench-{}{network}", contender.title().replace(' ', "-")))?;
        let joined = contender.join(&host)?;
        let mut stage = Self { contender, joined, host };
        for case in [&EXCHANGE, &EXCHANGE_IPV6] {
            let first = stage.play(case, machine, TURN_FIRST, |_, to| Ok(to))?;
            first.map_err(|complaint| anyhow!("its ends do not reach each other by {:?}: {complaint}", case.family))?;
        }
        Ok(stage)
    }

    /// The address of the end that opens connections.
    pub(crate) fn client(&self, family: Family) -> Result<IpAddr> {
        self.joined.client.address(family)
    }

    /// Where it is.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// One turn: the rate that it came to, or what was wrong with it. An error means that nothing can be measured here
    /// any more.
    pub(crate) fn take_turn(&mut self, case: &Case, machine: Machine, duration: Duration) -> Result<Answer<f64>> {
        self.take_turn_by(case, machine, duration, |_, to| Ok(to))
    }

    /// The same, where the client goes to the address that `front` gives in place of the server's own.
    pub(crate) fn take_turn_by(
        &mut self,
        case: &Case,
        machine: Machine,
        duration: Duration,
        front: impl FnOnce(&Host, SocketAddr) -> Result<SocketAddr>,
    ) -> Result<Answer<f64>> {
        self.play(case, machine, duration, front).with_context(|| format!("{} of {:?}", case.name, self.contender))
    }

    fn play(
        &mut self,
        case: &Case,
        machine: Machine,
        duration: Duration,
        front: impl FnOnce(&Host, SocketAddr) -> Result<SocketAddr>,
    ) -> Result<Answer<f64>> {
        let [client_cpu, server_cpu] = machine.places(case.cpus)?;
        let Joined { client, server, .. } = &mut self.joined;
        let order = |side, cpu| Order { work: case.work, side, cpu, duration };
        let serve = Side::Serve { at: server.address(case.family)?, from: client.address(case.family)? };
        let to = match server.performer.ask::<Answer<SocketAddr>>(&order(serve, server_cpu))? {
            Ok(to) => front(&self.host, to)?,
            Err(complaint) => return Ok(Err(format!("server: {complaint}"))),
        };
        let driven: Answer<Tally> = client.performer.ask(&order(Side::Drive { to }, client_cpu))?;
        let served: Answer<Tally> = server.performer.hear()?;
        Ok(match (driven, served) {
            (Ok(driven), Ok(served)) => case.work.rate(&driven, &served).map_err(|error| format!("{error:#}")),
            (driven, served) => {
                let ends = [("client", driven.err()), ("server", served.err())];
                let said = ends.into_iter().filter_map(|(end, complaint)| Some(format!("{end}: {}", complaint?)));
                Err(said.collect::<Vec<_>>().join("; "))
            }
        })
    }
}
