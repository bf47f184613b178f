//! How long it takes until a change holds, with many endpoints that have labels of their own.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use weft_api::{AttachRequest, EndpointObject};
use weft_lab::Host;

use super::{Measured, NETWORK, Record, Scale, policy};
use crate::network;
use crate::rounds;

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_201;
/// Changes in one round, of which the slowest counts: of twenty rounds, the hundredth part is one.
const CHANGES: usize = 5;
/// The label by which endpoints differ.
const LABEL: &str = "number";

pub(super) fn measure(scale: Scale, record: &mut Record, progress: &mut dyn Write) -> Result<()> {
    let host = Host::start("bench-policy-change")?;
    let _weftd = network::serve(&host, NETWORK, &[])?;
    writeln!(progress, "{} endpoints are born", scale.endpoints)?;
    for number in 0..scale.endpoints {
        let netns = host.netns(&format!("e{number}"))?;
        let request = AttachRequest {
            network: network::NAME.to_owned(),
            netns: Some(netns.path().display().to_string()),
            name: Some(format!("e{number}")),
            labels: [(LABEL.to_owned(), number.to_string())].into(),
            ..AttachRequest::default()
        };
        network::client(&host).post::<EndpointObject>("/v1/endpoints", &request)?;
    }
    let mut port = 0;
    rounds::play(scale.rounds, SEED, progress, |chance| {
        let number = chance.below(scale.endpoints).to_string();
        let subjects = [(Measured::OneOfMany, json!({"matchLabels": {LABEL: number}})), (Measured::All, json!({}))];
        for (measured, subject) in subjects {
            let mut slowest: f64 = 0.0;
            for _ in 0..CHANGES {
                port = port % 60_000 + 1;
                let rule = json!([{"from": [{"podSelector": {}}], "ports": [{"port": port}]}]);
                let object = policy("changing", json!({"podSelector": subject, "ingress": rule}));
                let start = Instant::now();
                network::apply(&host, &[object])?;
                slowest = slowest.max(start.elapsed().as_secs_f64() * 1e3);
            }
            record.take(measured, Ok(slowest));
        }
        Ok(())
    })
}
