//! `weft delete`: objects by name or from files.

use std::path::PathBuf;

use anyhow::{Result, bail};
use weft_api::Object;

use crate::output::Output;
use crate::resource::Resource;
use crate::session::{Session, UsageError};
use crate::{fetch, manifest};

/// Arguments of `weft delete`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "weft delete [OPTIONS] <KIND> <NAME>...\n       weft delete [OPTIONS] --file <FILE>")]
pub struct Args {
    /// What to delete: network, service, endpointslice, networkpolicy, clusternetworkpolicy, namespace (its labels)
    #[arg(value_name = "KIND", required_unless_present = "files", requires = "names", hide_possible_values = true)]
    resource: Option<Resource>,
    /// Which ones
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Of policies, services and slices: their namespace; default if absent
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Delete the objects of this file; - is standard input
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "resource")]
    files: Vec<PathBuf>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let each = |kind: &'static str, path: &dyn Fn(&str) -> String| {
            self.names.iter().map(|name| Doomed { kind, name: name.clone(), path: path(name) }).collect()
        };
        let beside = self.namespace.as_deref();
        let namespaced = |path: fn(&str, &str) -> String| {
            move |name: &str| {
                let (namespace, name) = fetch::namespaced_name(name, beside);
                path(namespace, name)
            }
        };
        let doomed: Vec<Doomed> = match self.resource {
            Some(Resource::Networks) => each("network", &fetch::network_path),
            Some(Resource::NetworkPolicies) => each("networkpolicy", &namespaced(fetch::network_policy_path)),
            Some(Resource::Services) => each("service", &namespaced(fetch::service_path)),
            Some(Resource::EndpointSlices) => each("endpointslice", &namespaced(fetch::slice_path)),
            Some(Resource::ClusterNetworkPolicies) => each("clusternetworkpolicy", &fetch::cluster_policy_path),
            Some(Resource::Namespaces) => each("namespace", &fetch::namespace_path),
            Some(Resource::Endpoints) => bail!(UsageError("endpoints go when their containers do".to_owned())),
            Some(Resource::Nodes) => bail!(UsageError("a node is there while its weftd is".to_owned())),
            None => manifest::read(&self.files)?.iter().map(Doomed::of).collect(),
        };
        delete(session, &doomed)
    }
}

/// An object that is to go.
pub(super) struct Doomed {
    kind: &'static str,
    name: String,
    path: String,
}

impl Doomed {
    fn of(object: &Object) -> Self {
        let kind = match object {
            Object::Network(_) => "network",
            Object::NetworkPolicy(_) => "networkpolicy",
            Object::ClusterNetworkPolicy(_) => "clusternetworkpolicy",
            Object::Namespace(_) => "namespace",
            Object::Service(_) => "service",
            Object::EndpointSlice(_) => "endpointslice",
        };
        Self { kind, name: object.name(), path: fetch::object_path(object) }
    }

    /// A network.
    pub(super) fn network(name: &str) -> Self {
        Self { kind: "network", name: name.to_owned(), path: fetch::network_path(name) }
    }
}

/// Deletes every object that can be deleted, and then names those that cannot.
pub(super) fn delete(session: &mut Session<'_>, doomed: &[Doomed]) -> Result<()> {
    let mut deleted = Vec::new();
    let mut faults = Vec::new();
    for Doomed { kind, name, path } in doomed {
        match session.client.delete::<Object>(path) {
            Ok(object) if session.output == Output::Table => {
                writeln!(session.out, "deleted {kind} {name}")?;
                drop(object);
            }
            Ok(object) => deleted.push(object),
            Err(error) => faults.push(error.to_string()),
        }
    }
    if session.output != Output::Table {
        session.show_list(deleted)?;
    }
    if faults.is_empty() { Ok(()) } else { bail!(faults.join("\n")) }
}
