//! The command line as people see it, against an agent that the test plays.
//!
//! What it prints is held against `tests/golden`; `WEFT_BLESS=1 cargo test -p weft-cli` writes it anew.

mod agent;
mod change;
mod directory;
mod fixture;
mod golden;
mod help;
mod install;
mod pcap;
mod show;
mod weft;
