//! Whole hosts: the real agent, the real shim, real runtimes, each in a private host of its own.

mod attach;
mod containers;
mod lifecycle;
mod networks;
