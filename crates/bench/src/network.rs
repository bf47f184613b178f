//! The network that weft attaches containers to, and the agent that serves it.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use weft_api::{
    API_VERSION, Applied, Client, EndpointObject, LimitRequest, List, Metadata, Method, NetworkObject, OBJECTS_MAX,
    Status, Version,
};
use weft_kernel::Netlink;
use weft_kernel::link::{self, LinkKind};
use weft_lab::{Daemon, Host};
use weft_model::{Attachment, DeviceSpec, LimitSpec, NetworkSpec};
use weft_netns::Netns;

/// Its name.
pub(super) const NAME: &str = "bench";
/// Bytes: those of the uplink.
pub(super) const MTU: u32 = 1500;
/// The shim.
pub(super) const PLUGIN: &str = "weft-cni";
/// What it is called with. The host's agent is at its usual socket.
pub(super) const CONFIG: &[u8] = br#"{"cniVersion":"1.0.0","name":"bench","type":"weft-cni"}"#;

/// Where weftd pins its programs and maps, inside.
pub(super) const BPF_DIR: &str = "/sys/fs/bpf/weft";

/// weftd's socket, inside.
const SOCKET: &str = "/run/weft/weft.sock";
/// Large enough for every population; not of the reference's ranges.
const POOLS: [&str; 2] = ["10.80.0.0/16", "fd80::/64"];
/// A host's uplink in the lab.
pub(super) const UPLINK: &str = "eth0";
/// Of the physical network that it is on, and the part of it that is for containers.
pub(super) const UPLINK_POOLS: [&str; 2] = ["198.51.100.0/24", "2001:db8:100::/64"];
const UPLINK_RANGES: [&str; 2] = ["198.51.100.128/25", "2001:db8:100::1:0/112"];

/// NICs of a host that has some for its containers: more than ever have one at once.
const NICS: u32 = 4;

/// The name of such a NIC.
pub(super) fn nic(number: u32) -> String {
    format!("nic{number}")
}

/// Gives a host NICs for its containers: ends of pairs, whose other ends are outside.
pub(super) fn plug(host: &Host) -> Result<()> {
    for number in 0..NICS {
        let nic = nic(number);
        let pair =
            format!("ip link add {nic} type veth peer name {nic} netns outside && ip -n outside link set {nic} up");
        host.run(&["sh", "-c", &pair])?;
    }
    Ok(())
}

/// What weft is asked for.
pub(super) fn spec(attachment: Attachment) -> NetworkSpec {
    let (pools, ranges) = if attachment.has_parent() { (UPLINK_POOLS, &UPLINK_RANGES[..]) } else { (POOLS, &[][..]) };
    let words = |words: &[&str]| words.iter().copied().map(str::to_owned).collect();
    NetworkSpec {
        attachment: Some(attachment),
        pools: words(&pools),
        ranges: words(ranges),
        parent: attachment.sits_on_parent().then(|| UPLINK.to_owned()),
        device: (attachment == Attachment::Device)
            .then(|| DeviceSpec { names: (0..NICS).map(nic).collect(), ..DeviceSpec::default() }),
        ..NetworkSpec::default()
    }
}

/// Those for which the kernel has no links.
pub(super) fn absent(attachments: &[Attachment]) -> Result<Vec<Attachment>> {
    let mut netlink = Netns::create()?.within(Netlink::open)??;
    let mut absent = Vec::new();
    for attachment in attachments {
        let is_there = match attachment {
            Attachment::Ipvlan => link::is_supported(&mut netlink, LinkKind::Ipvlan)?,
            // Without those, weft does not run at all.
            _ => true,
        };
        absent.extend((!is_there).then_some(*attachment));
    }
    Ok(absent)
}

/// Starts the host's agent with `options`, and has it make the network.
pub(super) fn serve(host: &Host, attachment: Attachment, options: &[&str]) -> Result<Daemon> {
    let weftd = host.spawn("weftd", &[&["weftd"], options].concat())?;
    let client = client(host);
    weftd.wait_ready(|| client.get::<Version>("/v1/version").is_ok())?;
    client.post::<NetworkObject>("/v1/networks", &object(attachment))?;
    Ok(weftd)
}

/// Limits an endpoint, as it is named.
pub(super) fn limit(host: &Host, endpoint: &str, ingress: Option<LimitSpec>, egress: Option<LimitSpec>) -> Result<()> {
    let request = LimitRequest { endpoint: endpoint.to_owned(), ingress, egress };
    client(host).post::<EndpointObject>("/v1/endpoints/limits", &request)?;
    Ok(())
}

/// Applies objects, as many at once as the agent takes.
pub(super) fn apply(host: &Host, objects: &[Value]) -> Result<()> {
    let client = client(host);
    for part in objects.chunks(OBJECTS_MAX) {
        client.post::<List<Applied>>("/v1/apply", &json!({"items": part}))?;
    }
    Ok(())
}

/// A client of the host's agent.
pub(super) fn client(host: &Host) -> Client {
    Client::new(host.path(SOCKET))
}

/// Kernel memory of the programs' maps, in bytes, as the agent tells it.
pub(super) fn map_bytes(host: &Host) -> Result<u64> {
    Ok(client(host).get::<Status>("/v1/status")?.map_bytes)
}

/// How many flows nobody was told of, because they were too many at once.
pub(super) fn flows_untold(host: &Host) -> Result<u64> {
    let (_, metrics) = client(host).call(Method::Get, "/metrics", Vec::new())?;
    let metrics = String::from_utf8(metrics)?;
    let untold = metrics.lines().find_map(|line| line.strip_prefix("weft_flows_untold_total "));
    Ok(untold.context("weftd does not say how many flows went untold")?.trim().parse()?)
}

/// The network, as weft's API takes it.
fn object(attachment: Attachment) -> NetworkObject {
    NetworkObject {
        api_version: API_VERSION.to_owned(),
        kind: "Network".to_owned(),
        metadata: Metadata { name: NAME.to_owned(), ..Metadata::default() },
        spec: spec(attachment),
        status: None,
    }
}
