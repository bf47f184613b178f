//! A performer, from outside: the process inside a host that hears orders on its stdin and answers on its stdout.

use std::io::BufReader;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weft_lab::wire::{receive, send};

/// What it says when it is ready for orders.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready;

/// The process inside. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Prompter {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Prompter {
    /// Starts `weft`, which is this program as a command of the place where it performs, for the bench of that name.
    pub(super) fn start(mut weft: Command, bench: &str) -> Result<Self> {
        let command = weft.args(["bench", "perform", bench]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let orders = process.stdin.take().context("a pipe was asked for")?;
        let answers = BufReader::new(process.stdout.take().context("a pipe was asked for")?);
        Ok(Self { process, orders, answers })
    }

    /// Tells it something, and hears the answer.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, order: &impl Serialize) -> Result<T> {
        send(&mut self.orders, order)?;
        self.hear()
    }

    /// Hears what it says of its own accord.
    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        receive(&mut self.answers)
    }
}

impl Drop for Prompter {
    fn drop(&mut self) {
        // The host ends whatever does not end here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
