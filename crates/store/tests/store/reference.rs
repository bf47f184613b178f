//! Random transactions, run by a store and by a model that is too simple to be wrong.

use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;
use weft_store::{
    Change, Commit, CommitError, Embedded, Expectation, Memory, Object, Snapshot, Store, Txn, WatchError,
};

use crate::Scratch;

/// The list of all commits, and nothing else: every question is answered by going through it.
#[derive(Default)]
struct Model {
    commits: Vec<Commit>,
}

impl Model {
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for Commit { revision, changes } in &self.commits {
            snapshot.revision = *revision;
            for change in changes {
                snapshot.objects.remove(change.key());
                if let Change::Put { key, value } = change {
                    snapshot.objects.insert(key.clone(), Object { revision: *revision, value: value.clone() });
                }
            }
        }
        snapshot
    }

    /// The revision after the transaction; `None` if it conflicts.
    fn commit(&mut self, operations: &[Operation]) -> Option<u64> {
        let now = self.snapshot();
        let found = |key: &str| now.objects.get(key).map(|object| object.revision);
        let met = |operation: &Operation| match operation.expected {
            Expectation::Any => true,
            Expectation::Absent => found(operation.key).is_none(),
            Expectation::Revision(revision) => found(operation.key) == Some(revision),
        };
        if !operations.iter().all(met) {
            return None;
        }
        let idle = |operation: &&Operation| operation.value.is_none() && found(operation.key).is_none();
        let changes: Vec<_> = operations.iter().filter(|it| !idle(it)).map(Operation::change).collect();
        let revision = now.revision + u64::from(!changes.is_empty());
        if !changes.is_empty() {
            self.commits.push(Commit { revision, changes });
        }
        Some(revision)
    }
}

/// A put, or a delete where there is no value.
#[derive(Debug, Clone)]
struct Operation {
    key: &'static str,
    expected: Expectation,
    value: Option<Vec<u8>>,
}

impl Operation {
    fn change(&self) -> Change {
        match &self.value {
            Some(value) => Change::Put { key: self.key.to_owned(), value: value.clone() },
            None => Change::Delete { key: self.key.to_owned() },
        }
    }

    fn add_to(&self, txn: Txn) -> Txn {
        match &self.value {
            Some(value) => txn.put(self.key, self.expected, value.clone()),
            None => txn.delete(self.key, self.expected),
        }
    }
}

/// Transactions over few keys and low revisions, so that expectations are met about as often as not.
fn transactions() -> impl Strategy<Value = Vec<Vec<Operation>>> {
    let expected = prop_oneof![
        3 => Just(Expectation::Any),
        1 => Just(Expectation::Absent),
        2 => (1..8u64).prop_map(Expectation::Revision),
    ];
    let operation = |key| {
        let parts = (expected.clone(), proptest::option::of(vec(any::<u8>(), 0..4)));
        proptest::option::of(parts.prop_map(move |(expected, value)| Operation { key, expected, value }))
    };
    let transaction = ["a", "ab", "networks/app"].map(operation);
    vec(transaction.prop_map(|operations| operations.into_iter().flatten().collect()), 1..24)
}

/// Runs one transaction on both and compares all that can be seen.
fn step(store: &dyn Store, model: &mut Model, operations: &[Operation]) -> Result<(), TestCaseError> {
    let txn = operations.iter().fold(Txn::new(), |txn, operation| operation.add_to(txn));
    match (store.commit(txn), model.commit(operations)) {
        (Ok(revision), expected) => prop_assert_eq!(Some(revision), expected),
        (Err(CommitError::Conflict { .. }), None) => {}
        (Err(error), expected) => prop_assert!(false, "{error}, expected {expected:?}"),
    }
    prop_assert_eq!(store.snapshot().expect("snapshot"), model.snapshot());
    Ok(())
}

/// Every watch, from wherever, gives exactly the commits that the model has after it.
fn compare_watches(store: &dyn Store, model: &Model) -> Result<(), TestCaseError> {
    for from in 0..=model.commits.len() {
        let mut watch = store.watch(from as u64);
        for commit in &model.commits[from..] {
            prop_assert_eq!(&*watch.recv_timeout(Duration::ZERO).expect("commit"), commit);
        }
        prop_assert_eq!(watch.recv_timeout(Duration::ZERO), Err(WatchError::Timeout));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn memory_does_as_the_model(transactions in transactions()) {
        let (store, mut model) = (Memory::new(), Model::default());
        for operations in &transactions {
            step(&store, &mut model, operations)?;
        }
        compare_watches(&store, &model)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn embedded_does_as_the_model_and_remembers(transactions in transactions(), reopen_after in 0..24usize) {
        let scratch = Scratch::new();
        let mut store = Embedded::open(scratch.store()).expect("open");
        let mut model = Model::default();
        for (index, operations) in transactions.iter().enumerate() {
            if index == reopen_after {
                drop(store);
                store = Embedded::open(scratch.store()).expect("reopen");
            }
            step(&store, &mut model, operations)?;
        }
        if reopen_after >= transactions.len() {
            compare_watches(&store, &model)?;
        }
    }
}
