//! The suite that every backend passes: one function a promise of `Store`.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use weft_store::{
    Change, CommitError, Embedded, Expectation, HISTORY_BYTES_MAX, HISTORY_COMMITS_MAX, KEY_BYTES_MAX, Memory,
    OPERATIONS_MAX, Snapshot, Store, Txn, VALUE_BYTES_MAX, Watch, WatchError,
};

use crate::Scratch;

/// Makes a module of tests for each backend from the list of promises.
macro_rules! conformance {
    ($($promise:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $promise() { super::$promise(&super::Memory::new()); })+
        }
        mod embedded {
            $(#[test] fn $promise() {
                let scratch = super::Scratch::new();
                super::$promise(&super::Embedded::open(scratch.store()).expect("open"));
            })+
        }
    };
}

conformance!(
    a_new_store_is_empty_at_revision_zero,
    a_commit_is_in_the_next_snapshot,
    a_put_replaces_and_a_delete_removes,
    an_expectation_that_is_met_lets_the_commit_through,
    a_conflict_names_key_expected_and_found,
    one_conflict_undoes_the_whole_transaction,
    a_transaction_that_changes_nothing_makes_no_revision,
    what_is_too_long_too_large_or_too_much_is_refused,
    the_limits_themselves_are_allowed,
    one_key_twice_is_refused,
    a_watch_from_a_snapshot_gives_every_later_commit_in_order,
    a_watch_may_start_in_the_past,
    a_watch_waits_and_is_woken,
    a_watch_that_has_nothing_to_give_times_out,
    a_watch_that_lags_behind_too_many_commits_must_resync,
    a_watch_that_lags_behind_too_many_bytes_must_resync,
    a_watch_from_the_future_must_resync,
    writers_at_once_lose_nothing_and_watchers_see_all,
    of_writers_who_expect_the_same_revision_one_wins,
);

/// A store that is dropped while somebody waits: here and not in the list, because it takes the store away.
#[test]
fn a_store_that_is_dropped_closes_its_watches() {
    let scratch = Scratch::new();
    let stores: [Box<dyn Store>; 2] =
        [Box::new(Memory::new()), Box::new(Embedded::open(scratch.store()).expect("open"))];
    for store in stores {
        put(&*store, "networks/app", "last");
        let mut watch = store.watch(0);
        let waiter = thread::spawn(move || (watch.recv().map(|commit| commit.revision), watch.recv(), watch.recv()));
        drop(store);
        assert_eq!(
            waiter.join().expect("waiter"),
            (Ok(1), Err(WatchError::Closed), Err(WatchError::Closed)),
            "what was committed is still delivered"
        );
    }
}

fn a_new_store_is_empty_at_revision_zero(store: &dyn Store) {
    assert_eq!(snapshot(store), Snapshot::default());
}

fn a_commit_is_in_the_next_snapshot(store: &dyn Store) {
    let txn = Txn::new().put("networks/app", Expectation::Any, "a").put("networks/db", Expectation::Any, "b");
    assert_eq!(store.commit(txn).expect("commit"), 1);
    assert_eq!(contents(store), [("networks/app", 1, "a"), ("networks/db", 1, "b")].map(owned));
}

fn a_put_replaces_and_a_delete_removes(store: &dyn Store) {
    put(store, "networks/app", "old");
    put(store, "networks/db", "kept");
    let txn = Txn::new().put("networks/app", Expectation::Any, "new").delete("networks/db", Expectation::Any);
    assert_eq!(store.commit(txn).expect("commit"), 3);
    assert_eq!(contents(store), [("networks/app", 3, "new")].map(owned));
}

fn an_expectation_that_is_met_lets_the_commit_through(store: &dyn Store) {
    let create = Txn::new().put("networks/app", Expectation::Absent, "a");
    assert_eq!(store.commit(create).expect("create"), 1);
    let replace = Txn::new().put("networks/app", Expectation::Revision(1), "b");
    assert_eq!(store.commit(replace).expect("replace"), 2);
    let delete = Txn::new().delete("networks/app", Expectation::Revision(2));
    assert_eq!(store.commit(delete).expect("delete"), 3);
    assert_eq!(contents(store), []);
}

fn a_conflict_names_key_expected_and_found(store: &dyn Store) {
    put(store, "networks/app", "a");
    let refusals = [
        (Expectation::Absent, "networks/app", "conflict on networks/app: expected nothing, found revision 1"),
        (Expectation::Revision(7), "networks/app", "conflict on networks/app: expected revision 7, found revision 1"),
        (Expectation::Revision(1), "networks/db", "conflict on networks/db: expected revision 1, found nothing"),
    ];
    for (expected, key, message) in refusals {
        for txn in [Txn::new().put(key, expected, "b"), Txn::new().delete(key, expected)] {
            assert_eq!(store.commit(txn).expect_err("conflict").to_string(), message);
        }
    }
    assert_eq!(contents(store), [("networks/app", 1, "a")].map(owned));
}

fn one_conflict_undoes_the_whole_transaction(store: &dyn Store) {
    put(store, "networks/app", "a");
    let before = snapshot(store);
    let txn = Txn::new().put("networks/new", Expectation::Absent, "b").delete("networks/app", Expectation::Any).put(
        "networks/db",
        Expectation::Revision(1),
        "c",
    );
    assert!(matches!(store.commit(txn), Err(CommitError::Conflict { found: None, .. })));
    assert_eq!(snapshot(store), before);
    assert_eq!(store.watch(1).recv_timeout(Duration::ZERO), Err(WatchError::Timeout));
}

fn a_transaction_that_changes_nothing_makes_no_revision(store: &dyn Store) {
    put(store, "networks/app", "a");
    assert_eq!(store.commit(Txn::new()).expect("nothing to do"), 1);
    let absent = Txn::new().delete("networks/db", Expectation::Any).delete("networks/x", Expectation::Absent);
    assert_eq!(store.commit(absent).expect("nothing to do"), 1);
    assert_eq!(store.watch(1).recv_timeout(Duration::ZERO), Err(WatchError::Timeout));
}

fn what_is_too_long_too_large_or_too_much_is_refused(store: &dyn Store) {
    let refused = |txn: Txn| store.commit(txn).expect_err("refused").to_string();
    assert_eq!(refused(Txn::new().delete("", Expectation::Any)), "an operation has an empty key");
    assert_eq!(
        refused(Txn::new().delete("é".repeat(KEY_BYTES_MAX / 2 + 1), Expectation::Any)),
        format!("key {}... is 514 bytes long, the limit is 512", "é".repeat(32))
    );
    assert_eq!(
        refused(Txn::new().put("networks/app", Expectation::Any, vec![0; VALUE_BYTES_MAX + 1])),
        "networks/app is 1048577 bytes long, and may have 1048576: split it"
    );
    assert_eq!(refused(puts(OPERATIONS_MAX + 1)), "129 objects cannot change at once: send 128 at most");
    assert_eq!(snapshot(store), Snapshot::default());
}

fn the_limits_themselves_are_allowed(store: &dyn Store) {
    let (key, value) = ("k".repeat(KEY_BYTES_MAX), vec![7; VALUE_BYTES_MAX]);
    store.commit(Txn::new().put(&key, Expectation::Any, value.clone())).expect("longest key, largest value");
    store.commit(puts(OPERATIONS_MAX)).expect("most operations");
    let objects = snapshot(store).objects;
    assert_eq!(objects.len(), OPERATIONS_MAX + 1);
    assert_eq!(objects[&key].value, value);
}

fn one_key_twice_is_refused(store: &dyn Store) {
    let txn = Txn::new().delete("networks/app", Expectation::Any).put("networks/app", Expectation::Any, "a");
    assert_eq!(store.commit(txn).expect_err("refused").to_string(), "networks/app appears twice in one transaction");
}

fn a_watch_from_a_snapshot_gives_every_later_commit_in_order(store: &dyn Store) {
    put(store, "networks/app", "before");
    let mut watch = store.watch(snapshot(store).revision);
    let txn = Txn::new().put("networks/db", Expectation::Absent, "b").delete("networks/app", Expectation::Any);
    store.commit(txn).expect("commit");
    put(store, "networks/db", "c");
    let first = received(&mut watch);
    let changes = vec![
        Change::Put { key: "networks/db".into(), value: b"b".into() },
        Change::Delete { key: "networks/app".into() },
    ];
    assert_eq!((first.revision, &first.changes), (2, &changes), "a transaction arrives whole, in its own order");
    assert_eq!(received(&mut watch).revision, 3);
    assert_eq!(watch.recv_timeout(Duration::ZERO), Err(WatchError::Timeout));
}

fn a_watch_may_start_in_the_past(store: &dyn Store) {
    for value in ["a", "b", "c"] {
        put(store, "networks/app", value);
    }
    let mut watch = store.watch(1);
    assert_eq!([received(&mut watch).revision, received(&mut watch).revision], [2, 3]);
}

fn a_watch_waits_and_is_woken(store: &dyn Store) {
    let mut watches = [store.watch(0), store.watch(0)];
    thread::scope(|scope| {
        let waiters = watches.each_mut().map(|watch| scope.spawn(|| watch.recv().map(|commit| commit.revision)));
        put(store, "networks/app", "a");
        for waiter in waiters {
            assert_eq!(waiter.join().expect("waiter"), Ok(1));
        }
    });
}

fn a_watch_that_has_nothing_to_give_times_out(store: &dyn Store) {
    let mut watch = store.watch(0);
    assert_eq!(watch.recv_timeout(Duration::from_millis(1)), Err(WatchError::Timeout));
    put(store, "networks/app", "a");
    assert_eq!(received(&mut watch).revision, 1, "a timeout is not the end");
}

fn a_watch_that_lags_behind_too_many_commits_must_resync(store: &dyn Store) {
    let (mut lags, mut keeps_up) = (store.watch(0), store.watch(1));
    for _ in 0..=HISTORY_COMMITS_MAX {
        put(store, "networks/app", "a");
    }
    assert_eq!([lags.recv(), lags.recv()], [Err(WatchError::Resync), Err(WatchError::Resync)], "and stays so");
    assert_eq!(received(&mut keeps_up).revision, 2, "the oldest commit that is kept");
    let again = snapshot(store).revision;
    assert_eq!(store.watch(again).recv_timeout(Duration::ZERO), Err(WatchError::Timeout));
}

fn a_watch_that_lags_behind_too_many_bytes_must_resync(store: &dyn Store) {
    let mut watch = store.watch(0);
    for _ in 0..=HISTORY_BYTES_MAX / VALUE_BYTES_MAX {
        let txn = Txn::new().put("networks/app", Expectation::Any, vec![0; VALUE_BYTES_MAX]);
        store.commit(txn).expect("commit");
    }
    assert_eq!(watch.recv(), Err(WatchError::Resync));
}

fn a_watch_from_the_future_must_resync(store: &dyn Store) {
    put(store, "networks/app", "a");
    assert_eq!(store.watch(2).recv(), Err(WatchError::Resync));
}

fn writers_at_once_lose_nothing_and_watchers_see_all(store: &dyn Store) {
    const WRITERS: u64 = 4;
    const COMMITS_EACH: u64 = 25;
    let mut watch = store.watch(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for commit in 0..COMMITS_EACH {
                    put(store, &format!("networks/{writer}-{commit}"), "a");
                }
            });
        }
        for revision in 1..=WRITERS * COMMITS_EACH {
            assert_eq!(received(&mut watch).revision, revision);
        }
    });
    assert_eq!(snapshot(store).objects.len() as u64, WRITERS * COMMITS_EACH);
}

fn of_writers_who_expect_the_same_revision_one_wins(store: &dyn Store) {
    put(store, "networks/app", "a");
    let start = Barrier::new(8);
    let won = thread::scope(|scope| {
        let contend = || {
            start.wait();
            store.commit(Txn::new().put("networks/app", Expectation::Revision(1), "mine")).is_ok()
        };
        let writers: Vec<_> = (0..8).map(|_| scope.spawn(contend)).collect();
        writers.into_iter().map(|writer| writer.join().expect("writer")).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
}

fn put(store: &dyn Store, key: &str, value: &str) {
    store.commit(Txn::new().put(key, Expectation::Any, value)).expect("commit");
}

/// A transaction of `count` puts.
fn puts(count: usize) -> Txn {
    (0..count).fold(Txn::new(), |txn, n| txn.put(format!("networks/{n}"), Expectation::Any, "a"))
}

fn snapshot(store: &dyn Store) -> Snapshot {
    store.snapshot().expect("snapshot")
}

fn received(watch: &mut Watch) -> std::sync::Arc<weft_store::Commit> {
    const PATIENCE: Duration = Duration::from_secs(10);
    watch.recv_timeout(PATIENCE).expect("a commit")
}

/// What the store holds, as (key, revision, text).
fn contents(store: &dyn Store) -> Vec<(String, u64, String)> {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    snapshot(store).objects.into_iter().map(|(key, object)| (key, object.revision, text(object.value))).collect()
}

fn owned((key, revision, value): (&str, u64, &str)) -> (String, u64, String) {
    (key.to_owned(), revision, value.to_owned())
}
