//! `kill -9` in the middle of commits: what was acknowledged is there, and no commit is there by half.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use weft_store::{Embedded, Expectation, Snapshot, Store, Txn};

use crate::Scratch;

/// Tells the test that it is the child, and where the store is.
const CHILD: &str = "WEFT_STORE_CRASH";

/// How often the child is killed, each time after one more commit than the time before.
const KILLS: usize = 30;

/// The objects that every commit puts: more than a page of them, so that a torn write would show.
const OBJECTS: usize = 40;

#[test]
fn a_killed_writer_loses_nothing_it_was_promised() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_until_killed(Path::new(&path));
    }
    let scratch = Scratch::new();
    for kill in 0..KILLS {
        let acknowledged = killed_after(kill, &scratch.store());
        let snapshot = Embedded::open(scratch.store()).expect("reopen").snapshot().expect("snapshot");
        assert!(snapshot.revision >= acknowledged, "{} is missing", acknowledged);
        assert!(snapshot.revision <= acknowledged + 1, "only the last commit may be unacknowledged");
        assert_whole(&snapshot);
    }
}

fn write_until_killed(path: &Path) {
    let store = Embedded::open(path).expect("open");
    let mut acknowledge = std::io::stdout();
    for revision in store.snapshot().expect("snapshot").revision + 1.. {
        let put = |txn: Txn, n| txn.put(format!("networks/{n}"), Expectation::Any, revision.to_string().repeat(50));
        let committed = store.commit((0..OBJECTS).fold(Txn::new(), put)).expect("commit");
        // One write, so that no half of a line is left in the pipe.
        acknowledge.write_all(format!("acknowledged {committed}\n").as_bytes()).expect("acknowledge");
    }
}

/// Runs the child, kills it after `commits` acknowledgements, and returns the last one it sent.
fn killed_after(commits: usize, path: &Path) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "crash::a_killed_writer_loses_nothing_it_was_promised", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the child");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut said = String::new();
    while said.matches("acknowledged").count() <= commits {
        assert_ne!(lines.read_line(&mut said).expect("read"), 0, "the child ended by itself: {said}");
    }
    child.kill().expect("kill");
    lines.read_to_string(&mut said).expect("read the rest");
    assert_eq!(child.wait().expect("reap").signal(), Some(9));
    let last = said.lines().rev().find_map(|line| line.strip_prefix("acknowledged "));
    last.and_then(|revision| revision.parse().ok()).expect("an acknowledgement")
}

fn assert_whole(snapshot: &Snapshot) {
    assert_eq!(snapshot.objects.len(), OBJECTS);
    for (key, object) in &snapshot.objects {
        assert_eq!(object.revision, snapshot.revision, "{key}");
        assert_eq!(object.value, snapshot.revision.to_string().repeat(50).into_bytes(), "{key}");
    }
}
