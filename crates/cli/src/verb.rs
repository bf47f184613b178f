//! The table of verbs.

mod apply;
mod attach;
mod completions;
mod delete;
mod describe;
mod endpoint;
mod exec;
mod get;
mod install;
mod ipam;
mod man;
mod network;
mod observe;
mod pcap;
mod policy;
mod run;
mod service;
mod status;
mod sysdump;
mod uninstall;
mod version;
mod why;

use std::process::ExitCode;

use anyhow::Result;

pub use self::uninstall::{Part, Uninstall};
use crate::session::Session;

/// What weft can be told to do.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Create or change the objects of files: all of them or none; more than 128 in parts
    Apply(apply::Args),
    /// Show objects
    Get(get::Args),
    /// Show all there is to know about an object
    Describe(describe::Args),
    /// Delete objects: networks that have no endpoints, services, policies, labels of namespaces
    Delete(delete::Args),
    /// Create, list and delete networks
    Network(network::Args),
    /// Join a container to a network, or to a further one
    Attach(attach::Attach),
    /// Take a container out of a network that it was attached to
    Detach(attach::Detach),
    /// Run a command on networks, without a container runtime (as root)
    Run(run::Run),
    /// Run a command in the network namespace of an endpoint's container (as root)
    Exec(exec::Exec),
    /// Show what happens to the packets of endpoints, limit their rate, and allow them more addresses
    Endpoint(endpoint::Args),
    /// Show connections that begin and end and packets that are dropped, with names
    Observe(observe::Args),
    /// Show the connections that are tracked
    Connections(observe::Connections),
    /// Capture the packets at an endpoint's door, dropped ones included, as text or for tcpdump and Wireshark
    Pcap(pcap::Args),
    /// Say whether one may open a connection to another, and who decides
    Why(why::Args),
    /// Show policies, and what they say about an endpoint
    Policy(policy::Args),
    /// Show services, and who serves them
    Service(service::Args),
    /// Show and check held addresses
    Ipam(ipam::Args),
    /// Show what weftd can serve, what it changed on the host, and what is wrong
    Status(status::Args),
    /// Gather what a bug report needs in one archive (as root)
    Sysdump(sysdump::Args),
    /// Show the versions of this program and of weftd
    Version(version::Args),
    /// Make container runtimes use weft
    Install(install::Args),
    /// Write the completions for a shell
    Completions(completions::Args),
    /// Write manual pages
    Man(man::Args),
}

impl Verb {
    /// Does it. The exit code is 0, 1 where a check found something, 3 where `why` found a connection denied, or that
    /// of a command that was run.
    pub fn run(self, session: &mut Session<'_>) -> Result<ExitCode> {
        let done = match self {
            Verb::Apply(args) => args.run(session),
            Verb::Get(args) => args.run(session),
            Verb::Describe(args) => args.run(session),
            Verb::Delete(args) => args.run(session),
            Verb::Network(args) => args.run(session),
            Verb::Attach(args) => args.run(session),
            Verb::Detach(args) => args.run(session),
            Verb::Run(args) => return args.run(session),
            Verb::Exec(args) => return args.run(session),
            Verb::Endpoint(args) => args.run(session),
            Verb::Observe(args) => args.run(session),
            Verb::Connections(args) => args.run(session),
            Verb::Pcap(args) => args.run(session),
            Verb::Why(args) => return args.run(session),
            Verb::Policy(args) => args.run(session),
            Verb::Service(args) => args.run(session),
            Verb::Ipam(args) => return args.run(session),
            Verb::Status(args) => args.run(session),
            Verb::Sysdump(args) => args.run(session),
            Verb::Version(args) => args.run(session),
            Verb::Install(args) => args.run(session),
            Verb::Completions(args) => args.run(session),
            Verb::Man(args) => args.run(session),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}
