//! The command line of weft: one file per verb, over the agent's API.
//!
//! [`Verb`] is the table of verbs. A root (the program `weft`) flattens it into its own, parses, and hands the verb a
//! [`Session`]: the client, the wished form of output, and where to write. [`Uninstall`] is beside the table, because
//! most of its work is the root's, which may call what knows the kernel.

mod cni;
mod date;
mod fetch;
mod manifest;
mod output;
mod pcapng;
mod resource;
mod session;
mod sheet;
mod shown;
mod table;
mod verb;

pub use output::Output;
pub use session::{Global, Session, UsageError, run};
pub use verb::{Part, Uninstall, Verb};
