//! `/metrics` on a TCP address, where the configuration names one. Nothing else is served there.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Scrapers at once; others wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 16;
/// For the head of a request to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// For one connection in all: scrapers come again.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// After an accept that failed: descriptors that are in use come back.
const RETRY: Duration = Duration::from_millis(100);

/// Takes the address, so that a wrong one is told at the start.
pub fn bind(address: SocketAddr) -> anyhow::Result<StdListener> {
    let listener = StdListener::bind(address).with_context(|| format!("cannot serve metrics at {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves `router` for as long as the runtime turns.
pub async fn serve(listener: StdListener, router: Router) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await?;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
            let served = http.serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIME, served).await {
                tracing::debug!(%error, "a scraper's connection broke off");
            }
            drop(slot);
        });
    }
}
