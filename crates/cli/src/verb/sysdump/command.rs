//! Running a program of others, for so long and for so many bytes.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::archive::FILE_BYTES_MAX;

/// Where administrators' programs are, which not everybody's PATH names.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// For what was printed to arrive once the program is killed.
const GRACE: Duration = Duration::from_secs(1);
/// Between two looks at whether a program that has said all has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What a program may take.
#[derive(Debug)]
pub(super) struct Limits {
    /// From its start to its end.
    pub(super) time: Duration,
    /// Of what it prints.
    pub(super) bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(10), bytes: FILE_BYTES_MAX }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Output {
    /// Standard output and standard error, as they came.
    pub(super) bytes: Vec<u8>,
    /// How it failed, if it did.
    pub(super) note: Option<String>,
}

/// Runs `argv` to its end or its limits; fails if it cannot be started.
pub(super) fn run(argv: &[&str], limits: &Limits) -> Result<Output, String> {
    let (program, arguments) = argv.split_first().ok_or("an empty command")?;
    let deadline = Instant::now() + limits.time;
    let (mut child, printed) = start(program, arguments, limits).map_err(|error| format!("{program}: {error}"))?;
    let (bytes, in_time) = match printed.recv_timeout(limits.time) {
        Ok(bytes) => (bytes, true),
        Err(_) => {
            kill(&mut child);
            (printed.recv_timeout(GRACE).unwrap_or_default(), false)
        }
    };
    let cut = bytes.len() > limits.bytes;
    let bytes = bytes.into_iter().take(limits.bytes).collect();
    let status = wait(&mut child, deadline);
    let note = match status {
        _ if cut => Some(format!("cut off behind {} bytes", limits.bytes)),
        Some(status) if in_time => (!status.success()).then(|| status.to_string()),
        _ => Some(format!("killed after {:?}", limits.time)),
    };
    Ok(Output { bytes, note })
}

fn start(program: &str, arguments: &[&str], limits: &Limits) -> io::Result<(Child, Receiver<Vec<u8>>)> {
    let (reader, writer) = io::pipe()?;
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(OsString::from(if path.is_empty() { "" } else { ":" }));
    path.push(SYSTEM_PATH);
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn()?;
    // It keeps the pipe open for as long as it is there.
    drop(command);
    Ok((child, read(reader, limits.bytes as u64 + 1)))
}

/// Reads on a thread of its own, so that there is a limit to the waiting; ends at `bytes_max`, which ends the program,
/// too, when it goes on writing.
fn read(reader: PipeReader, bytes_max: u64) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is worth having.
        let _ = reader.take(bytes_max).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Ok(None) => {
                kill(child);
                return None;
            }
            ended => return ended.ok().flatten(),
        }
    }
}

fn kill(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_sh(script: &str) -> Output {
        run(&["sh", "-c", script], &Limits { time: Duration::from_millis(300), bytes: 10 }).unwrap()
    }

    #[test]
    fn no_program_takes_more_than_its_limits() {
        let slow = run_sh("echo begun; exec sleep 100");
        assert_eq!((slow.bytes, slow.note), (b"begun\n".to_vec(), Some("killed after 300ms".to_owned())));
        let silent = run_sh("exec >/dev/null 2>&1; exec sleep 100");
        assert_eq!((silent.bytes, silent.note), (Vec::new(), Some("killed after 300ms".to_owned())));
        let long = run_sh("exec yes");
        assert_eq!((long.bytes.len(), long.note), (10, Some("cut off behind 10 bytes".to_owned())));
        let whole = run_sh("printf 0123456789");
        assert_eq!((whole.bytes, whole.note), (b"0123456789".to_vec(), None));
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        let error = run(&["weft-nonexistent"], &Limits::default()).unwrap_err();
        assert_eq!(error, "weft-nonexistent: No such file or directory (os error 2)");
    }
}
