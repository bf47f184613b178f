//! CNI as its specification has it, and as real runtimes speak it.

#![allow(clippy::unwrap_used, reason = "a test that fails there says enough")]

mod chain;
mod cni;
mod ipam;
mod networks;
mod traces;
