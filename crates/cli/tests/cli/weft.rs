//! One run of the command line inside the test: the root's parser, a session, and what came out.

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use weft_cli::{Global, Part, Session, Uninstall};

/// A root as `bin/weft` has it.
#[derive(Debug, Parser)]
#[command(name = "weft", version, about = "Networks for containers")]
pub(crate) struct Weft {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    #[command(flatten)]
    Agent(weft_cli::Verb),
    /// Take weft off this host, or a part of it
    Uninstall(Uninstall),
}

impl Verb {
    fn run(self, session: &mut Session<'_>) -> anyhow::Result<ExitCode> {
        match self {
            Verb::Agent(verb) => verb.run(session),
            Verb::Uninstall(Uninstall { part: Some(Part::Cni(cni)), .. }) => {
                cni.remove(session).map(|()| ExitCode::SUCCESS)
            }
            Verb::Uninstall(Uninstall { part: None, .. }) => anyhow::bail!("that is the root's work"),
        }
    }
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Exit code, or the error.
    pub(crate) result: Result<ExitCode, String>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    /// Standard output of a run that went well and said nothing else.
    pub(crate) fn out(self) -> String {
        assert_eq!((&self.result, self.err.as_str()), (&Ok(ExitCode::SUCCESS), ""));
        self.out
    }

    /// The error of a run that printed nothing.
    pub(crate) fn error(self) -> String {
        assert_eq!(self.out, "");
        self.result.expect_err("an error")
    }
}

/// Runs `line`, whose words are parted by blanks, against the agent at `socket`.
pub(crate) fn weft(socket: &Path, line: &str) -> Outcome {
    weft_into(Into::File, socket, line)
}

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    File,
    Terminal,
}

/// The same, of which standard output is this.
pub(crate) fn weft_into(into: Into, socket: &Path, line: &str) -> Outcome {
    let words = ["weft", "--socket"].into_iter().map(str::to_owned).chain([socket.display().to_string()]);
    let words = words.chain(line.split_whitespace().map(str::to_owned));
    let Weft { global, verb } = Weft::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut session = Session::new(&global, Weft::command, &mut out, &mut err);
    session.out_is_terminal = into == Into::Terminal;
    let result = verb.run(&mut session);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Outcome { result: result.map_err(|error| format!("{error:#}")), out: text(out), err: text(err) }
}

/// Why `line` is no command line.
pub(crate) fn refusal(line: &str) -> String {
    let words = std::iter::once("weft").chain(line.split_whitespace());
    Weft::try_parse_from(words).expect_err("a refusal").to_string()
}
