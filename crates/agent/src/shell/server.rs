//! The agent's socket: who may connect, how much they may send, how long it may take.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::connection::Connection;

/// Connections served at once; others wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 512;
/// Connections that the kernel keeps waiting.
const BACKLOG: i32 = 1024;
/// For the head of a request to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// For one connection in all: a request may wait in the queue of a burst.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// For requests under way to finish when the agent stops.
const STOP_TIME: Duration = Duration::from_secs(5);
/// The group that may use the socket, where it exists. Whoever is in it is root on this host.
const GROUP: &str = "weft";
/// Of the socket.
const MODE: u32 = 0o660;

/// Binds the socket in place of what an earlier agent left.
pub fn bind(path: &Path) -> anyhow::Result<StdListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listen = || -> rustix::io::Result<_> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    let socket = listen().with_context(|| format!("cannot listen at {}", path.display()))?;
    std::os::unix::fs::chown(path, None, group_id(&std::fs::read_to_string("/etc/group").unwrap_or_default()))
        .with_context(|| format!("cannot give {} to its group", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(StdListener::from(socket))
}

/// The number of the group `weft` in a file like /etc/group (group(5)).
fn group_id(groups: &str) -> Option<u32> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(GROUP))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Serves until `stop` comes true; requests under way are finished.
pub async fn serve(
    listener: StdListener,
    router: Router,
    stop: tokio::sync::watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut stopped = stop.clone();
    let listener = UnixListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await?;
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    tokio::spawn(async move {
                        let spoken = speak(stream, router, stop);
                        if tokio::time::timeout(CONNECTION_TIME, spoken).await.is_err() {
                            tracing::debug!("a connection took too long");
                        }
                        drop(slot);
                    });
                }
                // Out of descriptors, most likely: those in use come back.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            () = told(&mut stopped) => break,
        }
    }
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let idle = tokio::time::timeout(STOP_TIME, slots.acquire_many(all)).await;
    if idle.is_err() {
        tracing::warn!("requests were still under way at the end");
    }
    Ok(())
}

/// Returns when it is time to stop.
async fn told(stop: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn speak(stream: UnixStream, router: Router, mut stop: tokio::sync::watch::Receiver<bool>) {
    let connection = Connection::new(stream);
    let (descriptors, peer) = (connection.descriptors(), connection.peer());
    // What belongs to the connection goes with each request; a layer would build the router anew for it.
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(descriptors.clone());
        request.extensions_mut().insert(peer);
        TowerToHyperService::new(router.clone()).call(request)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let served = http.serve_connection(TokioIo::new(connection), service);
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = served.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke off");
            }
            return;
        }
        () = told(&mut stop) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_by_its_whole_name() {
        assert_eq!(group_id("root:x:0:\nweft:x:991:alice\n"), Some(991));
        assert_eq!(group_id("weftless:x:7:\nnot weft:x:8:\n"), None);
        assert_eq!(group_id("weft:x:many:\n"), None);
    }
}
