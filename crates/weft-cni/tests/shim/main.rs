//! The shim as runtimes see it: the real binary, its environment and standard input, and an agent that the test plays.

mod agent;
mod answers;
mod environment;
mod process;
mod requests;
mod traces;
