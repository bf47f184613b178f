//! A set of addresses of one family, kept as disjoint intervals, so that the lowest absent one is found at once.

use std::collections::BTreeMap;

/// Intervals by first member; neither overlapping nor touching.
#[derive(Debug, Clone, Default)]
pub(crate) struct IntervalSet {
    last_by_first: BTreeMap<u128, u128>,
}

impl IntervalSet {
    /// The lowest number in `first..=last` that is not a member.
    pub(crate) fn first_absent(&self, first: u128, last: u128) -> Option<u128> {
        match self.around(first) {
            None => Some(first),
            Some((_, end)) => end.checked_add(1).filter(|next| *next <= last),
        }
    }

    pub(crate) fn insert(&mut self, number: u128) {
        if self.around(number).is_some() {
            return;
        }
        let after = number.checked_add(1).and_then(|next| self.last_by_first.remove(&next));
        let last = after.unwrap_or(number);
        let before = number.checked_sub(1).and_then(|previous| self.around(previous));
        let first = before.map_or(number, |(first, _)| first);
        self.last_by_first.insert(first, last);
    }

    pub(crate) fn remove(&mut self, number: u128) {
        let Some((first, last)) = self.around(number) else { return };
        self.last_by_first.remove(&first);
        if first < number {
            self.last_by_first.insert(first, number - 1);
        }
        if number < last {
            self.last_by_first.insert(number + 1, last);
        }
    }

    /// The interval that holds `number`.
    fn around(&self, number: u128) -> Option<(u128, u128)> {
        let (first, last) = self.last_by_first.range(..=number).next_back()?;
        (*last >= number).then_some((*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_plain_set(steps in proptest::collection::vec((any::<bool>(), 0u128..24), 0..80)) {
            let (mut set, mut plain) = (IntervalSet::default(), BTreeSet::new());
            for (insert, number) in steps {
                if insert {
                    set.insert(number);
                    plain.insert(number);
                } else {
                    set.remove(number);
                    plain.remove(&number);
                }
                for first in 0..26 {
                    let slow = (first..=25).find(|n| !plain.contains(n));
                    prop_assert_eq!(set.first_absent(first, 25), slow);
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_number_line_do_not_overflow() {
        let mut set = IntervalSet::default();
        set.insert(u128::MAX);
        set.insert(0);
        assert_eq!(set.first_absent(u128::MAX, u128::MAX), None);
        assert_eq!(set.first_absent(0, 5), Some(1));
        set.remove(u128::MAX);
        assert_eq!(set.first_absent(u128::MAX, u128::MAX), Some(u128::MAX));
    }
}
