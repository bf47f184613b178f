//! Objects from the agent: all of a kind, or the one that an argument means.

use anyhow::{Context as _, Result, bail};
use weft_api::{
    Client, ClusterPolicyObject, Connection, Counter, EndpointObject, EndpointSliceObject, Flow, Judgement, Lease,
    List, NamespaceObject, NetworkObject, NetworkPolicyObject, NodeObject, Object, PolicyRule, PolicySummary,
    ServiceObject,
};

use crate::table::table;

/// The namespace of what names none.
const DEFAULT_NAMESPACE: &str = "default";

/// Every network.
pub(crate) fn networks(client: &Client) -> Result<Vec<NetworkObject>> {
    Ok(client.get::<List<_>>("/v1/networks")?.items)
}

/// The network of that name.
pub(crate) fn network(client: &Client, name: &str) -> Result<NetworkObject> {
    Ok(client.get(&network_path(name))?)
}

/// Where the network of that name is.
pub(crate) fn network_path(name: &str) -> String {
    format!("/v1/networks/{}", escaped(name))
}

/// Every endpoint, or those of one network.
pub(crate) fn endpoints(client: &Client, network: Option<&str>) -> Result<Vec<EndpointObject>> {
    let path = query("/v1/endpoints", &[("network", network)]);
    Ok(client.get::<List<_>>(&path)?.items)
}

/// The one endpoint that `reference` means: `[NAMESPACE/]NAME`, a container id or 4 and more of its first characters,
/// or an address; `@INTERFACE` picks one of several.
pub(crate) fn endpoint(client: &Client, reference: &str, network: Option<&str>) -> Result<EndpointObject> {
    the_one(reference, meant(client, reference, network)?)
}

/// Any endpoint of the one container that `reference` means.
pub(crate) fn one_of_container(client: &Client, reference: &str) -> Result<EndpointObject> {
    let mut found = meant(client, reference, None)?;
    if found.iter().all(|endpoint| endpoint.spec.container_id == found[0].spec.container_id) {
        found.truncate(1);
    }
    the_one(reference, found)
}

fn meant(client: &Client, reference: &str, network: Option<&str>) -> Result<Vec<EndpointObject>> {
    let path = query("/v1/endpoints", &[("match", Some(reference)), ("network", network)]);
    Ok(client.get::<List<_>>(&path)?.items)
}

fn the_one(reference: &str, mut found: Vec<EndpointObject>) -> Result<EndpointObject> {
    match (found.pop(), found.is_empty()) {
        (None, _) => bail!("there is no endpoint {reference:?}: see `weft get endpoints`"),
        (Some(endpoint), true) => Ok(endpoint),
        (Some(endpoint), false) => {
            found.push(endpoint);
            let choice = table(&found);
            let remedy = "add NAMESPACE/ or @INTERFACE, or use a container's id or an address";
            bail!("{reference:?} may be any of these, {remedy}:\n{}", choice.trim_end())
        }
    }
}

/// Where an endpoint leaves its network.
pub(crate) fn leaving(reference: &str, force: bool) -> String {
    query("/v1/endpoints", &[("match", Some(reference)), ("force", force.then_some("true"))])
}

/// What became of packets: of one endpoint, or of all.
pub(crate) fn counters(client: &Client, reference: Option<&str>) -> Result<Vec<Counter>> {
    if let Some(reference) = reference {
        endpoint(client, reference, None)?;
    }
    Ok(client.get::<List<_>>(&query("/v1/counters", &[("match", reference)]))?.items)
}

/// What happened at endpoints' doors, as `parameters` of the route want it.
pub(crate) fn flows(client: &Client, parameters: &[(&str, Option<String>)]) -> Result<Vec<Flow>> {
    Ok(client.get::<List<_>>(&wanted("/v1/flows", parameters))?.items)
}

/// The sequence number of the newest flow; 0 if there is none.
pub(crate) fn last_flow(client: &Client) -> Result<u64> {
    let newest = client.get::<List<Flow>>("/v1/flows?last=1")?.items.pop();
    Ok(newest.map_or(0, |flow| flow.sequence))
}

/// Connections that are tracked, as `parameters` of the route want it.
pub(crate) fn connections(client: &Client, parameters: &[(&str, Option<String>)]) -> Result<Vec<Connection>> {
    Ok(client.get::<List<_>>(&wanted("/v1/connections", parameters))?.items)
}

/// Whether one may open a connection to another, as `parameters` of the route ask.
pub(crate) fn judgements(client: &Client, parameters: &[(&str, Option<&str>)]) -> Result<Vec<Judgement>> {
    Ok(client.get::<List<_>>(&query("/v1/why", parameters))?.items)
}

fn wanted(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_deref())).collect();
    query(path, &parameters)
}

/// Every policy of a namespace, or those of one.
pub(crate) fn network_policies(client: &Client, namespace: Option<&str>) -> Result<Vec<NetworkPolicyObject>> {
    let mut all = client.get::<List<NetworkPolicyObject>>("/v1/networkpolicies")?.items;
    all.retain(|policy| namespace.is_none_or(|wanted| policy.metadata.namespace_or_default() == wanted));
    Ok(all)
}

/// The policy that `[NAMESPACE/]NAME` means: of the namespace given beside it, or of `default`, if it names none.
pub(crate) fn network_policy(client: &Client, reference: &str, beside: Option<&str>) -> Result<NetworkPolicyObject> {
    let (namespace, name) = namespaced_name(reference, beside);
    let found = network_policies(client, Some(namespace))?.into_iter().find(|policy| policy.metadata.name == name);
    found.with_context(|| absent("NetworkPolicy", &format!("{namespace}/{name}")))
}

/// Namespace and name of an object that has a namespace.
pub(crate) fn namespaced_name<'a>(reference: &'a str, beside: Option<&'a str>) -> (&'a str, &'a str) {
    reference.split_once('/').unwrap_or((beside.unwrap_or(DEFAULT_NAMESPACE), reference))
}

/// The policy of all namespaces that is called so.
pub(crate) fn cluster_policy(client: &Client, name: &str) -> Result<ClusterPolicyObject> {
    let found = cluster_policies(client)?.into_iter().find(|policy| policy.metadata.name == name);
    found.with_context(|| absent("ClusterNetworkPolicy", name))
}

/// The namespace that is called so.
pub(crate) fn namespace(client: &Client, name: &str) -> Result<NamespaceObject> {
    let found = namespaces(client)?.into_iter().find(|namespace| namespace.metadata.name == name);
    found.with_context(|| absent("Namespace", name))
}

fn absent(kind: &str, name: &str) -> String {
    format!("there is no {kind} {name:?}: see `weft policy list`")
}

/// Every service of a namespace, or of all.
pub(crate) fn services(client: &Client, namespace: Option<&str>) -> Result<Vec<ServiceObject>> {
    let mut all = client.get::<List<ServiceObject>>("/v1/services")?.items;
    all.retain(|service| namespace.is_none_or(|wanted| service.metadata.namespace_or_default() == wanted));
    Ok(all)
}

/// The service that `[NAMESPACE/]NAME` means: of the namespace given beside it, or of `default`, if it names none.
pub(crate) fn service(client: &Client, reference: &str, beside: Option<&str>) -> Result<ServiceObject> {
    let (namespace, name) = namespaced_name(reference, beside);
    let found = services(client, Some(namespace))?.into_iter().find(|service| service.metadata.name == name);
    found.with_context(|| format!("there is no Service {:?}: see `weft service list`", format!("{namespace}/{name}")))
}

/// Every slice of a namespace, or of all.
pub(crate) fn slices(client: &Client, namespace: Option<&str>) -> Result<Vec<EndpointSliceObject>> {
    let mut all = client.get::<List<EndpointSliceObject>>("/v1/endpointslices")?.items;
    all.retain(|slice| namespace.is_none_or(|wanted| slice.metadata.namespace_or_default() == wanted));
    Ok(all)
}

/// The slice that `[NAMESPACE/]NAME` means.
pub(crate) fn slice(client: &Client, reference: &str, beside: Option<&str>) -> Result<EndpointSliceObject> {
    let (namespace, name) = namespaced_name(reference, beside);
    let found = slices(client, Some(namespace))?.into_iter().find(|slice| slice.metadata.name == name);
    let title = format!("{namespace}/{name}");
    found.with_context(|| format!("there is no EndpointSlice {title:?}: see `weft get endpointslices`"))
}

/// Every policy of all namespaces.
pub(crate) fn cluster_policies(client: &Client) -> Result<Vec<ClusterPolicyObject>> {
    Ok(client.get::<List<_>>("/v1/clusternetworkpolicies")?.items)
}

/// Every namespace that has labels.
pub(crate) fn namespaces(client: &Client) -> Result<Vec<NamespaceObject>> {
    Ok(client.get::<List<_>>("/v1/namespaces")?.items)
}

/// All policies, as a table has them.
pub(crate) fn policies(client: &Client) -> Result<Vec<PolicySummary>> {
    Ok(client.get::<List<_>>("/v1/policies")?.items)
}

/// The rules that have a say about an endpoint.
pub(crate) fn rules(client: &Client, reference: &str) -> Result<Vec<PolicyRule>> {
    Ok(client.get::<List<_>>(&query("/v1/policies/rules", &[("match", Some(reference))]))?.items)
}

/// Where an object is that is named so.
pub(crate) fn object_path(object: &Object) -> String {
    match object {
        Object::Network(network) => network_path(&network.metadata.name),
        Object::NetworkPolicy(policy) => {
            network_policy_path(policy.metadata.namespace_or_default(), &policy.metadata.name)
        }
        Object::ClusterNetworkPolicy(policy) => cluster_policy_path(&policy.metadata.name),
        Object::Namespace(namespace) => namespace_path(&namespace.metadata.name),
        Object::Service(service) => service_path(service.metadata.namespace_or_default(), &service.metadata.name),
        Object::EndpointSlice(slice) => slice_path(slice.metadata.namespace_or_default(), &slice.metadata.name),
    }
}

/// Where a policy of a namespace is.
pub(crate) fn network_policy_path(namespace: &str, name: &str) -> String {
    format!("/v1/networkpolicies/{}/{}", escaped(namespace), escaped(name))
}

/// Where a service is.
pub(crate) fn service_path(namespace: &str, name: &str) -> String {
    format!("/v1/services/{}/{}", escaped(namespace), escaped(name))
}

/// Where a slice is.
pub(crate) fn slice_path(namespace: &str, name: &str) -> String {
    format!("/v1/endpointslices/{}/{}", escaped(namespace), escaped(name))
}

/// Where a policy of all namespaces is.
pub(crate) fn cluster_policy_path(name: &str) -> String {
    format!("/v1/clusternetworkpolicies/{}", escaped(name))
}

/// Where a namespace's labels are.
pub(crate) fn namespace_path(name: &str) -> String {
    format!("/v1/namespaces/{}", escaped(name))
}

/// Every host.
pub(crate) fn nodes(client: &Client) -> Result<Vec<NodeObject>> {
    Ok(client.get::<List<_>>("/v1/nodes")?.items)
}

/// The host of that name.
pub(crate) fn node(client: &Client, name: &str) -> Result<NodeObject> {
    match nodes(client)?.into_iter().find(|node| node.metadata.name == name) {
        Some(node) => Ok(node),
        None => bail!("there is no node {name:?}: see `weft get nodes`"),
    }
}

/// Held addresses, of all networks or of one.
pub(crate) fn leases(client: &Client, network: Option<&str>) -> Result<Vec<Lease>> {
    Ok(client.get::<List<_>>(&query("/v1/ipam/leases", &[("network", network)]))?.items)
}

/// `path` with those parameters that have a value.
fn query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped((*value)?))));
    let given: Vec<_> = given.collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

/// `text` for a path or a query: everything escaped that is not unreserved (RFC 3986, section 2).
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_people_write_stays_one_part_of_the_path() {
        assert_eq!(network_path("a/../b?c#d e"), "/v1/networks/a%2F..%2Fb%3Fc%23d%20e");
        let path = query("/v1/endpoints", &[("match", Some("ns/é@eth0&x=1")), ("network", None)]);
        assert_eq!(path, "/v1/endpoints?match=ns%2F%C3%A9%40eth0%26x%3D1");
    }
}
