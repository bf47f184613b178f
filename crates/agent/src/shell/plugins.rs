//! Other CNI plugins, run on a runtime's behalf: processes that are given a time, and of which none is left behind.
//!
//! They wait beside the requests, not among them: no thread and no netlink socket is held meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// For one run. A failed ADD takes two of them, within the 60 s that the shim waits.
pub const RUN_TIME_MAX: Duration = Duration::from_secs(20);
/// Plugins that run at once; others wait.
const RUNS_MAX: usize = 16;
/// Most bytes that are read of what one prints, on either way: a thousand times the usual.
const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;

/// One run.
#[derive(Debug)]
pub struct Run {
    /// The program.
    pub program: PathBuf,
    /// All variables that it gets.
    pub environment: BTreeMap<String, String>,
    /// Standard input.
    pub input: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Output {
    /// It exited with 0.
    pub is_ok: bool,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The program cannot be run.
    #[error("cannot run {program}: {source}", program = .program.display())]
    Broken {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It did not end.
    #[error("{program} took longer than {time:?} and was killed", program = .program.display())]
    TimedOut {
        /// The program.
        program: PathBuf,
        /// What it was given.
        time: Duration,
    },
}

/// The right to run plugins.
#[derive(Debug)]
pub struct Plugins {
    slots: Semaphore,
    time: Duration,
}

impl Plugins {
    /// Each of which may take this long.
    pub fn with_time(time: Duration) -> Self {
        Self { slots: Semaphore::new(RUNS_MAX), time }
    }

    /// Runs a plugin to its end, with whatever it started, in the agent's namespaces.
    pub async fn run(&self, run: Run) -> Result<Output, RunError> {
        // Nobody closes it.
        let _slot = self.slots.acquire().await;
        let Run { program, environment, input } = run;
        let broken = |source| RunError::Broken { program: program.clone(), source };
        let mut command = Command::new(&program);
        command.env_clear().envs(environment).current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(broken)?;
        let group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        match tokio::time::timeout(self.time, speak(&mut child, &input)).await {
            Ok(spoken) => spoken.map_err(broken),
            Err(_) => {
                // The leader is not waited for yet, so the number is still its group's.
                let _ = group.map(|group| kill_process_group(group, Signal::KILL));
                let _ = child.wait().await;
                Err(RunError::TimedOut { program, time: self.time })
            }
        }
    }
}

async fn speak(child: &mut Child, input: &str) -> std::io::Result<Output> {
    let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async move {
        if let Some(stdin) = stdin.as_mut() {
            // One that answers without reading closes it early.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), stdout, stderr) = tokio::join!(feed, read(stdout), read(stderr));
    let (stdout, stderr) = (stdout?, stderr?);
    Ok(Output { is_ok: child.wait().await?.success(), stdout, stderr })
}

/// All that is said, up to the limit; whoever goes on finds the pipe closed.
async fn read(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut said = Vec::new();
    if let Some(from) = from {
        from.take(OUTPUT_BYTES_MAX).read_to_end(&mut said).await?;
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn shell(script: &str, variable: &str, input: &str, time: Duration) -> Result<Output, RunError> {
        let program = std::env::temp_dir().join(format!("weft-plugin-{}-{}", std::process::id(), script.len()));
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let environment = BTreeMap::from([("WHAT".to_owned(), variable.to_owned())]);
        let ran =
            Plugins::with_time(time).run(Run { program: program.clone(), environment, input: input.to_owned() }).await;
        std::fs::remove_file(program).unwrap();
        ran
    }

    fn block<T>(work: impl Future<Output = T>) -> T {
        crate::shell::workers::runtime().unwrap().block_on(work)
    }

    #[test]
    fn a_plugin_gets_its_variables_alone_and_its_input() {
        let script = "cat; echo \"$WHAT-${HOME:-homeless}-$PWD\"; echo no >&2; exit 3";
        let output = block(shell(script, "x", "in ", PATIENCE)).unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "in x-homeless-/\n");
        assert_eq!((output.is_ok, output.stderr.as_slice()), (false, &b"no\n"[..]));
        let output = block(shell("exit 0", "", &"x".repeat(1 << 20), PATIENCE)).unwrap();
        assert!(output.is_ok && output.stdout.is_empty(), "it need not read");
    }

    #[test]
    fn what_says_too_much_is_not_listened_to_for_ever() {
        let output = block(shell("while echo 0123456789abcdef0123456789abcdef; do :; done", "", "", PATIENCE)).unwrap();
        assert_eq!(output.stdout.len() as u64, OUTPUT_BYTES_MAX);
    }

    #[test]
    fn what_does_not_end_is_killed_with_all_that_it_started_and_waited_for() {
        let pids = std::env::temp_dir().join(format!("weft-plugin-pids-{}", std::process::id()));
        let script = "sleep 1000 & echo $$ $! > \"$WHAT\"; wait";
        let ran = block(shell(script, &pids.display().to_string(), "", Duration::from_secs(1)));
        let error = ran.unwrap_err().to_string();
        assert!(error.ends_with("took longer than 1s and was killed"), "{error}");
        let text = std::fs::read_to_string(&pids).unwrap();
        std::fs::remove_file(pids).unwrap();
        let [own, started] = text.split_whitespace().collect::<Vec<_>>()[..] else { unreachable!("two numbers") };
        let stat = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat"));
        assert!(stat(own).is_err(), "no zombie is left");
        // Whoever inherits the other one waits for it when it likes.
        while stat(started).is_ok_and(|stat| !stat.contains(" Z ")) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let run = Run { program: "/nowhere/plugin".into(), environment: BTreeMap::new(), input: String::new() };
        let error = block(Plugins::with_time(PATIENCE).run(run)).unwrap_err().to_string();
        assert!(error.starts_with("cannot run /nowhere/plugin: No such file"), "{error}");
    }
}
