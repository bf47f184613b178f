//! CNI (containernetworking/cni SPEC.md 1.1.0): one call of the shim, from its environment and configuration to what it
//! prints.

mod chain;
mod config;
mod error;
mod result;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use weft_api::{CniError, CniRequest};
use weft_kernel::Netlink;
use weft_model::{EndpointKey, Name};
use weft_netns::Netns;

use crate::attach::{Attachment, DEFAULT_NAMESPACE};
use crate::check;
use crate::config::Switch;
use crate::node::Node;
use config::Config;
use error::{Code, Failure};

/// Versions served, oldest first; the last is the newest.
pub const VERSIONS: &[&str] = &["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Answers one call: what to print, if anything.
pub fn answer(
    node: &Node,
    netlink: &mut Netlink,
    request: &CniRequest,
    netns: Option<OwnedFd>,
) -> Result<Option<Value>, CniError> {
    let version = config::version_of(&request.config);
    let call = || -> Result<Option<Value>, Failure> {
        let config = Config::parse(&request.command, &request.config)?;
        let call = Call { node, request, config, passed: netns };
        match request.command.as_str() {
            "ADD" => call.add(netlink).map(Some),
            "DEL" => call.del(netlink).map(|()| None),
            "CHECK" => call.check(netlink).map(|()| None),
            "GC" => call.gc(netlink).map(|()| None),
            "STATUS" => call.status().map(|()| None),
            other => Err(Failure::new(Code::Environment, format!("unknown CNI_COMMAND: {other}"))),
        }
    };
    call().map_err(|failure| failure.with_version(&version))
}

struct Call<'a> {
    node: &'a Node,
    request: &'a CniRequest,
    config: Config,
    passed: Option<OwnedFd>,
}

impl Call<'_> {
    fn add(mut self, netlink: &mut Netlink) -> Result<Value, Failure> {
        let key = self.key()?;
        let network = self.network()?;
        let wishes = config::Wishes::gather(&self.config, &self.request.args)?;
        // Whoever may make pods may annotate them.
        if !wishes.allowed_addresses.is_empty() && self.node.config.allow_by_annotation == Switch::Off {
            let remedy = "start it with --allow-by-annotation on, or use `weft endpoint allow`";
            let reason = format!("annotation {}: this weftd takes none: {remedy}", config::ALLOWED_ANNOTATION);
            return Err(Failure::new(Code::Config, reason));
        }
        let netns = self.netns()?.ok_or_else(|| Failure::missing("CNI_NETNS"))?;
        let facts = self.node.reconciler.report().facts;
        let default_namespace = || Name::parse(DEFAULT_NAMESPACE).ok();
        let name = wishes.name.or_else(|| Name::parse(key.container.as_str()).ok());
        let (Some(namespace), Some(name)) = (wishes.namespace.or_else(default_namespace), name) else {
            return Err(Failure::new(Code::Environment, format!("container {:?}: cannot be named", key.container)));
        };
        let mtu = facts.mtu_of(&network);
        let limits = wishes.bandwidth.limits(mtu)?;
        if !limits.is_empty() {
            chain::refuse_rivals(&self.config.name)?;
        }
        let wish = Attachment {
            mtu,
            limits,
            allowed_addresses: wishes.allowed_addresses,
            claims: Vec::new(),
            key,
            network,
            netns,
            netns_path: self.request.netns.clone(),
            namespace,
            name,
            labels: wishes.labels,
            aliases: wishes.aliases,
            cni_name: Some(self.config.name.clone()),
            cgroup_path: wishes.cgroup_path,
            addresses: wishes.addresses,
            mac: wishes.mac,
            dns: wishes.dns,
            born_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        };
        let endpoint = self.node.attacher.attach(netlink, &wish)?;
        Ok(result::render(&self.config.version, &endpoint, facts.uplink.as_ref()))
    }

    /// Nothing there is success, and so is a namespace that is gone.
    fn del(mut self, netlink: &mut Netlink) -> Result<(), Failure> {
        let key = self.key()?;
        let of_other =
            self.node.attacher.ledger().get(&key).is_some_and(|entry| !self.is_mine(entry.endpoint.cni_name.as_ref()));
        if of_other {
            return Ok(());
        }
        let netns = self.netns().ok().flatten();
        self.node.attacher.detach_container(netlink, &key, netns.as_ref())?;
        Ok(())
    }

    fn check(mut self, netlink: &mut Netlink) -> Result<(), Failure> {
        let key = self.key()?;
        self.network()?;
        let found = self.node.attacher.ledger().live().find(|endpoint| endpoint.key == key).cloned();
        let Some(endpoint) = found else {
            return Err(Failure::new(Code::UnknownContainer, format!("endpoint {key} is not known")));
        };
        let netns = self.netns()?.ok_or_else(|| Failure::missing("CNI_NETNS"))?;
        let mut problems = check::endpoint(&self.node.attacher, netlink, &endpoint, &netns)?;
        problems.extend(result::differs(&self.config.previous, &endpoint));
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(Code::Io, format!("endpoint {key}: {}", problems.join("; ")))),
        }
    }

    /// Frees what this configuration made and its runtime no longer names. No list at all is no answer: nothing is
    /// freed.
    fn gc(self, netlink: &mut Netlink) -> Result<(), Failure> {
        let Some(valid) = self.config.valid_attachments()? else { return Ok(()) };
        let mine: Vec<_> = {
            let ledger = self.node.attacher.ledger();
            let mine = ledger.live().filter(|endpoint| self.is_mine(endpoint.cni_name.as_ref()));
            mine.filter(|endpoint| !valid.contains(&endpoint.key)).cloned().collect()
        };
        for endpoint in mine {
            let netns = Netns::open(&endpoint.netns.path).ok();
            self.node.attacher.detach(netlink, &endpoint.key, netns.as_ref())?;
            tracing::info!(endpoint = %endpoint.key, "collected: its runtime does not know it any more");
        }
        Ok(())
    }

    fn status(&self) -> Result<(), Failure> {
        self.network().map_err(|failure| Failure { code: Code::Unavailable, ..failure })?;
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

    fn network(&self) -> Result<Arc<weft_model::Network>, Failure> {
        let name = &self.config.network;
        self.node.networks.get(name).ok_or_else(|| {
            let remedy = format!("create it with `weft network create {name} --mode MODE`, or name another");
            Failure::new(Code::Config, format!("network {name:?} does not exist: {remedy}"))
        })
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

    fn is_mine(&self, cni_name: Option<&String>) -> bool {
        cni_name == Some(&self.config.name)
    }
}
