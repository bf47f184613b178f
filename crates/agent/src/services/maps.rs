//! The programs' maps of services: what is written there, and in which order.
//!
//! ```text
//!   sets that come ─► frontends ─► sets that go
//! ```
//!
//! A frontend is turned from one set to another by one write. Who has read it just before finds his set gone, and looks
//! again (`service_lead` of `bpf/stage/service.h`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use weft_dataplane::{Dataplane, DataplaneError, abi, address_of};
use weft_services::{Backend, Catalog, Changes, Frontend, Set, SetNumber, Target, ViewNumber};

/// A second of the programs' clock, in nanoseconds (`FLOW_TICK_BITS`).
const TICK_NS: u64 = 1 << abi::FLOW_TICK_BITS;
const SECOND_NS: u64 = 1_000_000_000;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Maps {
    /// The last change was not written whole.
    is_behind: bool,
}

impl Maps {
    /// Numbers that an earlier agent gave are not given to others, so that nobody is led by half of the old and half of
    /// the new.
    pub(super) fn reserve(&self, dataplane: &Dataplane, catalog: &mut Catalog) -> Result<(), DataplaneError> {
        let services = dataplane.services();
        let (mut set, mut view) = (0, 0);
        services.frontends.each(|key, frontend| {
            set = set.max(frontend.set);
            view = view.max(key.view);
        })?;
        services.backends.each(|key, _| set = set.max(key.set))?;
        services.namespaces.each(|_, known| view = view.max(known.view))?;
        catalog.reserve(set, view);
        Ok(())
    }

    /// Writes all that there is, for namespaces with these views, and takes out what nobody knows any more.
    pub(super) fn adopt(
        &mut self,
        dataplane: &Dataplane,
        catalog: &mut Catalog,
        views: BTreeMap<u64, ViewNumber>,
    ) -> Result<(), DataplaneError> {
        let services = dataplane.services();
        let all = catalog.everything();
        self.write(dataplane, catalog, all.clone())?;
        for (cookie, view) in &views {
            services.namespaces.put(cookie, &abi::namespace_known { view: *view })?;
        }
        let stale = services.namespaces.keys().into_iter().filter(|cookie| !views.contains_key(cookie));
        stale.into_iter().try_for_each(|cookie| services.namespaces.remove(&cookie))?;
        let known: HashSet<_> = all.frontends.keys().map(frontend_key).collect();
        let stale = services.frontends.keys().into_iter().filter(|key| !known.contains(key));
        stale.into_iter().try_for_each(|key| services.frontends.remove(&key))?;
        let stale = services.backends.keys().into_iter().filter(|key| !all.sets.contains_key(&key.set));
        stale.into_iter().try_for_each(|key| services.backends.remove(&key))?;
        let stale = services.members.keys().into_iter().filter(|key| !all.sets.contains_key(&key.set));
        stale.into_iter().try_for_each(|key| services.members.remove(&key))?;
        let counted: BTreeSet<u32> = all.frontends.values().flatten().map(|target| target.service).collect();
        let stale = services.counts.keys().into_iter().filter(|port| !counted.contains(port));
        stale.into_iter().try_for_each(|port| services.counts.remove(&port))
    }

    /// Who is in the namespace with this cookie has this view; nobody of ours is there without one.
    pub(super) fn set_namespace(
        &self,
        dataplane: &Dataplane,
        cookie: u64,
        view: Option<ViewNumber>,
    ) -> Result<(), DataplaneError> {
        let namespaces = &dataplane.services().namespaces;
        match view {
            Some(view) => namespaces.put(&cookie, &abi::namespace_known { view }),
            None => namespaces.remove(&cookie),
        }
    }

    /// Writes what has changed; all of it, if the last change was not written whole.
    pub(super) fn write(
        &mut self,
        dataplane: &Dataplane,
        catalog: &mut Catalog,
        changes: Changes,
    ) -> Result<(), DataplaneError> {
        let services = dataplane.services();
        let all = if self.is_behind { Some(catalog.everything()) } else { None };
        self.is_behind = true;
        let came = all.as_ref().unwrap_or(&changes);
        for (number, set) in &came.sets {
            for (place, backend) in (0..).zip(&set.backends) {
                services.backends.put(&abi::backend_key { set: *number, place }, &backend_entry(backend))?;
            }
            members(*number, set).try_for_each(|member| services.members.put(&member, &1))?;
        }
        for (frontend, target) in &came.frontends {
            if let Some(target) = target {
                services.frontends.put(&frontend_key(frontend), &entry(target))?;
            }
        }
        for (frontend, _) in changes.frontends.iter().filter(|(_, target)| target.is_none()) {
            services.frontends.remove(&frontend_key(frontend))?;
        }
        for (number, set) in &changes.gone {
            for (place, _) in (0..).zip(&set.backends) {
                services.backends.remove(&abi::backend_key { set: *number, place })?;
            }
            members(*number, set).try_for_each(|member| services.members.remove(&member))?;
        }
        changes.ports.iter().try_for_each(|port| services.counts.remove(port))?;
        self.is_behind = false;
        Ok(())
    }
}

fn frontend_key(frontend: &Frontend) -> abi::frontend_key {
    abi::frontend_key {
        address: address_of(frontend.address),
        view: frontend.view,
        port: frontend.port,
        protocol: frontend.protocol.0,
        ..abi::frontend_key::default()
    }
}

fn entry(target: &Target) -> abi::frontend {
    let ticks = |seconds: u32| {
        let ticks = (u64::from(seconds) * SECOND_NS).div_ceil(TICK_NS);
        u32::try_from(ticks).unwrap_or(u32::MAX)
    };
    abi::frontend {
        set: target.set,
        count: target.count,
        service: target.service,
        flags: if target.is_elsewhere { abi::FRONTEND_ELSEWHERE } else { 0 },
        affinity: target.affinity_s.map_or(0, ticks),
        ..abi::frontend::default()
    }
}

fn backend_entry(backend: &Backend) -> abi::backend {
    abi::backend { address: address_of(backend.address), port: backend.port, ..abi::backend::default() }
}

fn members(number: SetNumber, set: &Set) -> impl Iterator<Item = abi::member_key> {
    let member = move |backend: &Backend| abi::member_key {
        address: address_of(backend.address),
        set: number,
        port: backend.port,
        ..abi::member_key::default()
    };
    set.backends.iter().filter(|_| set.is_sticky).map(member)
}
