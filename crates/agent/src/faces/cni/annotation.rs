//! The networks that a pod asks for by its annotation, read as Multus reads it (`parsePodNetworkAnnotation`): names
//! with commas, or JSON.
//!
//! ```text
//!   k8s.v1.cni.cncf.io/networks: back, shop/db@data0
//!   k8s.v1.cni.cncf.io/networks: [{"name": "back", "ips": ["10.2.0.9/24"], "default-route": ["10.2.0.1"]}]
//! ```
//!
//! The name of a NetworkAttachmentDefinition is that of weft's network. To Multus, two of one name in two namespaces
//! are two networks, and a name without a namespace is of the pod's own. weft's networks are in no namespace: the pod's
//! own says nothing more than the name and is taken, while another would mean a network that weft cannot tell from this
//! one, and is refused. What weft cannot serve is refused by its field; fields that Multus does not know are passed
//! over, as Multus does.
//!
//! A Multus that is installed, too, passes no annotations on: nothing is joined twice.

use serde_json::{Map, Value};
use weft_model::Name;

use super::config::{Config, list, parse_bandwidth, parse_ip, parse_mac, text};
use super::error::{Code, Failure};
use super::selection::{DefaultRoute, NETWORKS_MAX, Selection, parse_interface};
use crate::attach::DEFAULT_NAMESPACE;

/// The annotation's name.
pub(super) const ANNOTATION: &str = "k8s.v1.cni.cncf.io/networks";
/// What tells JSON from names with commas, as Multus tells them.
const JSON_MARKS: [char; 3] = ['[', '{', '"'];
/// Fields of an element that weft cannot serve, and why.
const UNSERVED: &[(&str, &str)] = &[
    ("infiniband-guid", "weft's interfaces are Ethernet"),
    ("portmappings", "ports are published on the first network: name them in the pod's own `ports`"),
    ("cni-args", "weft takes no further arguments"),
    ("ipam-claim-reference", "weft knows no IPAMClaims: ask for `ips`"),
];

/// What the annotation of a pod in `namespace` selects, in its order; nothing without one.
pub(super) fn selections(config: &Config, namespace: Option<&Name>) -> Result<Vec<Selection>, Failure> {
    let annotation = config.annotation(ANNOTATION)?.unwrap_or_default();
    if annotation.trim().is_empty() {
        return Ok(Vec::new());
    }
    let namespace = namespace.map_or(DEFAULT_NAMESPACE, Name::as_str);
    let selections = if annotation.contains(JSON_MARKS) {
        let elements: Vec<Map<String, Value>> = serde_json::from_str(annotation)
            .map_err(|error| refused(&format!("is not a JSON list of objects: {error}")))?;
        elements.iter().map(|element| of_element(element, namespace)).collect::<Result<Vec<_>, _>>()?
    } else {
        annotation.split(',').map(|item| of_item(item.trim(), namespace)).collect::<Result<_, _>>()?
    };
    if selections.len() >= NETWORKS_MAX {
        return Err(refused(&format!("selects {} networks: select fewer than {NETWORKS_MAX}", selections.len())));
    }
    Ok(selections)
}

/// `NAMESPACE/NETWORK@INTERFACE`.
fn of_item(item: &str, namespace: &str) -> Result<Selection, Failure> {
    let faulty = || refused(&format!("{item:?}: write [NAMESPACE/]NETWORK[@INTERFACE]"));
    let (own, rest) = item.split_once('/').map_or((None, item), |(own, rest)| (Some(own.trim()), rest));
    let (network, interface) = rest.split_once('@').map_or((rest, None), |(name, ifname)| (name, Some(ifname.trim())));
    let (network, is_whole) =
        (network.trim(), !rest.contains('/') && !interface.is_some_and(|name| name.contains('@')));
    if network.is_empty() || !is_whole {
        return Err(faulty());
    }
    admit_namespace(item, own, namespace)?;
    let field = field(item);
    let interface = interface.filter(|name| !name.is_empty()).map(|name| parse_interface(&field, name)).transpose()?;
    Ok(Selection { network: network.to_owned(), interface, by_annotation: true, field, ..Selection::default() })
}

/// An element of the JSON form. Its fields' names are compared as Go compares them: in any case.
fn of_element(element: &Map<String, Value>, namespace: &str) -> Result<Selection, Failure> {
    let lower: Map<String, Value> = element.iter().map(|(key, value)| (key.to_lowercase(), value.clone())).collect();
    let given = |name: &str| lower.get(name).filter(|value| !is_empty(value));
    let string =
        |name: &str| given(name).map(|value| text(&format!("annotation {ANNOTATION}: {name}"), value)).transpose();
    let network =
        string("name")?.ok_or_else(|| refused(&format!("{}: name its network", Value::from(element.clone()))))?;
    if let Some((unserved, why)) = UNSERVED.iter().find(|(name, _)| given(name).is_some()) {
        return Err(Failure::new(Code::UnsupportedField, field(&format!("{network:?}: {unserved}: {why}"))));
    }
    admit_namespace(network, string("namespace")?, namespace)?;
    let field = field(&format!("{network:?}"));
    let part = |name: &str| format!("{field}: {name}");
    let items = |name: &str| given(name).map(|value| list(&part(name), value)).transpose();
    let ips = |name: &str| -> Result<Vec<_>, Failure> {
        let items = items(name)?.into_iter().flatten();
        items.map(|ip| parse_ip(&part(name), text(&part(name), ip)?)).collect()
    };
    let gateways = ips("default-route")?;
    let bandwidth = given("bandwidth").map(|value| parse_bandwidth(&part("bandwidth"), value)).transpose()?;
    Ok(Selection {
        network: network.to_owned(),
        interface: string("interface")?.map(|name| parse_interface(&part("interface"), name)).transpose()?,
        default_route: if gateways.is_empty() { DefaultRoute::Left } else { DefaultRoute::By(gateways) },
        addresses: ips("ips")?,
        mac: string("mac")?.map(|mac| parse_mac(&part("mac"), mac)).transpose()?,
        bandwidth: bandwidth.unwrap_or_default(),
        by_annotation: true,
        field,
    })
}

/// What Go leaves as it is without the field.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn admit_namespace(item: &str, asked: Option<&str>, own: &str) -> Result<(), Failure> {
    match asked.filter(|asked| !asked.is_empty() && *asked != own) {
        None => Ok(()),
        Some(other) => {
            let reason =
                "weft's networks are in no namespace, so this may mean another network than the one of that name";
            Err(refused(&format!("{item:?}: namespace {other:?}: {reason}: write the name alone")))
        }
    }
}

fn field(item: &str) -> String {
    format!("annotation {ANNOTATION}: {item}")
}

fn refused(reason: &str) -> Failure {
    Failure::new(Code::Config, field(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(annotation: &str, namespace: Option<&str>) -> Result<Vec<Selection>, String> {
        let runtime = json!({"io.kubernetes.cri.pod-annotations": {ANNOTATION: annotation}});
        let config = json!({"cniVersion": "1.0.0", "name": "n", "runtimeConfig": runtime});
        let config = Config::parse("ADD", &config.to_string()).unwrap();
        let namespace = namespace.map(|name| Name::parse(name).unwrap());
        selections(&config, namespace.as_ref()).map_err(|failure| failure.message)
    }

    fn shown(selections: Vec<Selection>) -> Vec<String> {
        let show =
            |s: Selection| format!("{}@{}", s.network, s.interface.map_or(String::new(), |name| name.to_string()));
        selections.into_iter().map(show).collect()
    }

    #[test]
    fn names_with_commas_are_read_as_multus_reads_them() {
        assert_eq!(shown(read("", None).unwrap()), [""; 0]);
        assert_eq!(shown(read(" a , shop/b@data0,c@ ", Some("shop")).unwrap()), ["a@", "b@data0", "c@"]);
        assert_eq!(shown(read("a,a", None).unwrap()), ["a@", "a@"], "twice is twice");
        assert_eq!(shown(read("default/a", None).unwrap()), ["a@"]);
    }

    #[test]
    fn json_is_read_as_multus_reads_it() {
        let text = json!([
            {"name": "a"},
            {"name": "b", "namespace": "shop", "interface": "data0", "ips": ["10.2.0.9/24", "fd62::9"],
             "mac": "02:00:00:00:00:09", "default-route": ["10.2.0.1"], "cni-args": null, "Unknown.dev/x": 1,
             "bandwidth": {"ingressRate": 1_000_000, "egressRate": 0}},
        ]);
        let mut read = read(&text.to_string(), Some("shop")).unwrap();
        let second = read.pop().unwrap();
        assert_eq!((second.network.as_str(), second.addresses.len()), ("b", 2));
        assert!(matches!(&second.default_route, DefaultRoute::By(gateways) if gateways.len() == 1));
        assert_eq!(second.mac.unwrap().to_string(), "02:00:00:00:00:09");
        assert_eq!(second.bandwidth.limits(1500).unwrap().ingress.unwrap().rate, 1_000_000);
        assert_eq!(shown(read), ["a@"]);
    }

    #[test]
    fn what_is_faulty_or_cannot_be_served_is_refused_by_name() {
        let many = vec!["a"; NETWORKS_MAX].join(",");
        for (annotation, expected) in [
            ("a,,b", "\"\": write [NAMESPACE/]NETWORK[@INTERFACE]"),
            ("a/b/c", "\"a/b/c\": write"),
            ("a@b@c", "\"a@b@c\": write"),
            ("a@this-is-too-long-for-one", "\"this-is-too-long-for-one\""),
            ("other/a", "\"other/a\": namespace \"other\": weft's networks are in no namespace"),
            (many.as_str(), "selects 32 networks: select fewer than 32"),
            ("[{]", "is not a JSON list of objects"),
            (r#"{"name": "a"}"#, "is not a JSON list of objects"),
            (r#"[{"interface": "x"}]"#, "name its network"),
            (r#"[{"name": "a", "namespace": "other"}]"#, "namespace \"other\""),
            (r#"[{"name": "a", "ips": ["x"]}]"#, "\"a\": ips \"x\": is not an address"),
            (r#"[{"name": "a", "mac": "zz"}]"#, "\"a\": mac: "),
            (r#"[{"name": "a", "interface": "a/b"}]"#, "\"a\": interface: "),
            (
                r#"[{"name": "a", "infiniband-guid": "c2:11"}]"#,
                "\"a\": infiniband-guid: weft's interfaces are Ethernet",
            ),
            (r#"[{"name": "a", "portMappings": [{"hostPort": 1}]}]"#, "\"a\": portmappings: ports are published"),
            (r#"[{"name": "a", "cni-args": {"x": 1}}]"#, "\"a\": cni-args: "),
            (
                r#"[{"name": "a", "ipam-claim-reference": "x"}]"#,
                "\"a\": ipam-claim-reference: weft knows no IPAMClaims",
            ),
            (r#"[{"name": "a", "default-route": ["x"]}]"#, "\"a\": default-route \"x\": is not an address"),
            (
                r#"[{"name": "a", "bandwidth": {"ingressRate": "1M"}}]"#,
                "\"a\": bandwidth.ingressRate \"1M\": is no whole",
            ),
        ] {
            let message = read(annotation, None).map(shown).unwrap_err();
            assert!(message.starts_with("annotation k8s.v1.cni.cncf.io/networks: "), "{message}");
            assert!(message.contains(expected), "{annotation}: {message}");
        }
    }
}
