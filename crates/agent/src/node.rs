//! The parts of a running agent that requests are served with.

use std::sync::Arc;

use crate::attach::Attacher;
use crate::config::Config;
use crate::networks::Networks;
use crate::shell::catcher::Catcher;
use crate::shell::listener::Listener;
use crate::shell::plugins::Plugins;
use crate::shell::reconciler::Reconciler;
use crate::shell::workers::Workers;

/// Built once by `app`, read by every handler.
pub struct Node {
    /// How the agent was started.
    pub config: Config,
    /// What the host is called.
    pub name: String,
    /// What people wrote.
    pub networks: Arc<Networks>,
    /// Births and deaths.
    pub attacher: Arc<Attacher>,
    /// Makes the kernel follow.
    pub reconciler: Reconciler,
    /// What happened at endpoints' doors.
    pub listener: Arc<Listener>,
    /// Packets that people capture.
    pub catcher: Arc<Catcher>,
    /// Other plugins, run for runtimes.
    pub plugins: Arc<Plugins>,
    /// Threads for what blocks.
    pub workers: Workers,
}
