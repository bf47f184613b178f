//! Commands that run inside a host: `weft-lab enter SOCKET NETNS PROGRAM ARGUMENTS`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where programs are looked for inside, whatever the caller's own `PATH`.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments of `weft-lab` before the program's name.
const ENTER_ARGUMENTS: usize = 3;

/// `program`, to be run behind `socket` in the named namespace.
pub(crate) fn enter(lab: &Path, socket: &Path, netns: &str, program: &OsStr) -> Command {
    let mut command = Command::new(lab);
    command.arg("enter").arg(socket).arg(netns).arg(program);
    command.current_dir("/").env("PATH", PATH);
    command
}

/// Runs a command to its end and returns what it printed. The error of one that failed holds the command, its status
/// and its stderr.
pub fn stdout_of(command: &mut Command) -> Result<String> {
    let shown = line(command);
    let output = command.output().with_context(|| format!("cannot run {shown}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    bail!("{shown}: {}\n{text}{error}", output.status)
}

/// [`stdout_of`] for a whole argument list.
pub(crate) fn run<S: AsRef<OsStr>>(argv: &[S], command: impl FnOnce(&OsStr) -> Command) -> Result<String> {
    let (program, arguments) = argv.split_first().context("an empty command")?;
    stdout_of(command(program.as_ref()).args(arguments))
}

/// The command as a person would type it inside.
fn line(command: &Command) -> String {
    let words = command.get_args().skip(ENTER_ARGUMENTS);
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
