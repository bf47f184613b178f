//! Births with policies that are about the newborn, and without.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use weft_api::{AttachRequest, EndpointObject};
use weft_lab::{Daemon, Host};

use super::{Measured, NETWORK, Record, Scale, policy};
use crate::network;
use crate::rounds;

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_202;
/// Policies that select the newborn, and accept what others of the network send.
pub(super) const POLICIES: usize = 100;
/// Births in one round, of which the middle one counts.
const BIRTHS: usize = 9;
const NAME: &str = "newborn";

/// What is dropped first stands first.
struct Nursery {
    is_selected: bool,
    _weftd: Daemon,
    host: Host,
}

impl Nursery {
    fn open(is_selected: bool) -> Result<Self> {
        let host = Host::start(if is_selected { "bench-policy-birth" } else { "bench-birth" })?;
        let weftd = network::serve(&host, NETWORK, &[])?;
        if is_selected {
            let one = |n: usize| {
                let from = json!([{"podSelector": {"matchLabels": {"app": format!("a{n}")}}}]);
                let spec = json!({"podSelector": {"matchLabels": {"app": NAME}}, "ingress": [{"from": from}]});
                policy(&format!("birth-{n}"), spec)
            };
            network::apply(&host, &(0..POLICIES).map(one).collect::<Vec<_>>())?;
        }
        host.netns(NAME)?;
        Ok(Self { is_selected, _weftd: weftd, host })
    }

    /// Milliseconds of a birth.
    fn bear(&self) -> Result<f64> {
        let client = network::client(&self.host);
        let request = AttachRequest {
            network: network::NAME.to_owned(),
            netns: Some(format!("/run/netns/{NAME}")),
            name: Some(NAME.to_owned()),
            labels: [("app".to_owned(), NAME.to_owned())].into(),
            ..AttachRequest::default()
        };
        let start = Instant::now();
        client.post::<EndpointObject>("/v1/endpoints", &request)?;
        let took = start.elapsed().as_secs_f64() * 1e3;
        client.delete::<EndpointObject>(&format!("/v1/endpoints?match=default%2F{NAME}"))?;
        Ok(took)
    }
}

pub(super) fn measure(scale: Scale, record: &mut Record, progress: &mut dyn Write) -> Result<()> {
    let mut nurseries = [Nursery::open(true)?, Nursery::open(false)?];
    rounds::play(scale.rounds, SEED, progress, |chance| {
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..BIRTHS {
            chance.shuffle(&mut nurseries);
            for nursery in &nurseries {
                took[usize::from(nursery.is_selected)].push(nursery.bear()?);
            }
        }
        for (is_selected, mut took) in [false, true].into_iter().zip(took) {
            took.sort_by(f64::total_cmp);
            record.take(Measured::Birth { is_selected }, Ok(took[took.len() / 2]));
        }
        Ok(())
    })
}
