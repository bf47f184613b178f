//! Whole hosts: the real agent, the real shim, real runtimes, each in a private host of its own.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

mod allow;
mod attach;
mod bench;
mod containers;
mod devices;
mod door;
mod groups;
mod leases;
mod lifecycle;
mod limit;
mod networks;
mod parents;
mod pcap;
mod policies;
mod population;
mod run;
mod scarcity;
mod sctp;
mod services;
mod several;
mod sight;
mod storm;
mod strace;
mod syscalls;
mod sysdump;
mod uninstall;
mod ways;
