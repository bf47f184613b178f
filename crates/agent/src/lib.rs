//! weftd: the agent of one host.
//!
//! [`app`] wires the parts; [`attach`] is the walk of a container's birth, [`shell::reconciler`] that of a
//! configuration. What decides is pure ([`graph`], [`attachment`], the ledger's book); what waits is in [`shell`].

pub mod app;
pub mod apply;
pub mod attach;
pub mod attachment;
pub mod captures;
pub mod check;
pub mod config;
pub mod defaults;
pub mod describe;
pub mod devices;
pub mod faces;
pub mod flows;
pub mod graph;
pub mod ledger;
pub mod metrics;
pub mod networks;
pub mod node;
pub mod policies;
pub mod probe;
pub mod serve;
pub mod services;
pub mod shell;
pub mod uninstall;
pub mod why;
