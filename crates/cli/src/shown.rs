//! The table of what lists show: what several of it are called, and what one is called by.

use serde::Serialize;
use weft_api::{
    Applied, ClusterPolicyObject, Connection, Counter, EndpointObject, EndpointSliceObject, Flow, Lease,
    NamespaceObject, NetworkObject, NetworkPolicyObject, NodeObject, Object, PolicyRule, PolicySummary, Row,
    ServiceBackend, ServiceObject,
};

/// Something that is shown in lists.
pub(crate) trait Shown: Row + Serialize {
    /// What several of it are called.
    const PLURAL: &'static str;

    /// What this one is called by: other verbs take it as an argument.
    fn name(&self) -> String;
}

impl Shown for NetworkObject {
    const PLURAL: &'static str = "networks";

    fn name(&self) -> String {
        self.metadata.name.clone()
    }
}

impl Shown for EndpointObject {
    const PLURAL: &'static str = "endpoints";

    fn name(&self) -> String {
        let namespace = self.metadata.namespace.as_deref().unwrap_or("default");
        format!("{namespace}/{}@{}", self.metadata.name, self.spec.interface)
    }
}

impl Shown for NodeObject {
    const PLURAL: &'static str = "nodes";

    fn name(&self) -> String {
        self.metadata.name.clone()
    }
}

impl Shown for Applied {
    const PLURAL: &'static str = "objects";

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Shown for Counter {
    const PLURAL: &'static str = "packets";

    fn name(&self) -> String {
        format!("{}@{}", self.endpoint, self.interface)
    }
}

impl Shown for Flow {
    const PLURAL: &'static str = "flows";

    fn name(&self) -> String {
        self.sequence.to_string()
    }
}

impl Shown for Connection {
    const PLURAL: &'static str = "connections";

    fn name(&self) -> String {
        format!("{} {}", self.from.address, self.to.address)
    }
}

impl Shown for Lease {
    const PLURAL: &'static str = "leases";

    fn name(&self) -> String {
        self.address.clone()
    }
}

impl Shown for Object {
    const PLURAL: &'static str = "objects";

    fn name(&self) -> String {
        Object::name(self)
    }
}

impl Shown for NetworkPolicyObject {
    const PLURAL: &'static str = "networkpolicies";

    fn name(&self) -> String {
        self.metadata.title()
    }
}

impl Shown for ServiceObject {
    const PLURAL: &'static str = "services";

    fn name(&self) -> String {
        self.metadata.title()
    }
}

impl Shown for ServiceBackend {
    const PLURAL: &'static str = "backends";

    fn name(&self) -> String {
        self.address.clone()
    }
}

impl Shown for EndpointSliceObject {
    const PLURAL: &'static str = "endpointslices";

    fn name(&self) -> String {
        self.metadata.title()
    }
}

impl Shown for ClusterPolicyObject {
    const PLURAL: &'static str = "clusternetworkpolicies";

    fn name(&self) -> String {
        self.metadata.name.clone()
    }
}

impl Shown for NamespaceObject {
    const PLURAL: &'static str = "namespaces";

    fn name(&self) -> String {
        self.metadata.name.clone()
    }
}

impl Shown for PolicySummary {
    const PLURAL: &'static str = "policies";

    fn name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Shown for PolicyRule {
    const PLURAL: &'static str = "rules";

    fn name(&self) -> String {
        self.rule.clone()
    }
}
