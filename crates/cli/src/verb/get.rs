//! `weft get`: objects as lines of a table.

use anyhow::{Context as _, Result, bail};
use weft_api::NetworkPolicyObject;

use crate::fetch;
use crate::resource::Resource;
use crate::session::{Session, UsageError};

/// The namespace of what names none.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// Arguments of `weft get`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show
    #[arg(value_name = "KIND")]
    resource: Resource,
    /// Only this one; an endpoint is [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an
    /// address, and @INTERFACE picks one of several
    name: Option<String>,
    /// Only the endpoints of this network
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Only the policies of this namespace; of a policy that is named, default if absent
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let (name, network) = (self.name.as_deref(), self.network.as_deref());
        if network.is_some() && self.resource != Resource::Endpoints {
            bail!(UsageError("--network goes with endpoints alone".to_owned()));
        }
        let namespace = self.namespace.as_deref();
        if namespace.is_some() && self.resource != Resource::NetworkPolicies {
            bail!(UsageError("--namespace goes with networkpolicies alone".to_owned()));
        }
        let client = session.client.clone();
        match (self.resource, name) {
            (Resource::Networks, None) => session.show_list(fetch::networks(&client)?),
            (Resource::Networks, Some(name)) => session.show_one(fetch::network(&client, name)?),
            (Resource::Endpoints, None) => session.show_list(fetch::endpoints(&client, network)?),
            (Resource::Endpoints, Some(name)) => session.show_one(fetch::endpoint(&client, name, network)?),
            (Resource::NetworkPolicies, None) => session.show_list(fetch::network_policies(&client, namespace)?),
            (Resource::NetworkPolicies, Some(name)) => {
                let name = (namespace.unwrap_or(DEFAULT_NAMESPACE), name);
                let is_it = |policy: &NetworkPolicyObject| policy.metadata.name == name.1;
                let found = fetch::network_policies(&client, Some(name.0))?.into_iter().find(is_it);
                session.show_one(found.with_context(|| absent("NetworkPolicy", &format!("{}/{}", name.0, name.1)))?)
            }
            (Resource::ClusterNetworkPolicies, None) => session.show_list(fetch::cluster_policies(&client)?),
            (Resource::ClusterNetworkPolicies, Some(name)) => {
                let found = fetch::cluster_policies(&client)?.into_iter().find(|policy| policy.metadata.name == name);
                session.show_one(found.with_context(|| absent("ClusterNetworkPolicy", name))?)
            }
            (Resource::Namespaces, None) => session.show_list(fetch::namespaces(&client)?),
            (Resource::Namespaces, Some(name)) => {
                let found = fetch::namespaces(&client)?.into_iter().find(|namespace| namespace.metadata.name == name);
                session.show_one(found.with_context(|| absent("Namespace", name))?)
            }
            (Resource::Nodes, None) => session.show_list(fetch::nodes(&client)?),
            (Resource::Nodes, Some(name)) => session.show_one(fetch::node(&client, name)?),
        }
    }
}

pub(super) fn absent(kind: &str, name: &str) -> String {
    format!("there is no {kind} {name:?}: see `weft policy list`")
}
