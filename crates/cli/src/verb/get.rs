//! `weft get`: objects as lines of a table.

use anyhow::{Result, bail};

use crate::fetch;
use crate::resource::Resource;
use crate::session::{Session, UsageError};

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
    /// Only the policies, services and slices of this namespace; of one that is named, default if absent
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
        let has_namespace = [Resource::NetworkPolicies, Resource::Services, Resource::EndpointSlices];
        if namespace.is_some() && !has_namespace.contains(&self.resource) {
            bail!(UsageError("--namespace goes with networkpolicies, services and endpointslices alone".to_owned()));
        }
        let client = session.client.clone();
        match (self.resource, name) {
            (Resource::Networks, None) => session.show_list(fetch::networks(&client)?),
            (Resource::Networks, Some(name)) => session.show_one(fetch::network(&client, name)?),
            (Resource::Endpoints, None) => session.show_list(fetch::endpoints(&client, network)?),
            (Resource::Endpoints, Some(name)) => session.show_one(fetch::endpoint(&client, name, network)?),
            (Resource::NetworkPolicies, None) => session.show_list(fetch::network_policies(&client, namespace)?),
            (Resource::NetworkPolicies, Some(name)) => {
                session.show_one(fetch::network_policy(&client, name, namespace)?)
            }
            (Resource::Services, None) => session.show_list(fetch::services(&client, namespace)?),
            (Resource::Services, Some(name)) => session.show_one(fetch::service(&client, name, namespace)?),
            (Resource::EndpointSlices, None) => session.show_list(fetch::slices(&client, namespace)?),
            (Resource::EndpointSlices, Some(name)) => session.show_one(fetch::slice(&client, name, namespace)?),
            (Resource::ClusterNetworkPolicies, None) => session.show_list(fetch::cluster_policies(&client)?),
            (Resource::ClusterNetworkPolicies, Some(name)) => session.show_one(fetch::cluster_policy(&client, name)?),
            (Resource::Namespaces, None) => session.show_list(fetch::namespaces(&client)?),
            (Resource::Namespaces, Some(name)) => session.show_one(fetch::namespace(&client, name)?),
            (Resource::Nodes, None) => session.show_list(fetch::nodes(&client)?),
            (Resource::Nodes, Some(name)) => session.show_one(fetch::node(&client, name)?),
        }
    }
}
