//! The kinds of objects that can be asked for, by all the names that people give them.

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Resource {
    /// Networks; also network, net
    #[value(aliases = ["network", "net"])]
    Networks,
    /// Endpoints: one interface of one container each; also endpoint, ep
    #[value(aliases = ["endpoint", "ep"])]
    Endpoints,
    /// Hosts; also node
    #[value(alias = "node")]
    Nodes,
    /// Services: addresses that lead to any of those who serve them; also service, svc
    #[value(aliases = ["service", "svc"])]
    Services,
    /// Slices of those who serve services; also endpointslice
    #[value(name = "endpointslices", alias = "endpointslice")]
    EndpointSlices,
    /// Policies of namespaces; also networkpolicy, netpol
    #[value(name = "networkpolicies", aliases = ["networkpolicy", "netpol"])]
    NetworkPolicies,
    /// Policies of all namespaces; also clusternetworkpolicy, cnp
    #[value(name = "clusternetworkpolicies", aliases = ["clusternetworkpolicy", "cnp"])]
    ClusterNetworkPolicies,
    /// Labels of namespaces; also namespace, ns
    #[value(aliases = ["namespace", "ns"])]
    Namespaces,
}
