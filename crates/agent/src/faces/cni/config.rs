//! What a runtime sends: the configuration on standard input and CNI_ARGS, in every spelling that runtimes use.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};
use weft_model::{
    Dns, EndpointKey, Labels, LimitFields, LimitSpec, Limits, MacAddr, Name, NamedPort, PciAddress, resolve_allowed,
};

use super::VERSIONS;
use super::error::{Code, Failure};
use super::selection::Selection;

/// A configuration without a version means this one (SPEC.md, section 1).
const VERSION_IF_ABSENT: &str = "0.1.0";
/// Pod annotations, as containerd and CRI-O pass them.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
/// The annotation with names of ports: `web=80/TCP,dns=53/UDP`.
const PORTS_ANNOTATION: &str = "weft.dev/ports";
/// The annotation with labels: `a=b,c=d`.
const LABELS_ANNOTATION: &str = "weft.dev/labels";
/// The annotation with what may be sent from besides the pod's own addresses: `10.0.0.9, fd00::/64`.
pub(super) const ALLOWED_ANNOTATION: &str = "weft.dev/allowed-addresses";
/// Bits that containerd and CRI-O send for a burst, since pods name none.
const BURST_UNSAID: u64 = u32::MAX as u64;
/// What CNI has learned with which version.
const CHECK_SINCE: &str = "0.4.0";
const GC_SINCE: &str = "1.1.0";

/// The configuration of one call.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) version: String,
    /// The networks that it names, at least one.
    pub(super) selections: Vec<Selection>,
    /// What other plugins made before; at CHECK and DEL, what came of the whole chain.
    pub(super) previous: Value,
    whole: Map<String, Value>,
}

/// The version for error messages, whatever else is wrong.
pub(super) fn version_of(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let version = value.get("cniVersion").and_then(Value::as_str).filter(|version| VERSIONS.contains(version));
    version.or(VERSIONS.last().copied()).unwrap_or_default().to_owned()
}

impl Config {
    pub(super) fn parse(command: &str, text: &str) -> Result<Self, Failure> {
        let whole: Map<String, Value> = serde_json::from_str(text)
            .map_err(|e| Failure::new(Code::Decode, format!("the network configuration is not a JSON object: {e}")))?;
        let version = string(&whole, "cniVersion")?.unwrap_or(VERSION_IF_ABSENT).to_owned();
        if !VERSIONS.contains(&version.as_str()) {
            let details = format!("config is {version:?}, plugin supports {VERSIONS:?}");
            let message = "incompatible CNI versions".to_owned();
            return Err(Failure { code: Code::IncompatibleVersion, message, details });
        }
        let name = string(&whole, "name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Failure::new(Code::Config, "missing network name"))?;
        Name::parse(name).map_err(|e| Failure::new(Code::Config, format!("invalid network name: {e}")))?;
        let since = match command {
            "CHECK" => CHECK_SINCE,
            "GC" | "STATUS" => GC_SINCE,
            _ => VERSIONS[0],
        };
        if rank(&version) < rank(since) {
            let message = format!("config version {version} does not allow {command}: it needs {since}");
            return Err(Failure::new(Code::IncompatibleVersion, message));
        }
        // What was made is found by its record.
        let is_ending = matches!(command, "DEL" | "GC");
        let selections = if is_ending { Vec::new() } else { Selection::all(&whole, name)? };
        let previous = whole.get("prevResult").cloned().unwrap_or_default();
        let (name, config) = (name.to_owned(), whole);
        Ok(Self { name, version, selections, previous, whole: config })
    }

    /// What the runtime's GC still knows; `None` if it sent no list.
    pub(super) fn valid_attachments(&self) -> Result<Option<BTreeSet<EndpointKey>>, Failure> {
        let lists = ["cni.dev/valid-attachments", "cni.dev/attachments"];
        let Some((field, list)) = lists.iter().find_map(|field| Some((field, self.whole.get(*field)?))) else {
            return Ok(None);
        };
        let faulty = || Failure::new(Code::Decode, format!("{field} {list}: is no list of containerID and ifname"));
        let attachments = list.as_array().ok_or_else(faulty)?;
        let keys = attachments.iter().map(|attachment| {
            let text = |name: &str| attachment.get(name).and_then(Value::as_str).ok_or_else(faulty);
            crate::attach::key(text("containerID")?, text("ifname")?).map_err(|_| faulty())
        });
        keys.collect::<Result<_, _>>().map(Some)
    }

    fn runtime(&self, field: &str) -> Option<&Value> {
        // Capability names are exact; what is inside them comes in Go's spelling, too.
        self.whole.get("runtimeConfig")?.get(field).filter(|value| !value.is_null())
    }

    /// An annotation of the pod.
    pub(super) fn annotation(&self, annotation: &str) -> Result<Option<&str>, Failure> {
        let value = self.runtime(ANNOTATIONS).and_then(|all| all.get(annotation));
        value.map(|value| text(annotation, value)).transpose()
    }

    /// The parts of an annotation's list, of which there are none if there is no annotation.
    fn annotated(&self, annotation: &str) -> Result<Vec<&str>, Failure> {
        let list = self.annotation(annotation)?.unwrap_or_default();
        Ok(list.split(',').map(str::trim).filter(|part| !part.is_empty()).collect())
    }

    fn cni_args(&self, field: &str) -> Option<&Value> {
        self.whole.get("args")?.get("cni")?.get(field).filter(|value| !value.is_null())
    }
}

/// What an endpoint is to be, as far as its runtime says.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) namespace: Option<Name>,
    pub(super) name: Option<Name>,
    pub(super) labels: Labels,
    pub(super) ports: Vec<NamedPort>,
    pub(super) aliases: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) mac: Option<MacAddr>,
    pub(super) device: Option<PciAddress>,
    pub(super) dns: Option<Dns>,
    pub(super) cgroup_path: Option<String>,
    pub(super) bandwidth: Bandwidth,
    pub(super) allowed_addresses: BTreeSet<IpNet>,
}

/// The rates that are asked for (CNI CONVENTIONS.md), and the field that asks.
#[derive(Debug, Default)]
pub(super) struct Bandwidth {
    field: String,
    ingress: Option<LimitSpec>,
    egress: Option<LimitSpec>,
}

impl Bandwidth {
    /// The limits of an endpoint with a link of `mtu` bytes.
    pub(super) fn limits(&self, mtu: u32) -> Result<Limits, Failure> {
        let of = |spec: Option<LimitSpec>, rate: &str, burst: &str| {
            let fields = LimitFields { object: &self.field, rate, burst };
            let limit = spec.map(|spec| spec.resolve(mtu, fields)).transpose();
            limit.map(Option::flatten).map_err(|invalid| Failure::new(Code::Config, invalid.to_string()))
        };
        Ok(Limits {
            ingress: of(self.ingress, "ingressRate", "ingressBurst")?,
            egress: of(self.egress, "egressRate", "egressBurst")?,
        })
    }
}

impl Wishes {
    pub(super) fn gather(config: &Config, args: &str) -> Result<Self, Failure> {
        let variable = |wanted: &str| variables(args).find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let named = |wanted: &str| variable(wanted).and_then(|value| Name::parse(value).ok());
        let mac = match config.runtime("mac") {
            Some(value) => Some(("runtimeConfig.mac", text("runtimeConfig.mac", value)?)),
            None => variable("MAC").map(|mac| ("CNI_ARGS MAC", mac)),
        };
        Ok(Self {
            namespace: named("K8S_POD_NAMESPACE"),
            name: named("K8S_POD_NAME"),
            labels: labels(config)?,
            ports: ports(config)?,
            aliases: aliases(config)?,
            addresses: addresses(config, variable("IP"))?,
            mac: mac.map(|(field, value)| parse_mac(field, value)).transpose()?,
            device: device(config)?,
            dns: config.runtime("dns").map(parse_dns).transpose()?,
            bandwidth: bandwidth(config)?,
            cgroup_path: config.runtime("cgroupPath").and_then(Value::as_str).map(str::to_owned),
            allowed_addresses: allowed_addresses(config)?,
        })
    }
}

/// `K=V;K=V`, leniently: what is malformed or unknown is passed over.
fn variables(args: &str) -> impl Iterator<Item = (&str, &str)> {
    args.split(';').filter_map(|part| part.split_once('='))
}

/// Every address that is asked for, once. `args` makes CNI_ARGS moot (CONVENTIONS.md).
fn addresses(config: &Config, variable: Option<&str>) -> Result<Vec<IpAddr>, Failure> {
    let mut asked: Vec<(&str, &str)> = Vec::new();
    for (field, value) in [("runtimeConfig.ips", config.runtime("ips")), ("args.cni.ips", config.cni_args("ips"))] {
        for item in value.map(|value| list(field, value)).transpose()?.into_iter().flatten() {
            asked.push((field, text(field, item)?));
        }
    }
    if config.cni_args("ips").is_none() {
        let parts = variable.into_iter().flat_map(|value| value.split(','));
        asked.extend(parts.filter(|part| !part.is_empty()).map(|part| ("CNI_ARGS IP", part)));
    }
    let mut addresses = Vec::new();
    for (field, value) in asked {
        let address = parse_ip(field, value)?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// An address, whose length its network knows.
pub(super) fn parse_ip(field: &str, value: &str) -> Result<IpAddr, Failure> {
    let bare = value.split('/').next().unwrap_or_default();
    let faulty = |_| Failure::new(Code::Config, format!("{field} {value:?}: is not an address, such as 10.1.0.5"));
    bare.parse().map_err(faulty)
}

/// By its PCI address. Multus has two ways to pass on what a device plugin chose: the capability, and a field of the
/// configuration.
fn device(config: &Config) -> Result<Option<PciAddress>, Failure> {
    let capability = config.runtime("deviceID").map(|value| ("runtimeConfig.deviceID", value));
    let field = || config.whole.get("deviceID").filter(|value| !value.is_null()).map(|value| ("deviceID", value));
    let Some((field, value)) = capability.or_else(field) else { return Ok(None) };
    let faulty = |reason: String| Failure::new(Code::Config, format!("{field}: {reason}"));
    match text(field, value)? {
        "" => Ok(None),
        asked => asked.parse().map(Some).map_err(faulty),
    }
}

fn bandwidth(config: &Config) -> Result<Bandwidth, Failure> {
    let asked = config.runtime("bandwidth").map(|value| parse_bandwidth("runtimeConfig.bandwidth", value));
    Ok(asked.transpose()?.unwrap_or_default())
}

/// From the annotation, then from `args`, which wins.
fn labels(config: &Config) -> Result<Labels, Failure> {
    let mut labels = Labels::new();
    for pair in config.annotated(LABELS_ANNOTATION)? {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::new(Code::Config, format!("annotation {LABELS_ANNOTATION} {pair:?}: write KEY=VALUE,KEY=VALUE"))
        })?;
        labels.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    let field = "args.cni.labels";
    for label in config.cni_args("labels").map(|value| list(field, value)).transpose()?.into_iter().flatten() {
        let part = |name: &str| text(field, label.get(name).unwrap_or(&Value::Null)).map(str::to_owned);
        labels.insert(part("key")?, part("value")?);
    }
    Ok(labels)
}

/// Ports that policies may call by a name.
fn ports(config: &Config) -> Result<Vec<NamedPort>, Failure> {
    let parse = |text: &str| {
        let faulty = |reason| Failure::new(Code::Config, format!("annotation {PORTS_ANNOTATION} {text:?}: {reason}"));
        text.parse::<NamedPort>().map_err(faulty)
    };
    config.annotated(PORTS_ANNOTATION)?.into_iter().map(parse).collect()
}

fn allowed_addresses(config: &Config) -> Result<BTreeSet<IpNet>, Failure> {
    let allowed = resolve_allowed("annotation", ALLOWED_ANNOTATION, &config.annotated(ALLOWED_ANNOTATION)?);
    allowed.map(BTreeSet::from_iter).map_err(|invalid| Failure::new(Code::Config, invalid.to_string()))
}

/// A list, or, as podman and CRI-O send it, a list per network.
fn aliases(config: &Config) -> Result<Vec<String>, Failure> {
    let field = "runtimeConfig.aliases";
    let items: Vec<&Value> = match config.runtime("aliases") {
        None => Vec::new(),
        Some(Value::Object(by_network)) => {
            by_network.get(&config.name).and_then(Value::as_array).into_iter().flatten().collect()
        }
        Some(value) => list(field, value)?.iter().collect(),
    };
    items.into_iter().map(|item| text(field, item).map(str::to_owned)).collect()
}

pub(super) fn parse_mac(field: &str, value: &str) -> Result<MacAddr, Failure> {
    let faulty = |reason: String| Failure::new(Code::Config, format!("{field}: {reason}"));
    let mac: MacAddr = value.parse().map_err(faulty)?;
    if mac.is_assignable() { Ok(mac) } else { Err(faulty(format!("{value:?} is a group address: ask for another"))) }
}

fn parse_dns(value: &Value) -> Result<Dns, Failure> {
    let field = "runtimeConfig.dns";
    let lower = lowered(value);
    let words = |name: &str| -> Result<Vec<String>, Failure> {
        let value = lower.get(name).filter(|value| !value.is_null());
        let items = value.map(|value| list(field, value)).transpose()?.into_iter().flatten();
        items.map(|item| text(field, item).map(str::to_owned)).collect()
    };
    let servers = words("servers")?.into_iter().map(|server| {
        let faulty = |_| Failure::new(Code::Config, format!("{field}.servers {server:?}: is not an address"));
        server.parse().map_err(faulty)
    });
    Ok(Dns { servers: servers.collect::<Result<_, _>>()?, searches: words("searches")?, options: words("options")? })
}

/// Rates in bits per second and bursts in bits; a rate of 0 is no limit. Runtimes that know only rates send the largest
/// number for a burst, or nothing: neither is a burst that anybody wished.
pub(super) fn parse_bandwidth(field: &str, value: &Value) -> Result<Bandwidth, Failure> {
    let lower = lowered(value);
    let number = |name: &str| -> Result<Option<u64>, Failure> {
        let Some(value) = lower.get(&name.to_lowercase()).filter(|value| !value.is_null()) else { return Ok(None) };
        let faulty = || Failure::new(Code::Decode, format!("{field}.{name} {value}: is no whole number of bits"));
        value.as_u64().map(Some).ok_or_else(faulty)
    };
    let spec = |rate: &str, burst: &str| -> Result<Option<LimitSpec>, Failure> {
        let wished = number(burst)?.filter(|bits| *bits > 0 && *bits < BURST_UNSAID);
        Ok(number(rate)?.map(|rate| LimitSpec { rate, burst: wished.map(|bits| bits / 8) }))
    };
    let (ingress, egress) = (spec("ingressRate", "ingressBurst")?, spec("egressRate", "egressBurst")?);
    Ok(Bandwidth { field: field.to_owned(), ingress, egress })
}

/// An object's fields with names in lower case: Go's own are not.
fn lowered(value: &Value) -> Map<String, Value> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(key, value)| (key.to_lowercase(), value.clone())).collect()
}

fn string<'a>(whole: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Failure> {
    match whole.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Failure::new(Code::Decode, format!("{field} {other}: is not a text"))),
    }
}

pub(super) fn list<'a>(field: &str, value: &'a Value) -> Result<&'a Vec<Value>, Failure> {
    value.as_array().ok_or_else(|| Failure::new(Code::Decode, format!("{field} {value}: is not a list")))
}

pub(super) fn text<'a>(field: &str, value: &'a Value) -> Result<&'a str, Failure> {
    value.as_str().ok_or_else(|| Failure::new(Code::Decode, format!("{field} {value}: is not a text")))
}

fn rank(version: &str) -> usize {
    VERSIONS.iter().position(|known| *known == version).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use weft_model::Limit;

    fn parse(config: Value) -> Config {
        Config::parse("ADD", &config.to_string()).unwrap()
    }

    fn refused(command: &str, config: &str) -> (u32, String) {
        let failure = Config::parse(command, config).unwrap_err();
        (failure.code as u32, failure.message)
    }

    #[test]
    fn faults_have_the_codes_of_the_specification() {
        assert_eq!(refused("ADD", "{").0, 6);
        assert_eq!(refused("ADD", "[]").0, 6);
        assert_eq!(refused("ADD", r#"{"cniVersion":"1.0.0"}"#), (7, "missing network name".to_owned()));
        assert_eq!(refused("ADD", r#"{"cniVersion":"1.0.0","name":"a/b"}"#).0, 7);
        assert_eq!(refused("ADD", r#"{"cniVersion":"9.9.9","name":"n"}"#), (1, "incompatible CNI versions".to_owned()));
        assert_eq!(refused("ADD", r#"{"name":"n"}"#).0, 1, "no version means 0.1.0");
        assert_eq!(refused("ADD", r#"{"cniVersion":["1.0.0"],"name":"n"}"#).0, 6);
        assert_eq!(refused("CHECK", r#"{"cniVersion":"0.3.1","name":"n"}"#).0, 1);
        assert_eq!(refused("GC", r#"{"cniVersion":"1.0.0","name":"n"}"#).0, 1);
        assert_eq!(refused("STATUS", r#"{"cniVersion":"1.0.0","name":"n"}"#).0, 1);
        assert_eq!(refused("ADD", r#"{"cniVersion":"1.0.0","name":"n","networks":7}"#).0, 6);
        assert!(Config::parse("DEL", r#"{"cniVersion":"1.0.0","name":"n","networks":7}"#).is_ok(), "nothing stops it");
    }

    #[test]
    fn wishes_come_in_every_spelling() {
        let config = parse(json!({
            "cniVersion": "1.0.0", "name": "n",
            "runtimeConfig": {
                "ips": ["10.1.0.5/24", "fd00::5"], "mac": "02:00:00:00:00:09",
                "dns": {"Servers": ["10.0.0.1"], "Searches": ["a.b"], "Options": ["ndots:5"]},
                "aliases": {"n": ["web"], "other": ["no"]}, "cgroupPath": "/x",
                "io.kubernetes.cri.pod-annotations": {
                    "weft.dev/labels": "a=1, b=2",
                    "weft.dev/allowed-addresses": " fd00::/64,10.0.0.9 , 10.0.0.9/32,",
                },
            },
            "args": {"cni": {"labels": [{"key": "b", "value": "3"}]}},
        }));
        let wishes = Wishes::gather(&config, "K8S_POD_NAME=p;K8S_POD_NAMESPACE=ns;IP=10.1.0.5;bad;X=a=b").unwrap();
        assert_eq!(wishes.addresses.len(), 2, "asked for twice, given once");
        assert_eq!(wishes.labels, Labels::from([("a".into(), "1".into()), ("b".into(), "3".into())]));
        assert_eq!(wishes.aliases, ["web"]);
        let allowed: Vec<_> = wishes.allowed_addresses.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, ["10.0.0.9/32", "fd00::/64"]);
        let dns = wishes.dns.unwrap();
        assert_eq!(
            (dns.servers.len(), dns.searches, dns.options),
            (1, vec!["a.b".to_owned()], vec!["ndots:5".to_owned()])
        );
        assert_eq!(wishes.name.unwrap().as_str(), "p");
        assert_eq!(wishes.namespace.unwrap().as_str(), "ns");
        assert_eq!(wishes.mac.unwrap().to_string(), "02:00:00:00:00:09");
        assert_eq!(wishes.cgroup_path.as_deref(), Some("/x"));
    }

    #[test]
    fn cni_args_give_way_to_args() {
        let config = parse(json!({"cniVersion": "1.0.0", "name": "n", "args": {"cni": {"ips": ["10.1.0.7"]}}}));
        let wishes = Wishes::gather(&config, "IP=10.1.0.8;MAC=02:00:00:00:00:01").unwrap();
        assert_eq!(wishes.addresses, ["10.1.0.7".parse::<IpAddr>().unwrap()]);
        assert!(wishes.mac.is_some());
    }

    #[test]
    fn faulty_wishes_name_field_and_value() {
        let with = |runtime: Value| parse(json!({"cniVersion": "1.0.0", "name": "n", "runtimeConfig": runtime}));
        let allowing = |text: &str| json!({"io.kubernetes.cri.pod-annotations": {"weft.dev/allowed-addresses": text}});
        for (runtime, expected) in [
            (json!({"ips": ["10.1.0"]}), "runtimeConfig.ips \"10.1.0\": is not an address"),
            (json!({"ips": "10.1.0.1"}), "runtimeConfig.ips \"10.1.0.1\": is not a list"),
            (json!({"mac": "01:00:00:00:00:00"}), "is a group address"),
            (json!({"mac": "zz"}), "is not a MAC address"),
            (json!({"deviceID": "3b:02.1"}), "runtimeConfig.deviceID: \"3b:02.1\" is not a PCI address"),
            (json!({"dns": {"servers": ["ns1"]}}), "runtimeConfig.dns.servers \"ns1\": is not an address"),
            (json!({"io.kubernetes.cri.pod-annotations": {"weft.dev/labels": "a"}}), "write KEY=VALUE"),
            (
                allowing("10.0.0.9, 10.0.0.7/24"),
                "annotation: weft.dev/allowed-addresses[1] \"10.0.0.7/24\": has host bits set: write 10.0.0.0/24",
            ),
            (allowing("0.0.0.0/0"), "weft.dev/allowed-addresses[0] \"0.0.0.0/0\": would allow everything"),
            (allowing("::/0"), "\"::/0\": would allow everything: list what endpoints really send from"),
            (allowing("::ffff:10.0.0.9"), "is IPv4 in IPv6 clothes"),
            (allowing("10.0.0.9 10.0.0.8"), "\"10.0.0.9 10.0.0.8\": is not a CIDR: write ADDRESS/LENGTH"),
            (json!({"io.kubernetes.cri.pod-annotations": {"weft.dev/allowed-addresses": 9}}), "is not a text"),
        ] {
            let failure = Wishes::gather(&with(runtime), "").unwrap_err();
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
    }

    #[test]
    fn bandwidth_is_read_in_bits_and_only_what_was_wished() {
        let limits = |bandwidth: Value| {
            let runtime = json!({"bandwidth": bandwidth});
            let config = parse(json!({"cniVersion": "1.0.0", "name": "n", "runtimeConfig": runtime}));
            let wishes = Wishes::gather(&config, "")?;
            wishes.bandwidth.limits(1500)
        };
        let limit = |rate, burst| Some(Limit { rate, burst });
        let crio = limits(json!({"ingressRate": 10_000_000, "ingressBurst": 1_600_000, "egressRate": 0})).unwrap();
        assert_eq!(crio, Limits { ingress: limit(10_000_000, 200_000), egress: None });
        let containerd =
            json!({"IngressRate": 0, "IngressBurst": 0, "EgressRate": 8000, "EgressBurst": 4_294_967_295u32});
        assert_eq!(limits(containerd).unwrap(), Limits { ingress: None, egress: limit(8000, 131_072) });
        assert_eq!(limits(json!({})).unwrap(), Limits::default());
        for (bandwidth, expected) in [
            (json!({"ingressRate": 10}), "runtimeConfig.bandwidth: ingressRate \"10\": write 1000"),
            (json!({"egressRate": 8000, "egressBurst": 80}), "runtimeConfig.bandwidth: egressBurst \"10\": write 1518"),
            (json!({"egressRate": "10M"}), "runtimeConfig.bandwidth.egressRate \"10M\": is no whole number of bits"),
            (json!({"egressRate": -1}), "is no whole number"),
        ] {
            let failure = limits(bandwidth).unwrap_err();
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
    }

    #[test]
    fn gc_tells_no_list_from_an_empty_one() {
        let config = |text: &str| Config::parse("GC", text).unwrap();
        let none = config(r#"{"cniVersion":"1.1.0","name":"n"}"#);
        assert!(none.valid_attachments().unwrap().is_none());
        let empty = config(r#"{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[]}"#);
        assert_eq!(empty.valid_attachments().unwrap().unwrap().len(), 0);
        let one =
            config(r#"{"cniVersion":"1.1.0","name":"n","cni.dev/attachments":[{"containerID":"c","ifname":"eth0"}]}"#);
        assert_eq!(one.valid_attachments().unwrap().unwrap().len(), 1);
        let bad = config(r#"{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[{"containerID":7}]}"#);
        assert!(bad.valid_attachments().is_err());
    }
}
