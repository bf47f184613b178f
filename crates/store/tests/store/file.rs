//! The embedded store and its file: kept, guarded, and never overwritten when it is not what it should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use redb::{Database, TableDefinition};
use weft_store::{Embedded, Expectation, OpenError, Store, Txn, WatchError};

use crate::Scratch;

#[test]
fn a_reopened_store_has_everything_but_history() {
    let scratch = Scratch::new();
    let before = filled(&scratch.store()).snapshot().expect("snapshot");
    let store = Embedded::open(scratch.store()).expect("reopen");
    assert_eq!(store.snapshot().expect("snapshot"), before);
    assert_eq!(store.watch(before.revision - 1).recv(), Err(WatchError::Resync));
    let txn = Txn::new().put("networks/0", Expectation::Revision(1), "new");
    assert_eq!(store.commit(txn).expect("commit"), before.revision + 1, "revisions go on");
}

#[test]
fn the_file_is_for_its_owner_alone_and_the_directory_holds_nothing_else() {
    let scratch = Scratch::new();
    drop(filled(&scratch.store()));
    let mode = fs::metadata(scratch.store()).expect("stat").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(fs::read_dir(scratch.path()).expect("list").count(), 1);
}

#[test]
fn a_second_opener_is_refused_by_name() {
    let scratch = Scratch::new();
    let first = filled(&scratch.store());
    let error = Embedded::open(scratch.store()).expect_err("in use");
    assert_eq!(error.to_string(), format!("store {} is in use by another process", scratch.store().display()));
    drop(first);
    Embedded::open(scratch.store()).expect("free again");
}

#[test]
fn a_copy_can_be_read_of_a_store_that_is_open_and_of_one_that_is_not() {
    let scratch = Scratch::new();
    let store = filled(&scratch.store());
    let expected = store.snapshot().expect("snapshot");
    let content = fs::read(scratch.store()).expect("read");
    assert_eq!(Embedded::read_copy(&scratch.store()).expect("in use"), expected);
    assert!(fs::read(scratch.store()).expect("read") == content, "nothing is written");
    drop(store);
    assert_eq!(Embedded::read_copy(&scratch.store()).expect("free"), expected);
    let absent = Embedded::read_copy(&scratch.path().join("absent")).expect_err("absent").to_string();
    assert!(absent.starts_with("cannot read store "), "{absent}");
}

#[test]
fn openers_of_a_new_store_agree_on_one() {
    let scratch = Scratch::new();
    let outcomes = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| Embedded::open(scratch.store()))).collect();
        openers.into_iter().map(|opener| opener.join().expect("opener")).collect::<Vec<_>>()
    });
    let refused = |outcome: &Result<_, _>| matches!(outcome, Err(OpenError::Busy { .. }));
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || refused(outcome)), "{outcomes:?}");
    assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() >= 1);
}

#[test]
fn a_maker_that_was_killed_half_way_is_no_obstacle() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("weft.redb.new"), [0; 4096]).expect("what it left");
    drop(filled(&scratch.store()));
    assert_eq!(fs::read_dir(scratch.path()).expect("list").count(), 1);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let foreign: [(&str, &[u8], &str); 3] = [
        ("empty", b"", "it is empty"),
        ("short", b"hi", "Not a redb database: magic number mismatch"),
        ("text", &[b'x'; 9000], "Not a redb database: magic number mismatch"),
    ];
    for (name, content, reason) in foreign {
        let path = scratch.path().join(name);
        fs::write(&path, content).expect("write");
        let expected = format!("{} is not a weft store: {reason}", path.display());
        assert_eq!(refusal(&path), expected);
    }
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let database = Database::create(scratch.store()).expect("create");
    let write = database.begin_write().expect("write");
    write.open_table(TableDefinition::<&str, u64>::new("theirs")).expect("table");
    write.commit().expect("commit");
    drop(database);
    let expected = format!("{} is not a weft store: Table 'about' does not exist", scratch.store().display());
    assert_eq!(refusal(&scratch.store()), expected);
}

#[test]
fn a_store_of_a_later_format_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    drop(filled(&scratch.store()));
    let database = Database::open(scratch.store()).expect("open");
    let write = database.begin_write().expect("write");
    let mut about = write.open_table(TableDefinition::<&str, u64>::new("about")).expect("table");
    about.insert("format", 2).expect("insert");
    drop(about);
    write.commit().expect("commit");
    drop(database);
    let expected = format!("store {} has format 2, this weft reads format 1", scratch.store().display());
    assert_eq!(refusal(&scratch.store()), expected);
}

#[test]
fn a_truncated_store_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    drop(filled(&scratch.store()));
    let whole = fs::read(scratch.store()).expect("read");
    for length in [10, 320, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(scratch.store(), &whole[..length]).expect("truncate");
        refusal(&scratch.store());
    }
}

/// One bit is turned anywhere: the store is refused, or has exactly what it had.
#[test]
fn a_damaged_store_never_lies() {
    const STRIDE_BYTES: usize = 997;
    let scratch = Scratch::new();
    let expected = filled(&scratch.store()).snapshot().expect("snapshot");
    let sound = fs::read(scratch.store()).expect("read");
    let mut refused = 0;
    for offset in (0..sound.len()).step_by(STRIDE_BYTES) {
        let mut damaged = sound.clone();
        damaged[offset] ^= 1 << (offset % 8);
        fs::write(scratch.store(), &damaged).expect("damage");
        match Embedded::open(scratch.store()) {
            Ok(store) => assert_eq!(store.snapshot().expect("snapshot"), expected, "offset {offset}"),
            Err(_) => {
                refused += 1;
                assert_eq!(fs::read(scratch.store()).expect("read"), damaged, "offset {offset}");
            }
        }
    }
    assert!(refused > 0, "some of the bits held data");
}

/// Opens what cannot be opened, and makes sure that this changed nothing.
fn refusal(path: &Path) -> String {
    let before = fs::read(path).expect("read");
    let error = Embedded::open(path).expect_err("refused");
    assert_eq!(fs::read(path).expect("read"), before, "{error}");
    error.to_string()
}

/// A store with enough in it to fill some pages.
fn filled(path: &Path) -> Embedded {
    let store = Embedded::open(path).expect("open");
    for n in 0..50 {
        let txn = Txn::new().put(format!("networks/{n}"), Expectation::Absent, vec![n; 500]);
        store.commit(txn).expect("commit");
    }
    store
}
