//! A disk that fills up: a clear refusal, nothing lost, and work goes on once there is room.

use std::fs;
use std::time::Duration;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use weft_store::{CommitError, Embedded, Expectation, Store, Txn, VALUE_BYTES_MAX, WatchError};

use crate::Scratch;

#[test]
fn a_full_disk_refuses_and_a_cleared_one_goes_on() {
    let scratch = Scratch::new();
    // A thread of its own: the small disk is mounted where only this thread sees it.
    std::thread::scope(|scope| scope.spawn(|| on_a_small_disk(&scratch)).join()).expect("no panic");
}

fn on_a_small_disk(scratch: &Scratch) {
    mount_small_disk(scratch);
    let ballast = scratch.path().join("ballast");
    fs::write(&ballast, vec![0; 2 * VALUE_BYTES_MAX]).expect("write the ballast");
    let store = Embedded::open(scratch.store()).expect("open");

    let mut committed = 0;
    let failure = loop {
        match put_large(&store, committed) {
            Ok(revision) => committed = revision,
            Err(failure) => break failure,
        }
    };
    let expected = format!("cannot write store {}: ", scratch.store().display());
    assert!(matches!(failure, CommitError::Store(_)) && failure.to_string().starts_with(&expected), "{failure}");
    assert_eq!(store.snapshot().expect("reads go on").revision, committed);

    let mut watch = store.watch(committed);
    fs::remove_file(&ballast).expect("make room");
    assert_eq!(put_large(&store, committed).expect("writes go on"), committed + 1);
    assert_eq!(watch.recv_timeout(Duration::ZERO).expect("commit").revision, committed + 1);
    assert_eq!(watch.recv_timeout(Duration::ZERO), Err(WatchError::Timeout));
}

fn put_large(store: &Embedded, name: u64) -> Result<u64, CommitError> {
    store.commit(Txn::new().put(format!("networks/{name}"), Expectation::Absent, vec![7; VALUE_BYTES_MAX]))
}

fn mount_small_disk(scratch: &Scratch) {
    // SAFETY: the mount namespace of this short-lived thread alone is changed; it shares no borrowed state with others.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.expect("unshare (needs root)");
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).expect("make mounts private");
    let size = c"size=12m";
    rustix::mount::mount("tmpfs", scratch.path(), "tmpfs", MountFlags::empty(), size).expect("mount the small disk");
}
