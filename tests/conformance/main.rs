//! CNI as its specification has it, and as real runtimes speak it.

mod cni;
mod traces;
