//! strace(1) on threads of the agent, to do something to their system calls.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use weft_lab::Weftd;
use weft_tests::until;

/// Attached for as long as it lives.
pub(crate) struct Strace {
    child: Child,
    /// Kept open: strace must not die of what it says.
    _said: BufReader<ChildStderr>,
}

impl Strace {
    /// Attaches to `threads`, with options such as `-e inject=write:signal=KILL:when=3`.
    pub(crate) fn attach(threads: &[u32], options: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.args(options).args(threads.iter().flat_map(|thread| ["-p".to_owned(), thread.to_string()]));
        let mut child = command.stderr(Stdio::piped()).spawn().expect("strace is there: see scripts/packages");
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        for _ in threads {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            assert!(line.trim_end().ends_with(" attached"), "strace: {line:?}");
        }
        Self { child, _said: said }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often a thread began each system call, of the thread that did so most often, by a file that strace wrote.
pub(crate) fn counts(trace: &str) -> BTreeMap<String, usize> {
    let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        // Where there are several threads, each line begins with the number of its own.
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let thread = &line[..line.len() - call.len()];
        // Not the second half of a call that is told in two lines, nor a signal.
        if let Some((name, _)) = call.trim_start().split_once('(').filter(|(name, _)| !name.contains([' ', '<'])) {
            *by_thread.entry((thread, name)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in by_thread {
        let known: &mut usize = most.entry(name.to_owned()).or_default();
        *known = count.max(*known);
    }
    most
}

/// The agent's threads whose names begin with one of `names`.
pub(crate) fn threads(weftd: &Weftd<'_>, names: &[&str]) -> Vec<u32> {
    let main = weftd.pid();
    // A new thread has the name of the first one until it has come to give itself its own.
    let named = until("every thread has its name", || {
        let named = threads_of(main);
        named.iter().all(|(thread, name)| *thread == main || name != "weftd").then_some(named)
    });
    let is_meant = |name: &str| names.iter().any(|wanted| name.starts_with(wanted));
    named.into_iter().filter(|(_, name)| is_meant(name)).map(|(thread, _)| thread).collect()
}

fn threads_of(process: u32) -> Vec<(u32, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let numbers = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    let name = |thread| std::fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default().trim().to_owned();
    numbers.map(|thread| (thread, name(thread))).collect()
}

/// Whether the agent's threads all wait; false if it is dead, `None` if some have something to do.
pub(crate) fn rests(threads: &[u32]) -> Option<bool> {
    match threads.iter().map(|thread| is_asleep(*thread)).collect::<Option<Vec<_>>>() {
        None => Some(false),
        Some(asleep) => (!asleep.contains(&false)).then_some(true),
    }
}

/// Whether a thread waits in a system call; `None` if it is dead (proc_pid_stat(5), the third field).
fn is_asleep(thread: u32) -> Option<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).ok()?;
    match stat.rsplit_once(") ")?.1.chars().next()? {
        'Z' | 'X' => None,
        state => Some(state == 'S'),
    }
}
