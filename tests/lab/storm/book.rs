//! The tests' own book of who holds which address, kept from nothing but calls and their answers.
//!
//! An address is held from the answer to ADD until DEL is *called*. Where two callers share a container, a DEL that
//! overlaps an ADD may come before or after it in the agent: then nobody knows, and nothing is noted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all callers.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Page>);

#[derive(Debug, Default)]
struct Page {
    /// Address to container.
    held: BTreeMap<String, String>,
    deaths: BTreeMap<String, Deaths>,
    faults: Vec<String>,
}

/// Calls of DEL for one container.
#[derive(Debug, Default, Clone, Copy)]
struct Deaths {
    begun: u64,
    under_way: u64,
}

/// What was known when ADD was called; `None` if nothing will be known of its answer.
pub(super) struct Ticket(Option<u64>);

impl Book {
    /// ADD is called.
    pub(super) fn begin_birth(&self, container: &str) -> Ticket {
        let deaths = self.page().deaths.get(container).copied().unwrap_or_default();
        Ticket((deaths.under_way == 0).then_some(deaths.begun))
    }

    /// ADD gave `addresses`.
    pub(super) fn finish_birth(&self, container: &str, ticket: &Ticket, addresses: &[String]) {
        let mut page = self.page();
        let deaths = page.deaths.get(container).copied().unwrap_or_default();
        if ticket.0 != Some(deaths.begun) {
            return;
        }
        for address in addresses {
            if let Some(holder) = page.held.insert(address.clone(), container.to_owned()) {
                page.faults.push(format!("{address} was given to {container} while {holder} had it"));
            }
        }
    }

    /// DEL is called.
    pub(super) fn begin_death(&self, container: &str) {
        let mut page = self.page();
        page.held.retain(|_, holder| holder != container);
        let deaths = page.deaths.entry(container.to_owned()).or_default();
        deaths.begun += 1;
        deaths.under_way += 1;
    }

    /// DEL was answered.
    pub(super) fn finish_death(&self, container: &str) {
        self.page().deaths.entry(container.to_owned()).or_default().under_way -= 1;
    }

    /// Something happened that must not.
    pub(super) fn fault(&self, fault: String) {
        self.page().faults.push(fault);
    }

    /// Nothing happened that must not, and nothing is held.
    pub(super) fn assert_closed(&self) {
        let page = self.page();
        assert!(page.faults.is_empty(), "{} faults:\n{}", page.faults.len(), page.faults.join("\n"));
        assert!(page.held.is_empty(), "{:#?}", page.held);
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
