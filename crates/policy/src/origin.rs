//! Where rules are written, by numbers that the next agent gives them, too.

use std::collections::BTreeMap;

use weft_model::{Policy, PolicyKey, Way, fnv32};

use crate::table::RuleNumber;

/// Numbers in a row that a rule may have: the first of them follows from its place, and is its own in all but one of
/// a hundred worlds of ten thousand rules.
const NUMBERS: u32 = 16;

/// Where a rule is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleOrigin {
    /// The policy.
    pub policy: PolicyKey,
    /// Which way it is about.
    pub way: Way,
    /// Its place among the rules of that way, from 0.
    pub place: usize,
    /// What its author calls it.
    pub name: String,
}

impl RuleOrigin {
    fn is(&self, (key, way, place): Place<'_>) -> bool {
        (&self.policy, self.way, self.place) == (key, way, place)
    }
}

/// Policy, way, and place among its rules.
pub(crate) type Place<'a> = (&'a PolicyKey, Way, usize);

/// All rules that are written somewhere.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeMap<RuleNumber, RuleOrigin>);

impl Origins {
    /// Gives a rule its number, which no other one has.
    pub(crate) fn note(&mut self, origin: RuleOrigin) -> RuleNumber {
        let place = (&origin.policy, origin.way, origin.place);
        let is_open = |number: &RuleNumber| self.0.get(number).is_none_or(|other| other.is(place));
        let number = numbers(place).find(is_open).unwrap_or_else(|| first(place));
        self.0.insert(number, origin);
        number
    }

    /// Takes a rule's number away.
    pub(crate) fn forget(&mut self, place: Place<'_>) -> Option<RuleNumber> {
        let number = self.number(place)?;
        self.0.remove(&number);
        Some(number)
    }

    /// The number of a rule that is written there.
    pub(crate) fn number(&self, place: Place<'_>) -> Option<RuleNumber> {
        numbers(place).find(|number| self.0.get(number).is_some_and(|origin| origin.is(place)))
    }

    /// Where a rule is written.
    pub(crate) fn get(&self, number: RuleNumber) -> Option<&RuleOrigin> {
        self.0.get(&number)
    }
}

/// Places of all rules of a policy.
pub(crate) fn places(policy: &Policy) -> impl Iterator<Item = Place<'_>> {
    let of = move |way| (0..policy.rules(way).map_or(0, <[_]>::len)).map(move |place| (&policy.key, way, place));
    Way::BOTH.into_iter().flat_map(of)
}

fn numbers(place: Place<'_>) -> impl Iterator<Item = RuleNumber> {
    let first = first(place);
    // 0 is the number of none.
    (0..NUMBERS).map(move |n| first.wrapping_add(n)).filter(|number| *number != 0)
}

fn first((key, way, place): Place<'_>) -> RuleNumber {
    let way = match way {
        Way::Ingress => "ingress",
        Way::Egress => "egress",
    };
    fnv32(&["rule", key.kind.word(), &key.namespace, &key.name, way, &place.to_string()]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_model::PolicyKind;

    fn key(n: u32) -> PolicyKey {
        PolicyKey { kind: PolicyKind::Namespaced, namespace: "shop".to_owned(), name: n.to_string() }
    }

    #[test]
    fn rules_that_would_have_one_number_have_two() {
        let mut firsts = BTreeMap::new();
        let (one, other) = (0..1_000_000)
            .find_map(|n| Some((firsts.insert(first((&key(n), Way::Ingress, 0)), n)?, n)))
            .expect("two of a million are alike");
        let mut origins = Origins::default();
        let origin = |n| RuleOrigin { policy: key(n), way: Way::Ingress, place: 0, name: String::new() };
        let numbers = [one, other].map(|n| origins.note(origin(n)));
        assert_eq!(numbers[1], numbers[0].wrapping_add(1));
        assert_eq!([one, other].map(|n| origins.number((&key(n), Way::Ingress, 0))), numbers.map(Some));
        assert_eq!(origins.note(origin(other)), numbers[1], "it is its own");
        // Whoever had the first one leaves, and the other keeps his.
        assert_eq!(origins.forget((&key(one), Way::Ingress, 0)), Some(numbers[0]));
        assert_eq!(origins.number((&key(other), Way::Ingress, 0)), Some(numbers[1]));
        assert_eq!(origins.get(numbers[1]), Some(&origin(other)));
        assert_eq!(origins.get(numbers[0]), None);
    }
}
