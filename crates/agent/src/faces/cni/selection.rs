//! The networks that a configuration names: a list of them, or one.
//!
//! ```json
//! { "type": "weft-cni", "networks": ["app", {"name": "back", "interface": "data0", "defaultRoute": true}] }
//! ```

use std::net::IpAddr;

use serde_json::{Map, Value};
use weft_model::{Family, IfName, MacAddr, Network};

use super::config::{Bandwidth, list, parse_ip, parse_mac, text};
use super::error::{Code, Failure};
use crate::attachment;

/// Networks of one call.
pub(super) const NETWORKS_MAX: usize = 32;
/// Fields of an entry of the list.
const FIELDS: &[&str] = &["name", "interface", "defaultRoute", "ips", "mac"];

/// A network that a container is to join, and what is asked of it.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Where it is written.
    pub(super) field: String,
    pub(super) network: String,
    pub(super) interface: Option<IfName>,
    pub(super) default_route: DefaultRoute,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) mac: Option<MacAddr>,
    pub(super) bandwidth: Bandwidth,
    /// By the pod's annotation: not of the call's result.
    pub(super) by_annotation: bool,
}

/// Whether the container's default routes go by the network.
#[derive(Debug, Default)]
pub(super) enum DefaultRoute {
    /// If no other interface has them.
    #[default]
    Left,
    /// Whoever has them.
    All,
    /// Those by these next hops, whoever has them.
    By(Vec<IpAddr>),
}

impl Selection {
    /// Those of a configuration called `name`. The first is the call's own: it gets CNI_IFNAME.
    pub(super) fn all(config: &Map<String, Value>, name: &str) -> Result<Vec<Self>, Failure> {
        let given = |field: &str| config.get(field).filter(|value| !value.is_null());
        let Some(networks) = given("networks") else {
            let field = "network".to_owned();
            let network = given("network").map_or(Ok(name), |network| text(&field, network))?.to_owned();
            let (interface, default_route) = asked(config, "")?;
            return Ok(vec![Self { field, network, interface, default_route, ..Self::default() }]);
        };
        if let Some(other) = ["network", "interface", "defaultRoute"].iter().find(|field| given(field).is_some()) {
            let reason =
                format!("{other}, networks: name one of the two, and what is asked of each network in its entry");
            return Err(Failure::new(Code::Config, reason));
        }
        let entries = list("networks", networks)?;
        if entries.is_empty() || entries.len() > NETWORKS_MAX {
            let reason = format!("networks: lists {} networks: list 1 to {NETWORKS_MAX}", entries.len());
            return Err(Failure::new(Code::Config, reason));
        }
        entries.iter().enumerate().map(|(place, entry)| Self::parse(&format!("networks[{place}]"), entry)).collect()
    }

    fn parse(field: &str, entry: &Value) -> Result<Self, Failure> {
        let Some(object) = entry.as_object() else {
            return Ok(Self { field: field.to_owned(), network: text(field, entry)?.to_owned(), ..Self::default() });
        };
        if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            let reason = format!("{field}.{unknown}: there is no such field: use {}", FIELDS.join(", "));
            return Err(Failure::new(Code::Config, reason));
        }
        let name = format!("{field}.name");
        let (interface, default_route) = asked(object, &format!("{field}."))?;
        let (ips, mac) = (format!("{field}.ips"), format!("{field}.mac"));
        let asked = object.get("ips").map(|value| list(&ips, value)).transpose()?.into_iter().flatten();
        let asked_mac = object.get("mac").map(|value| text(&mac, value)).transpose()?;
        Ok(Self {
            field: field.to_owned(),
            network: text(&name, object.get("name").unwrap_or(&Value::Null))?.to_owned(),
            interface,
            default_route,
            addresses: asked.map(|ip| parse_ip(&ips, text(&ips, ip)?)).collect::<Result<_, _>>()?,
            mac: asked_mac.map(|value| parse_mac(&mac, value)).transpose()?,
            ..Self::default()
        })
    }

    /// Families of which the container's default route is to go by `network`.
    pub(super) fn claims(&self, network: &Network) -> Result<Vec<Family>, Failure> {
        let asked = match &self.default_route {
            DefaultRoute::Left => return Ok(Vec::new()),
            DefaultRoute::All => return Ok(network.families().collect()),
            DefaultRoute::By(asked) => asked,
        };
        let own = attachment::kind(network.attachment).map(|kind| kind.gateways(network)).unwrap_or_default();
        match asked.iter().find(|gateway| !own.contains(gateway)) {
            None => Ok(asked.iter().copied().map(Family::of).collect()),
            Some(other) => {
                let gateways = own.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let reason = format!(
                    "{}: default-route {other}: network {} has no such gateway: write of {gateways}, or use another \
                     network",
                    self.field, network.name
                );
                Err(Failure::new(Code::Config, reason))
            }
        }
    }
}

fn asked(object: &Map<String, Value>, prefix: &str) -> Result<(Option<IfName>, DefaultRoute), Failure> {
    let field = format!("{prefix}interface");
    let interface = object.get("interface").map(|value| parse_interface(&field, text(&field, value)?)).transpose()?;
    let default_route = match object.get("defaultRoute") {
        None | Some(Value::Bool(false)) => DefaultRoute::Left,
        Some(Value::Bool(true)) => DefaultRoute::All,
        Some(other) => {
            let reason = format!("{prefix}defaultRoute {other}: write true or false");
            return Err(Failure::new(Code::Decode, reason));
        }
    };
    Ok((interface, default_route))
}

pub(super) fn parse_interface(field: &str, value: &str) -> Result<IfName, Failure> {
    IfName::parse(value).map_err(|error| Failure::new(Code::Config, format!("{field}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all(config: Value) -> Result<Vec<Selection>, String> {
        Selection::all(config.as_object().unwrap(), "n").map_err(|failure| failure.message)
    }

    fn names(config: Value) -> Vec<String> {
        all(config).unwrap().into_iter().map(|selection| selection.network).collect()
    }

    #[test]
    fn the_network_is_the_configurations_name_unless_it_names_one_or_several() {
        assert_eq!(names(json!({})), ["n"]);
        assert_eq!(names(json!({"network": null, "networks": null})), ["n"]);
        assert_eq!(names(json!({"network": "app"})), ["app"]);
        assert_eq!(names(json!({"networks": ["a", {"name": "b"}]})), ["a", "b"]);
    }

    #[test]
    fn an_entry_asks_for_interface_addresses_and_default_route() {
        let entry = json!({"name": "b", "interface": "data0", "defaultRoute": true, "ips": ["10.1.0.5/24", "fd00::5"],
            "mac": "02:00:00:00:00:09"});
        let selection = all(json!({"networks": ["a", entry]})).unwrap().pop().unwrap();
        assert_eq!(selection.interface.unwrap().as_str(), "data0");
        assert!(matches!(selection.default_route, DefaultRoute::All));
        assert_eq!(
            (selection.addresses.len(), selection.mac.unwrap().to_string()),
            (2, "02:00:00:00:00:09".to_owned())
        );
    }

    #[test]
    fn faults_name_the_entry_and_the_field() {
        let many: Vec<_> = (0..=NETWORKS_MAX).map(|n| format!("n{n}")).collect();
        for (config, expected) in [
            (json!({"networks": "a"}), "networks \"a\": is not a list"),
            (json!({"networks": []}), "networks: lists 0 networks: list 1 to 32"),
            (json!({"networks": many}), "networks: lists 33 networks"),
            (json!({"networks": ["a"], "network": "b"}), "network, networks: name one of the two"),
            (json!({"networks": ["a"], "defaultRoute": true}), "defaultRoute, networks: name one of the two"),
            (json!({"networks": [7]}), "networks[0] 7: is not a text"),
            (json!({"networks": ["a", {}]}), "networks[1].name null: is not a text"),
            (
                json!({"networks": [{"name": "a", "ip": "x"}]}),
                "networks[0].ip: there is no such field: use name, inter",
            ),
            (json!({"networks": [{"name": "a", "interface": "a/b"}]}), "networks[0].interface: \"a/b\""),
            (
                json!({"networks": [{"name": "a", "defaultRoute": "yes"}]}),
                "networks[0].defaultRoute \"yes\": write true",
            ),
            (json!({"networks": [{"name": "a", "ips": ["x"]}]}), "networks[0].ips \"x\": is not an address"),
            (json!({"networks": [{"name": "a", "mac": "zz"}]}), "networks[0].mac: "),
            (json!({"network": 7}), "network 7: is not a text"),
        ] {
            let message = all(config).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
