//! CNI (containernetworking/cni SPEC.md 1.1.0): one call of the shim, from its environment and configuration to what it
//! prints.

mod annotation;
mod chain;
mod config;
mod delegate;
mod error;
mod naming;
mod result;
mod selection;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tracing::Instrument as _;
use weft_api::{CniError, CniRequest};
use weft_kernel::Netlink;
use weft_model::{CniCall, ContainerId, DeviceReference, Endpoint, EndpointKey, IfName, Ipam, Name, Network};
use weft_netns::Netns;

use crate::attach::{AttachError, Attachment, DEFAULT_NAMESPACE, is_same};
use crate::check;
use crate::config::Switch;
use crate::ledger::{Entry, LedgerError, Phase};
use crate::node::Node;
use crate::shell::workers::Undone;
use config::Config;
use delegate::{ByLink, Delegate};
use error::{Code, Failure};
use naming::Previous;
use selection::Selection;

/// Versions served, oldest first; the last is the newest.
pub const VERSIONS: &[&str] = &["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Answers one call: what to print, if anything. Once begun it is finished, even if the shim goes away.
pub async fn answer(node: Arc<Node>, request: CniRequest, netns: Option<OwnedFd>) -> Result<Option<Value>, CniError> {
    let version = config::version_of(&request.config);
    let answered = match delegate_of(&node, &request) {
        Ok(None) => call(&node, &request, netns).await,
        Ok(Some(delegate)) => {
            // Whoever waits for a plugin may be gone when it has answered; what was begun is finished without them.
            let span = tracing::Span::current();
            let whole = async move { delegated(&node, &request, netns, &delegate).await }.instrument(span);
            tokio::spawn(whole).await.unwrap_or_else(|_| Err(Undone::Panicked.into()))
        }
        Err(failure) => Err(failure),
    };
    answered.map_err(|failure| failure.with_version(&version))
}

/// Who leases the addresses, if it is not weft.
fn delegate_of(node: &Node, request: &CniRequest) -> Result<Option<Delegate>, Failure> {
    let named = Delegate::named(&request.config);
    if request.command != "DEL" {
        return named;
    }
    // Nothing stops a DEL: what the configuration does not say, the record does.
    if let Ok(Some(delegate)) = named {
        return Ok(Some(delegate));
    }
    let made = made_by(node, request);
    Ok(made.iter().find_map(|endpoint| endpoint.delegation.as_ref()).map(Delegate::recorded))
}

/// What the call that this one is about made, as far as it can be read which that was.
fn made_by(node: &Node, request: &CniRequest) -> Vec<Arc<Endpoint>> {
    let Ok(call) = Call::parse(node, request, None) else { return Vec::new() };
    call.key().map(|key| call.made(&key, |_| true)).unwrap_or_default()
}

/// A call for which weft alone is asked.
async fn call(node: &Node, request: &CniRequest, netns: Option<OwnedFd>) -> Result<Option<Value>, Failure> {
    let call = Call::parse(node, request, netns)?;
    if call.waits_for_lan() {
        return node.workers.call_waiting(|netlink| call.run(netlink)).await?;
    }
    node.workers.call(|netlink| call.run(netlink)).await?
}

/// A call for which another plugin is asked, too. While it runs, no worker waits.
async fn delegated(
    node: &Node,
    request: &CniRequest,
    netns: Option<OwnedFd>,
    delegate: &Delegate,
) -> Result<Option<Value>, Failure> {
    if request.command == "DEL" && delegate.asks_by_link() {
        // What it leased it gives back by the link. Without a record it has leased nothing that weft would know of: one
        // that cannot be asked (its daemon is not there) must not hold up the death of what was never born.
        let is_known = !made_by(node, request).is_empty();
        let forwarded = delegate.forward(&node.plugins, request).await;
        let forwarded = forwarded.or_else(|failure| {
            tracing::warn!(container = request.container_id, error = failure.message, "a lease is not given back");
            if is_known { Err(failure) } else { Ok(()) }
        });
        let done = call(node, request, netns).await;
        return done.and_then(|printed| forwarded.map(|()| printed));
    }
    if request.command != "ADD" {
        let done = call(node, request, netns).await;
        let forwarded = delegate.forward(&node.plugins, request).await;
        return done.and_then(|printed| forwarded.map(|()| printed));
    }
    let mut call = Call::parse(node, request, netns)?;
    let mut wishes = call.wishes()?;
    // The plugin's DEL below would free what a living endpoint has.
    call.refuse_present(&wishes)?;
    if delegate.asks_by_link() {
        let lessor = Arc::new(ByLink::new(delegate, &node.plugins, request));
        if let Some(first) = wishes.first_mut() {
            lessor.offer(first);
        }
        let joined = match node.workers.call_waiting(|netlink| call.join(netlink, &wishes)).await {
            Ok(joined) => joined,
            Err(undone) => {
                delegate.undo(&node.plugins, request).await;
                return Err(undone.into());
            }
        };
        return joined.map(Some).map_err(|failure| lessor.failure().unwrap_or_else(|| delegate.blame(failure)));
    }
    let joined = async {
        if let Some(first) = wishes.first_mut() {
            delegate.add(&node.plugins, request, first).await?;
        }
        let joined = node.workers.call(|netlink| call.join(netlink, &wishes)).await?;
        joined.map_err(|failure| delegate.blame(failure))
    };
    let joined = joined.await;
    if joined.is_err() {
        delegate.undo(&node.plugins, request).await;
    }
    joined.map(Some)
}

struct Call<'a> {
    node: &'a Node,
    request: &'a CniRequest,
    config: Config,
    passed: Option<OwnedFd>,
}

impl<'a> Call<'a> {
    fn parse(node: &'a Node, request: &'a CniRequest, passed: Option<OwnedFd>) -> Result<Self, Failure> {
        let config = Config::parse(&request.command, &request.config)?;
        Ok(Call { node, request, config, passed })
    }

    fn run(mut self, netlink: &mut Netlink) -> Result<Option<Value>, Failure> {
        match self.request.command.as_str() {
            "ADD" => {
                let wishes = self.wishes()?;
                self.join(netlink, &wishes).map(Some)
            }
            "DEL" => self.del(netlink).map(|()| None),
            "CHECK" => self.check(netlink).map(|()| None),
            "GC" => self.gc(netlink).map(|()| None),
            "STATUS" => self.status().map(|()| None),
            other => Err(Failure::new(Code::Environment, format!("unknown CNI_COMMAND: {other}"))),
        }
    }

    /// Whether a LAN is asked for addresses, or given some back. What cannot be read is refused later.
    fn waits_for_lan(&self) -> bool {
        match self.request.command.as_str() {
            "ADD" => {
                let annotated = annotation::selections(&self.config, None).unwrap_or_default();
                let mut names = self.config.selections.iter().chain(&annotated).map(|selection| &selection.network);
                names.any(|name| self.node.networks.get(name).is_some_and(|network| network.ipam == Ipam::Dhcp))
            }
            "DEL" => self.key().is_ok_and(|key| self.made(&key, |_| true).iter().any(|endpoint| endpoint.is_leased())),
            _ => false,
        }
    }

    /// Joins all networks, and says what came of it.
    fn join(&self, netlink: &mut Netlink, wishes: &[Attachment]) -> Result<Value, Failure> {
        let made = self.node.attacher.attach_all(netlink, wishes)?;
        let facts = self.node.reconciler.report().facts;
        let told: Vec<_> = made.iter().filter(|endpoint| is_told(endpoint)).collect();
        Ok(result::render(&self.config.version, &self.config.previous, &told, facts.uplink.as_ref()))
    }

    /// Refuses what is there already, before anybody else is asked.
    fn refuse_present(&self, wishes: &[Attachment]) -> Result<(), Failure> {
        let ledger = self.node.attacher.ledger();
        let present = |wish: &Attachment| {
            let is_it = |entry: &&Entry| entry.phase == Phase::Live && is_same(&entry.endpoint.netns, wish.netns.id());
            let entry = ledger.get(&wish.key).filter(is_it)?;
            Some(LedgerError::Exists { key: wish.key.clone(), network: entry.endpoint.network.to_string() })
        };
        wishes.iter().find_map(present).map_or(Ok(()), |error| Err(AttachError::from(error).into()))
    }

    /// What is asked for, network by network, all of it looked at before any is joined.
    fn wishes(&mut self) -> Result<Vec<Attachment>, Failure> {
        let key = self.key()?;
        let config = &self.config;
        let wishes = config::Wishes::gather(config, &self.request.args)?;
        // Whoever may make pods may annotate them.
        if !wishes.allowed_addresses.is_empty() && self.node.config.allow_by_annotation == Switch::Off {
            let remedy = "start it with --allow-by-annotation on, or use `weft endpoint allow`";
            let reason = format!("annotation {}: this weftd takes none: {remedy}", config::ALLOWED_ANNOTATION);
            return Err(Failure::new(Code::Config, reason));
        }
        let mut selections = std::mem::take(&mut self.config.selections);
        selections.extend(annotation::selections(&self.config, wishes.namespace.as_ref())?);
        let networks = self.networks(&selections)?;
        let netns = Arc::new(self.netns()?.ok_or_else(|| Failure::missing("CNI_NETNS"))?);
        let previous = Previous::read(&self.config.previous);
        let present = self.interfaces_of(&key.container, &netns);
        let names = naming::interfaces(&key.ifname, &selections, &previous, &present)?;
        let several = Several { key, wishes, netns, previous, is_plain: names.len() == 1 };
        let joined = selections.into_iter().zip(networks).zip(names).enumerate();
        joined
            .map(|(place, ((selection, network), ifname))| self.wish(&several, selection, network, place, ifname))
            .collect()
    }

    /// What runtimes ask for is for the first network, but for who the container is.
    fn wish(
        &self,
        several: &Several,
        selection: Selection,
        network: Arc<Network>,
        position: usize,
        ifname: IfName,
    ) -> Result<Attachment, Failure> {
        let Several { key, wishes, netns, previous, is_plain } = several;
        let first = Some(wishes).filter(|_| position == 0);
        let default_namespace = || Name::parse(DEFAULT_NAMESPACE).ok();
        let name = wishes.name.clone().or_else(|| Name::parse(key.container.as_str()).ok());
        let (Some(namespace), Some(name)) = (wishes.namespace.clone().or_else(default_namespace), name) else {
            return Err(Failure::new(Code::Environment, format!("container {:?}: cannot be named", key.container)));
        };
        let mtu = self.node.reconciler.report().facts.mtu_of(&network);
        let limits = first.map_or(&selection.bandwidth, |wishes| &wishes.bandwidth).limits(mtu)?;
        if !limits.is_empty() {
            chain::refuse_rivals(&self.config.name)?;
        }
        let claims = selection.claims(&network)?;
        let foreign_defaults = previous.defaults.iter().filter(|family| !claims.contains(family)).copied().collect();
        let cni_call = CniCall { ifname: key.ifname.clone(), position, by_annotation: selection.by_annotation };
        let asked = first.map(|wishes| wishes.addresses.clone()).unwrap_or_default();
        Ok(Attachment {
            mtu,
            limits,
            allowed_addresses: first.map(|wishes| wishes.allowed_addresses.clone()).unwrap_or_default(),
            claims,
            foreign_defaults,
            cni_call: Some(cni_call).filter(|call| !is_plain || call.ifname != ifname),
            delegation: None,
            lessor: None,
            routes: Vec::new(),
            key: EndpointKey { container: key.container.clone(), ifname },
            network,
            netns: Arc::clone(netns),
            netns_path: self.request.netns.clone(),
            namespace,
            name,
            labels: wishes.labels.clone(),
            ports: wishes.ports.clone(),
            aliases: first.map(|wishes| wishes.aliases.clone()).unwrap_or_default(),
            cni_name: Some(self.config.name.clone()),
            cgroup_path: wishes.cgroup_path.clone(),
            addresses: [asked, selection.addresses].concat(),
            mac: first.and_then(|wishes| wishes.mac).or(selection.mac),
            device: first.and_then(|wishes| wishes.device.clone()).map(DeviceReference::Pci),
            dns: first.and_then(|wishes| wishes.dns.clone()),
            born_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        })
    }

    /// Nothing there is success, and so is a namespace that is gone.
    fn del(mut self, netlink: &mut Netlink) -> Result<(), Failure> {
        let key = self.key()?;
        let made: Vec<_> = self.made(&key, |_| true).iter().map(|endpoint| endpoint.key.clone()).collect();
        let netns = self.netns().ok().flatten();
        self.node.attacher.detach_all(netlink, &key.container, &made, netns.as_ref())?;
        Ok(())
    }

    fn check(mut self, netlink: &mut Netlink) -> Result<(), Failure> {
        let key = self.key()?;
        self.networks(&self.config.selections)?;
        let made = self.made(&key, |phase| phase == Phase::Live);
        if made.is_empty() {
            return Err(Failure::new(Code::UnknownContainer, format!("endpoint {key} is not known")));
        }
        let mut problems = Vec::new();
        let mut selections = std::mem::take(&mut self.config.selections);
        selections.extend(annotation::selections(&self.config, made.first().map(|endpoint| &endpoint.namespace))?);
        for selection in selections {
            if !made.iter().any(|endpoint| endpoint.network.as_str() == selection.network) {
                problems.push(format!("container {}: is not on network {} any more", key.container, selection.network));
            }
        }
        let netns = self.netns()?.ok_or_else(|| Failure::missing("CNI_NETNS"))?;
        for endpoint in &made {
            let mut found = check::endpoint(&self.node.attacher, netlink, endpoint, &netns)?;
            if is_told(endpoint) {
                found.extend(result::differs(&self.config.previous, endpoint));
            }
            problems.extend(found.into_iter().map(|problem| format!("endpoint {}: {problem}", endpoint.key)));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(Code::Io, problems.join("; "))),
        }
    }

    /// Frees what this configuration made and its runtime no longer names, and goes on if one cannot be freed. No list
    /// at all is no answer: nothing is freed.
    fn gc(self, netlink: &mut Netlink) -> Result<(), Failure> {
        let Some(valid) = self.config.valid_attachments()? else { return Ok(()) };
        let is_named = |endpoint: &Endpoint| {
            let (container, ifname) = (endpoint.key.container.clone(), endpoint.cni_ifname().clone());
            valid.contains(&EndpointKey { container, ifname })
        };
        let mine: Vec<_> = {
            let ledger = self.node.attacher.ledger();
            let mine = ledger.live().filter(|endpoint| self.is_mine(endpoint));
            mine.filter(|endpoint| !is_named(endpoint)).cloned().collect()
        };
        let mut collected = Ok(());
        for endpoint in mine.iter().rev() {
            let netns = Netns::open(&endpoint.netns.path).ok();
            match self.node.attacher.detach(netlink, &endpoint.key, netns.as_ref()) {
                Ok(()) => tracing::info!(endpoint = %endpoint.key, "collected: its runtime does not know it any more"),
                Err(error) => collected = collected.and(Err(error.into())),
            }
        }
        collected
    }

    fn status(&self) -> Result<(), Failure> {
        let networks = self.networks(&self.config.selections);
        networks.map_err(|failure| Failure { code: Code::Unavailable, ..failure })?;
        chain::refuse_rivals(&self.config.name)
    }

    fn key(&self) -> Result<EndpointKey, Failure> {
        let faulty = |variable: &str, error: weft_model::NameError| {
            Failure::new(Code::Environment, format!("{variable}: {error}"))
        };
        Ok(EndpointKey {
            container: self.request.container_id.parse().map_err(|e| faulty("CNI_CONTAINERID", e))?,
            ifname: self.request.ifname.parse().map_err(|e| faulty("CNI_IFNAME", e))?,
        })
    }

    /// The networks that are selected, each of them once: two interfaces on one network cannot share its gateway.
    fn networks(&self, selections: &[Selection]) -> Result<Vec<Arc<Network>>, Failure> {
        let known = |(place, selection): (usize, &Selection)| {
            let name = &selection.network;
            if selections[..place].iter().any(|earlier| earlier.network == *name) {
                let reason = format!("{}: network {name:?} is joined already: name it once", selection.field);
                return Err(Failure::new(Code::Config, reason));
            }
            self.node.networks.get(name).ok_or_else(|| {
                let remedy = format!("create it with `weft network create {name} --mode MODE`, or name another");
                Failure::new(Code::Config, format!("network {name:?} does not exist: {remedy}"))
            })
        };
        selections.iter().enumerate().map(known).collect()
    }

    /// What earlier calls for the container made.
    fn interfaces_of(&self, container: &ContainerId, netns: &Netns) -> BTreeSet<String> {
        let ledger = self.node.attacher.ledger();
        let here = ledger.of_container(container).filter(|entry| is_same(&entry.endpoint.netns, netns.id()));
        here.map(|entry| entry.endpoint.key.ifname.to_string()).collect()
    }

    /// What the call that `key` names made, in that order, as far as it has come to a phase that is meant.
    fn made(&self, key: &EndpointKey, is_meant: impl Fn(Phase) -> bool) -> Vec<Arc<Endpoint>> {
        let ledger = self.node.attacher.ledger();
        let entries = ledger.of_container(&key.container).filter(|entry| is_meant(entry.phase));
        let entries = entries.map(|entry| &entry.endpoint);
        let made = entries.filter(|endpoint| *endpoint.cni_ifname() == key.ifname && self.is_mine(endpoint));
        let mut made: Vec<_> = made.cloned().collect();
        made.sort_by_key(|endpoint| endpoint.cni_position());
        made
    }

    /// The namespace by its descriptor, if one was passed, else by its path.
    fn netns(&mut self) -> Result<Option<Netns>, Failure> {
        if let Some(fd) = self.passed.take() {
            return Ok(Some(Netns::from_fd(fd)?));
        }
        match self.request.netns.as_str() {
            "" => Ok(None),
            path => Ok(Some(Netns::open(path)?)),
        }
    }

    fn is_mine(&self, endpoint: &Endpoint) -> bool {
        endpoint.cni_name.as_ref() == Some(&self.config.name)
    }
}

/// What is the same for all networks of one call.
struct Several {
    key: EndpointKey,
    wishes: config::Wishes,
    netns: Arc<Netns>,
    previous: Previous,
    is_plain: bool,
}

/// Whether the call's result has the endpoint. What an annotation asks for it has not, as Multus has it: runtimes take
/// that of the first network for the pod's.
fn is_told(endpoint: &Endpoint) -> bool {
    !endpoint.cni_call.as_ref().is_some_and(|call| call.by_annotation)
}
