//! The process inside a host that has a command run, against the clock.

use std::io::{BufReader, stdin, stdout};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use weft_lab::wire::{receive, send};

use crate::path::Answer;

/// The kernel takes a namespace down behind the back of whoever left it, whichever way that was made. Nobody is to be
/// measured while it still does that for another.
const SETTLE: Duration = Duration::from_millis(50);

/// One turn.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) command: Vec<String>,
    pub(super) times: u32,
}

/// Performs until nobody has orders any more.
pub(crate) fn perform() -> Result<ExitCode> {
    let mut orders = BufReader::new(stdin());
    while let Ok(Order { command, times }) = receive(&mut orders) {
        let each: Result<Vec<f64>> = (0..times).map(|_| milliseconds(&command)).collect();
        let answer: Answer<Vec<f64>> = each.map_err(|error| format!("{error:#}"));
        send(&mut stdout(), &answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How long it takes from before its start to its end.
fn milliseconds(command: &[String]) -> Result<f64> {
    let (program, arguments) = command.split_first().context("an empty command")?;
    let start = Instant::now();
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}: {}", command.join(" "), output.status, complaint.trim());
    std::thread::sleep(SETTLE);
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_no_figure() {
        let ask = |words: &[&str]| milliseconds(&words.iter().copied().map(str::to_owned).collect::<Vec<_>>());
        assert!(ask(&["true"]).unwrap() > 0.0);
        let said = ask(&["sh", "-c", "echo no room >&2; exit 3"]).unwrap_err().to_string();
        assert!(said.ends_with("exit status: 3: no room"), "{said}");
        assert!(ask(&["no-such-command"]).unwrap_err().to_string().contains("no-such-command"));
    }
}
