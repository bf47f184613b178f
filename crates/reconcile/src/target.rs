//! What can be reconciled, and how one round goes.

use std::collections::BTreeMap;

use crate::delta::Delta;

/// One kind of object somewhere outside, such as the bridges of a host.
pub trait Target {
    /// What tells one object from another.
    type Key: Ord + Clone;
    /// What an object must be.
    type Desired;
    /// What an object is.
    type Actual;
    /// Why an operation failed.
    type Error;

    /// Reads every object that is ours. Foreign ones must not appear, or they would be deleted.
    fn read_back(&mut self) -> Result<BTreeMap<Self::Key, Self::Actual>, Self::Error>;

    /// Whether `actual` is all that `desired` asks for.
    fn is_settled(&self, key: &Self::Key, desired: &Self::Desired, actual: &Self::Actual) -> bool;

    /// Makes the object so. Running it twice is the same as once.
    fn update(&mut self, key: &Self::Key, desired: &Self::Desired) -> Result<(), Self::Error>;

    /// Makes the object gone. Nothing there is success.
    fn delete(&mut self, key: &Self::Key) -> Result<(), Self::Error>;
}

/// What one round did.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome<K, E> {
    /// Made or changed.
    pub updated: Vec<K>,
    /// Taken away.
    pub deleted: Vec<K>,
    /// Left as it was; to be tried again.
    pub failed: Vec<(K, E)>,
}

impl<K, E> Outcome<K, E> {
    /// Whether everything is as it must be now.
    pub fn is_settled(&self) -> bool {
        self.failed.is_empty()
    }
}

/// Makes `desired` true, deletions first, so that what replaces a deleted object finds its place free. One failure does
/// not keep the others from being tried; only a failed reading ends the round.
pub fn reconcile<T: Target>(
    target: &mut T,
    desired: &BTreeMap<T::Key, T::Desired>,
) -> Result<Outcome<T::Key, T::Error>, T::Error> {
    let actual = target.read_back()?;
    let delta = Delta::between(desired, &actual, |key, wanted, present| target.is_settled(key, wanted, present));
    let mut outcome = Outcome { updated: Vec::new(), deleted: Vec::new(), failed: Vec::new() };
    for key in delta.delete {
        match target.delete(&key) {
            Ok(()) => outcome.deleted.push(key),
            Err(error) => outcome.failed.push((key, error)),
        }
    }
    for key in delta.update {
        let Some(wanted) = desired.get(&key) else { continue };
        match target.update(&key, wanted) {
            Ok(()) => outcome.updated.push(key),
            Err(error) => outcome.failed.push((key, error)),
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Shelf {
        objects: BTreeMap<u8, char>,
        broken: Option<u8>,
    }

    impl Target for Shelf {
        type Key = u8;
        type Desired = char;
        type Actual = char;
        type Error = &'static str;

        fn read_back(&mut self) -> Result<BTreeMap<u8, char>, &'static str> {
            Ok(self.objects.clone())
        }

        fn is_settled(&self, _: &u8, desired: &char, actual: &char) -> bool {
            desired == actual
        }

        fn update(&mut self, key: &u8, desired: &char) -> Result<(), &'static str> {
            if self.broken == Some(*key) {
                return Err("broken");
            }
            self.objects.insert(*key, *desired);
            Ok(())
        }

        fn delete(&mut self, key: &u8) -> Result<(), &'static str> {
            self.objects.remove(key);
            Ok(())
        }
    }

    #[test]
    fn any_state_becomes_any_other() {
        let states = [vec![], vec![(1, 'a')], vec![(1, 'b'), (2, 'c')], vec![(2, 'c'), (3, 'd')]];
        for from in &states {
            for to in &states {
                let mut shelf = Shelf { objects: from.iter().copied().collect(), broken: None };
                let desired: BTreeMap<u8, char> = to.iter().copied().collect();
                assert!(reconcile(&mut shelf, &desired).expect("readable").is_settled());
                assert_eq!(shelf.objects, desired);
                let again = reconcile(&mut shelf, &desired).expect("readable");
                assert!(again.updated.is_empty() && again.deleted.is_empty(), "a second round finds nothing to do");
            }
        }
    }

    #[test]
    fn one_failure_leaves_the_others_done() {
        let mut shelf = Shelf { broken: Some(1), ..Shelf::default() };
        let desired = BTreeMap::from([(1, 'a'), (2, 'b')]);
        let outcome = reconcile(&mut shelf, &desired).expect("readable");
        assert_eq!(outcome, Outcome { updated: vec![2], deleted: vec![], failed: vec![(1, "broken")] });
        shelf.broken = None;
        assert!(reconcile(&mut shelf, &desired).expect("readable").is_settled());
    }
}
