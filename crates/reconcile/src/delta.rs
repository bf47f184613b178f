//! The difference between what must be and what is.

use std::collections::BTreeMap;

/// Keys to act on, each ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta<K> {
    /// Wanted, and absent or different.
    pub update: Vec<K>,
    /// Present, and not wanted.
    pub delete: Vec<K>,
}

impl<K: Ord + Clone> Delta<K> {
    /// Compares; `settled` says whether what is present is what is wanted.
    pub fn between<D, A>(
        desired: &BTreeMap<K, D>,
        actual: &BTreeMap<K, A>,
        settled: impl Fn(&K, &D, &A) -> bool,
    ) -> Self {
        let drifted = |(key, wanted): &(&K, &D)| !actual.get(key).is_some_and(|present| settled(key, wanted, present));
        Self {
            update: desired.iter().filter(drifted).map(|(key, _)| key.clone()).collect(),
            delete: actual.keys().filter(|key| !desired.contains_key(key)).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_drifted_are_updated_unwanted_deleted_and_equal_left() {
        let desired = BTreeMap::from([("absent", 1), ("drifted", 2), ("equal", 3)]);
        let actual = BTreeMap::from([("drifted", 9), ("equal", 3), ("unwanted", 4)]);
        let delta = Delta::between(&desired, &actual, |_, wanted, present| wanted == present);
        assert_eq!(delta, Delta { update: vec!["absent", "drifted"], delete: vec!["unwanted"] });
    }
}
