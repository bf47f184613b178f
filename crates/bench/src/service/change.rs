//! How long it takes until a change of one among many services is in force, and until all are.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use weft_api::Version;
use weft_lab::Host;

use super::{Measured, NETWORK, Record, Scale, decoys, nowhere, slice};
use crate::network::{self, BPF_DIR};
use crate::rounds;

/// The same order in every run, so that two runs differ by noise alone.
const SEED: u64 = 20_261_204;
/// Changes in one round, of which the slowest counts: of twenty rounds, the hundredth part is one.
const CHANGES: usize = 5;

pub(super) fn measure(scale: Scale, record: &mut Record, progress: &mut dyn Write) -> Result<()> {
    let host = Host::start("bench-service")?;
    let mut weftd = network::serve(&host, NETWORK, &[])?;
    network::apply(&host, &decoys(scale.services))?;
    let mut port = 0;
    rounds::play(scale.rounds, SEED, progress, |chance| {
        let mut slowest: f64 = 0.0;
        for _ in 0..CHANGES {
            port = port % 60_000 + 1;
            let number = chance.below(scale.services);
            let mut backends = nowhere(number);
            backends.remove(chance.below(backends.len()));
            let object = slice(&format!("s{number}"), &backends, port);
            let start = Instant::now();
            network::apply(&host, &[object])?;
            slowest = slowest.max(start.elapsed().as_secs_f64() * 1e3);
        }
        record.take(Measured::Change, Ok(slowest));
        weftd.kill9()?;
        host.run(&["rm", "-r", BPF_DIR])?;
        let start = Instant::now();
        weftd = host.spawn("weftd", &["weftd"])?;
        let client = network::client(&host);
        weftd.wait_ready(|| client.get::<Version>("/v1/version").is_ok())?;
        record.take(Measured::All, Ok(start.elapsed().as_secs_f64() * 1e3));
        Ok(())
    })
}
