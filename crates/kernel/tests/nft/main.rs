//! nftables against the real kernel, in namespaces of the tests' own. `nft` and `iptables-nft` are the independent
//! readers.

mod foreign;
mod monitor;
mod own_table;
mod say;
mod traffic;
mod world;
