//! `weft policy`: who may open connections to whom.

use std::path::PathBuf;

use anyhow::Result;
use weft_api::{List, Rehearsal};

use crate::fetch;
use crate::manifest;
use crate::session::Session;
use crate::table::table;

/// Arguments of `weft policy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show all policies, and how many endpoints of this host each is about
    List,
    /// Show the rules that have a say about an endpoint, in the order in which they have it
    #[command(after_help = "Rules of tier Admin and of tier Baseline go from the first to the last: the first that \
                            matches decides. Of tier Network, any that accepts is enough. What no rule is about is \
                            allowed.")]
    Explain {
        /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE picks one
        /// of several
        endpoint: String,
    },
    /// Say what policies would have done to connections that live or were seen lately, without putting them in force
    #[command(after_help = "Example: weft policy test new.yaml
Policies take the places of those with their names, and stand beside all others; they count as enforced, whatever mode \
                            they are in.")]
    Test {
        /// A file of policies and labels of namespaces, in YAML or JSON; - is standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Show also what would stay as it is
        #[arg(long)]
        all: bool,
    },
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let client = session.client.clone();
        match self.action {
            Action::List => session.show_list(fetch::policies(&client)?),
            Action::Explain { endpoint } => session.show_list(fetch::rules(&client, &endpoint)?),
            Action::Test { files, all } => test(session, &files, all),
        }
    }
}

fn test(session: &mut Session<'_>, files: &[PathBuf], all: bool) -> Result<()> {
    let objects = List { items: manifest::read(files)? };
    let mut rehearsal: Rehearsal = session.client.post("/v1/policies/test", &objects)?;
    let total = rehearsal.flows.len();
    let changes = rehearsal.flows.iter().filter(|flow| flow.now != flow.then).count();
    rehearsal.flows.retain(|flow| all || flow.now != flow.then);
    session.show_text(&rehearsal, |rehearsal| {
        let flows = if rehearsal.flows.is_empty() { String::new() } else { table(&rehearsal.flows) };
        format!("{flows}{changes} of {total} kinds of connections seen would fare otherwise\n")
    })
}
