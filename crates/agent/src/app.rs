//! The composition root of weftd: every part, constructed in order; no logic.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use weft_dataplane::Loaded;
use weft_kernel::Netlink;
use weft_netns::Netns;
use weft_store::{Embedded, Store};

use crate::apply::settings::Changed;
use crate::attach::Attacher;
use crate::config::{Config, Flags};
use crate::ledger::Ledger;
use crate::networks::Networks;
use crate::node::Node;
use crate::policies::Policies;
use crate::services::Services;
use crate::shell::catcher::Catcher;
use crate::shell::dhcp::Keeper;
use crate::shell::listener::Listener;
use crate::shell::plugins::{Plugins, RUN_TIME_MAX};
use crate::shell::reaper::Reaper;
use crate::shell::reconciler::Round;
use crate::shell::workers::Workers;
use crate::shell::{exporter, lessee, lock, server, watch, workers};
use crate::{serve, shell};

/// Runs the agent until it is told to stop. Containers' networks go on working without it.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    let config = Config::load(flags)?;
    if flags.check_config {
        print!("{}", config.show());
        return Ok(());
    }
    tracing_subscriber::fmt()
        .with_env_filter(&config.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        // It would tell stderr that stderr is full or gone, and panic.
        .log_internal_errors(false)
        .init();
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("weftd makes network links and needs root: start it as root");
    }
    make_directory(&config.run_dir)?;
    make_directory(&config.state_dir)?;
    let _lock = lock::acquire(&config.run_dir)?;

    let store: Arc<dyn Store> = Arc::new(Embedded::open(config.store())?);
    let networks = Arc::new(Networks::open(Arc::clone(&store))?);
    let policies = Arc::new(Policies::open(Arc::clone(&store))?);
    let name = shell::host_name();
    let pools = config.service_pools.0.clone();
    let services = Arc::new(Services::open(store, &name, &config.cgroup_root, pools)?);
    let ledger = Ledger::open(&config.run_dir)?;
    let host = Netns::current()?;
    let dataplane = Loaded::load(&config.bpf_dir, config.telling())?.enforce()?;
    let (keeper, beginning) = Keeper::open()?;
    let threads = (Reaper::start()?, keeper);
    let written = (policies, services);
    let attacher = Arc::new(Attacher::new(ledger, Arc::clone(&networks), written, threads, dataplane, host.id()));
    lessee::start(Arc::clone(&attacher), beginning)?;
    let changed = Changed::open(&config.run_dir);
    let mut round = Round::new(Arc::clone(&networks), Arc::clone(&attacher), config.uplink(), changed)?;
    attacher.adopt_services(&host)?;
    attacher.adopt_policies(&mut Netlink::open()?)?;
    round.adopt();
    let reconciler = round.start()?;
    attacher.keep_all(&mut Netlink::open()?);
    let listener = Listener::start(&attacher)?;
    let catcher = Catcher::start(&attacher)?;
    watch::start(Arc::clone(&attacher), reconciler.clone())?;
    let socket = server::bind(&config.socket)?;
    let exporter = config.metrics()?.map(exporter::bind).transpose()?;
    let workers = Workers::open()?;
    let captures = Arc::clone(&catcher);
    let plugins = Arc::new(Plugins::with_time(RUN_TIME_MAX));
    let node = Arc::new(Node { config, name, networks, attacher, reconciler, listener, catcher, plugins, workers });

    let runtime = workers::runtime()?;
    tracing::info!(socket = %node.config.socket.display(), pid = std::process::id(), "serving");
    runtime.block_on(async {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(stop_on_signal(stop));
        tokio::spawn(keep_watchdog_calm());
        // Without systemd there is nobody to notify.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        if let Some(exporter) = exporter {
            tokio::spawn(exporter::serve(exporter, serve::metrics_router(Arc::clone(&node))));
        }
        // Spawned, because this thread is none of the runtime's: what it accepted it would have to hand over.
        tokio::spawn(server::serve(socket, serve::router(node), stopped)).await?
    })?;
    captures.clear()?;
    tracing::info!("stopped; containers keep their network");
    Ok(())
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.with_context(|| format!("cannot make directory {}", path.display()))
}

async fn stop_on_signal(stop: tokio::sync::watch::Sender<bool>) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return tracing::error!("signals cannot be received: stop the agent with SIGKILL");
    };
    tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let _ = stop.send(true);
}

/// Tells systemd that the runtime still turns, twice as often as it wants to hear it.
async fn keep_watchdog_calm() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((limit / 2).max(Duration::from_millis(100)));
    loop {
        tick.tick().await;
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}
