//! What every verb works with, and how its end becomes the program's.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weft_api::{Client, DEFAULT_SOCKET, SOCKET_VARIABLE};

use crate::output::Output;

/// Exit code of a command line that makes no sense, as clap has it.
const EXIT_USAGE: u8 = 2;

/// Options of all verbs.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// The socket that weftd listens at
    #[arg(long, global = true, help_heading = "Options of all verbs", value_name = "PATH")]
    #[arg(env = SOCKET_VARIABLE, hide_env_values = true, default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// How to show the answer: as a table or text, as json or yaml as the API has it (a list is {"items": [...]}), or
    /// by name alone, as other verbs take it
    #[arg(short, long, global = true, help_heading = "Options of all verbs", value_name = "FORM")]
    #[arg(default_value = "table", hide_possible_values = true)]
    pub output: Output,
}

/// A command line that parses and yet makes no sense: exit code 2.
#[derive(Debug)]
pub struct UsageError(pub String);

impl Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// What a verb works with.
pub struct Session<'a> {
    /// Speaks to weftd.
    pub client: Client,
    /// How to show the answer.
    pub output: Output,
    /// Makes the whole command line, for completions and manual pages.
    pub command: fn() -> clap::Command,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// It is a terminal, which cannot show what is no text.
    pub out_is_terminal: bool,
    /// Standard error.
    pub err: &'a mut dyn Write,
}

impl<'a> Session<'a> {
    /// A session with these options; `command` makes the root's whole command line.
    pub fn new(
        global: &Global,
        command: fn() -> clap::Command,
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
    ) -> Self {
        Self { client: Client::new(&global.socket), output: global.output, command, out, out_is_terminal: false, err }
    }

    /// Says something that does not stop the verb.
    pub(crate) fn warn(&mut self, text: impl Display) -> Result<()> {
        Ok(writeln!(self.err, "weft: warning: {text}")?)
    }
}

/// Runs `work` on the program's own output and turns its end into the exit code: 0, 1 with the error on standard error,
/// or 2 for a command line that makes no sense.
pub fn run(
    global: &Global,
    command: fn() -> clap::Command,
    work: impl FnOnce(&mut Session<'_>) -> Result<ExitCode>,
) -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let mut session = Session::new(global, command, &mut out, &mut err);
    session.out_is_terminal = io::stdout().is_terminal();
    let result = work(&mut session);
    match result.and_then(|code| Ok(out.flush().map(|()| code)?)) {
        Ok(code) => code,
        Err(error) => report(&error, &mut err),
    }
}

fn report(error: &anyhow::Error, err: &mut dyn Write) -> ExitCode {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    // Whoever reads our output has seen enough, such as `head`.
    if !error.chain().any(broken_pipe) {
        // There is nowhere left to say that this failed.
        let _ = writeln!(err, "weft: error: {error:#}");
    }
    if error.is::<UsageError>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}
