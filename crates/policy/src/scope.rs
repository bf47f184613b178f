//! Whom scopes match, kept up as identities come and go: nobody but who is new is looked at.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::{Labels, Namespaces, Scope, Selector};

use crate::world::{Identity, IdentityNumber};

/// Number of a scope.
pub(crate) type ScopeNumber = u32;

/// All scopes that some policy has.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    numbers: BTreeMap<Scope, ScopeNumber>,
    kept: BTreeMap<ScopeNumber, Kept>,
    /// Those of one namespace.
    named: BTreeMap<String, Listed>,
    /// Those that go by namespaces' labels.
    matching: Listed,
    next: ScopeNumber,
}

/// Scopes by a label that all whom they match have: others need not be held against them.
#[derive(Debug, Default)]
struct Listed {
    by_label: BTreeMap<String, BTreeMap<String, BTreeSet<ScopeNumber>>>,
    /// Those that ask for no such label.
    others: BTreeSet<ScopeNumber>,
}

impl Listed {
    fn insert(&mut self, selector: &Selector, number: ScopeNumber) {
        let Some((key, values)) = selector.anchor() else {
            self.others.insert(number);
            return;
        };
        let of_key = self.by_label.entry(key.to_owned()).or_default();
        for value in values {
            of_key.entry(value.clone()).or_default().insert(number);
        }
    }

    fn remove(&mut self, selector: &Selector, number: ScopeNumber) {
        let Some((key, values)) = selector.anchor() else {
            self.others.remove(&number);
            return;
        };
        let Some(of_key) = self.by_label.get_mut(key) else { return };
        for value in values {
            if let Some(scopes) = of_key.get_mut(value) {
                scopes.remove(&number);
            }
        }
        of_key.retain(|_, scopes| !scopes.is_empty());
        if of_key.is_empty() {
            self.by_label.remove(key);
        }
    }

    /// Those that may match somebody with these labels.
    fn of<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = ScopeNumber> + 'a {
        let by_label = labels.iter().filter_map(|(key, value)| self.by_label.get(key)?.get(value));
        by_label.flatten().chain(&self.others).copied()
    }

    fn is_empty(&self) -> bool {
        self.by_label.is_empty() && self.others.is_empty()
    }
}

#[derive(Debug)]
struct Kept {
    scope: Scope,
    /// How often it is held.
    holds: usize,
    matched: BTreeSet<IdentityNumber>,
}

impl Scopes {
    /// Holds a scope that somebody holds already; `None` if nobody does.
    pub(crate) fn hold_again(&mut self, scope: &Scope) -> Option<ScopeNumber> {
        let number = self.numbers.get(scope)?;
        self.kept.get_mut(number)?.holds += 1;
        Some(*number)
    }

    /// Holds a scope that nobody holds. `looked_at` is told how many identities were held against it.
    pub(crate) fn hold_first<'a>(
        &mut self,
        scope: &Scope,
        identities: impl Iterator<Item = (IdentityNumber, &'a Identity, &'a Labels)>,
        looked_at: &mut u64,
    ) -> ScopeNumber {
        let number = self.next;
        self.next += 1;
        let is_matched = |(_, identity, labels): &(IdentityNumber, &Identity, &Labels)| {
            *looked_at += 1;
            matches(scope, identity, labels)
        };
        let matched = identities.filter(is_matched).map(|(number, ..)| number).collect();
        self.numbers.insert(scope.clone(), number);
        self.place(scope).insert(&scope.endpoints, number);
        self.kept.insert(number, Kept { scope: scope.clone(), holds: 1, matched });
        number
    }

    /// Lets go of it; gives back whether nobody holds it any more.
    pub(crate) fn release(&mut self, number: ScopeNumber) -> bool {
        let Some(kept) = self.kept.get_mut(&number) else { return false };
        kept.holds -= 1;
        if kept.holds > 0 {
            return false;
        }
        if let Some(kept) = self.kept.remove(&number) {
            self.numbers.remove(&kept.scope);
            self.place(&kept.scope).remove(&kept.scope.endpoints, number);
            if let Namespaces::Named(name) = &kept.scope.namespaces
                && self.named.get(name).is_some_and(Listed::is_empty)
            {
                self.named.remove(name);
            }
        }
        true
    }

    /// Identities that it matches.
    pub(crate) fn matched(&self, number: ScopeNumber) -> impl Iterator<Item = IdentityNumber> {
        self.kept.get(&number).into_iter().flat_map(|kept| kept.matched.iter().copied())
    }

    /// Whether it matches an identity.
    pub(crate) fn has(&self, number: ScopeNumber, identity: IdentityNumber) -> bool {
        self.kept.get(&number).is_some_and(|kept| kept.matched.contains(&identity))
    }

    /// Takes note of an identity that is new, or whose namespace has other labels; gives back the scopes that match it.
    /// `former` did before.
    pub(crate) fn note(
        &mut self,
        number: IdentityNumber,
        identity: &Identity,
        labels: &Labels,
        former: &BTreeSet<ScopeNumber>,
        looked_at: &mut u64,
    ) -> BTreeSet<ScopeNumber> {
        let named = self.named.get(&identity.namespace);
        let named = named.into_iter().flat_map(|named| named.of(&identity.labels));
        let mut found = BTreeSet::new();
        for scope in named.chain(self.matching.of(&identity.labels)) {
            let Some(kept) = self.kept.get_mut(&scope) else { continue };
            *looked_at += 1;
            if matches(&kept.scope, identity, labels) {
                kept.matched.insert(number);
                found.insert(scope);
            }
        }
        let lost: BTreeSet<_> = former.difference(&found).copied().collect();
        self.forget(number, &lost);
        found
    }

    /// Forgets an identity that these match.
    pub(crate) fn forget(&mut self, number: IdentityNumber, matched: &BTreeSet<ScopeNumber>) {
        for scope in matched {
            if let Some(kept) = self.kept.get_mut(scope) {
                kept.matched.remove(&number);
            }
        }
    }

    fn place(&mut self, scope: &Scope) -> &mut Listed {
        match &scope.namespaces {
            Namespaces::Named(name) => self.named.entry(name.clone()).or_default(),
            Namespaces::Matching(_) => &mut self.matching,
        }
    }
}

/// Whether a scope matches an identity, whose namespace has these labels.
fn matches(scope: &Scope, identity: &Identity, labels: &Labels) -> bool {
    let is_there = match &scope.namespaces {
        Namespaces::Named(name) => *name == identity.namespace,
        Namespaces::Matching(selector) => selector.matches(labels),
    };
    is_there && scope.endpoints.matches(&identity.labels)
}
