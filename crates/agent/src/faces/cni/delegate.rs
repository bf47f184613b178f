//! Addresses that another plugin leases: the one that `ipam` names, run as the specification asks (SPEC.md, section 4).
//!
//! ```text
//!   ADD   the plugin, then weft; if either fails, the plugin's DEL
//!   DEL   weft, then the plugin, also by what the record says of it where the configuration says nothing any more
//!   CHECK, STATUS, GC   weft, then the plugin
//! ```
//!
//! One that asks by the container's own link (`dhcp`) is run in the midst of ADD, when weft has made that, and before
//! weft at DEL, while it is there.
//!
//! weft's ledger has the last word: an address must lie in the network's pools and be nobody's. Next hops and prefix
//! lengths are the network's own. A namespace that dies without a DEL frees the address in weft's ledger alone: its
//! plugin knows of it with the runtime's DEL or GC.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use weft_api::CniRequest;
use weft_model::{Attachment as Kind, Delegation, Dns, Family, Network, Route};

use super::config::{list, parse_ip, text};
use super::error::{Code, Failure};
use crate::attach::{Attachment, Given, Lessor};
use crate::shell::plugins::{Plugins, Run, RunError};

/// Of a route, what weft sets.
const ROUTE_FIELDS: &[&str] = &["dst", "gw"];

/// A plugin that leases addresses.
#[derive(Debug, Clone)]
pub(super) struct Delegate {
    kind: String,
    /// What it is given at every call.
    config: String,
    /// What it is given by a later DEL that does not know it.
    record: Delegation,
}

impl Delegate {
    /// The one that a configuration names, if it names one.
    pub(super) fn named(text: &str) -> Result<Option<Self>, Failure> {
        // Most configurations need not be read twice.
        if !text.contains("\"ipam\"") {
            return Ok(None);
        }
        let config: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let ipam = config.get("ipam").filter(|ipam| ipam.as_object().is_none_or(|fields| !fields.is_empty()));
        let Some(ipam) = ipam.filter(|ipam| !ipam.is_null()) else { return Ok(None) };
        let faulty = |reason: &str| Failure::new(Code::UnsupportedField, format!("ipam {ipam}: {reason}"));
        let kind = ipam.get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty() && !kind.contains('/'));
        let kind =
            kind.ok_or_else(|| faulty("name a plugin by its `type`, or leave `ipam` out: weft leases by itself"))?;
        let part = |name: &str| config.get(name).cloned().unwrap_or_default();
        let record = json!({ "cniVersion": part("cniVersion"), "name": part("name"), "ipam": ipam }).to_string();
        let record = Delegation { plugin: kind.to_owned(), config: record };
        Ok(Some(Self { kind: kind.to_owned(), config: text.to_owned(), record }))
    }

    /// The one that an endpoint's record names.
    pub(super) fn recorded(record: &Delegation) -> Self {
        Self { kind: record.plugin.clone(), config: record.config.clone(), record: record.clone() }
    }

    /// Leases for the first of `wishes`, and writes there what was leased.
    pub(super) async fn add(
        &self,
        plugins: &Plugins,
        request: &CniRequest,
        wish: &mut Attachment,
    ) -> Result<(), Failure> {
        let Given { addresses, routes, dns } = self.lease(plugins, request, &wish.network).await?;
        wish.addresses = addresses;
        wish.routes = routes;
        wish.dns = wish.dns.take().or_else(|| Some(dns).filter(|dns| !dns.is_empty()));
        wish.delegation = Some(self.record.clone());
        Ok(())
    }

    /// Whether it is run when the container's link is there.
    pub(super) fn asks_by_link(&self) -> bool {
        self.record.asks_by_link()
    }

    async fn lease(&self, plugins: &Plugins, request: &CniRequest, network: &Network) -> Result<Given, Failure> {
        let output = self.run(plugins, request, "ADD").await?;
        self.read(&output, network)
    }

    /// Takes a lease back that came to nothing.
    pub(super) async fn undo(&self, plugins: &Plugins, request: &CniRequest) {
        if let Err(failure) = self.run(plugins, request, "DEL").await {
            tracing::warn!(error = failure.message, "a lease that came to nothing is not taken back");
        }
    }

    /// Hands a call on. At DEL, a plugin that is not there any more has nothing that could be freed.
    pub(super) async fn forward(&self, plugins: &Plugins, request: &CniRequest) -> Result<(), Failure> {
        if request.command == "DEL" && find(&self.kind, &request.path).is_none() {
            tracing::warn!(
                plugin = self.kind,
                path = request.path,
                "is not there any more: what it leased stays leased"
            );
            return Ok(());
        }
        self.run(plugins, request, &request.command).await.map(drop)
    }

    /// A refusal of weft's, as one of the plugin's choice.
    pub(super) fn blame(&self, failure: Failure) -> Failure {
        let remedy = match failure.code {
            Code::AddressTaken => "; have the network's `ranges` leave out what the plugin leases",
            _ => "",
        };
        Failure { message: format!("ipam {}: {}{remedy}", self.kind, failure.message), ..failure }
    }

    async fn run(&self, plugins: &Plugins, request: &CniRequest, command: &str) -> Result<Vec<u8>, Failure> {
        let program = find(&self.kind, &request.path).ok_or_else(|| {
            let remedy = "install it where weftd sees it, or leave `ipam` out";
            let path = &request.path;
            Failure::new(Code::Config, format!("ipam {}: is in no directory of CNI_PATH ({path}): {remedy}", self.kind))
        })?;
        let run = Run { program, environment: environment(request, command), input: self.config.clone() };
        let output = plugins.run(run).await.map_err(|error| {
            let code = if matches!(error, RunError::TimedOut { .. }) { Code::TryAgain } else { Code::Io };
            Failure::new(code, format!("ipam {}: {error}", self.kind))
        })?;
        if output.is_ok { Ok(output.stdout) } else { Err(self.refused(command, &output.stdout, &output.stderr)) }
    }

    /// What the plugin says is wrong, in its own words.
    fn refused(&self, command: &str, stdout: &[u8], stderr: &[u8]) -> Failure {
        let told: Value = serde_json::from_slice(stdout).unwrap_or_default();
        let part = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        let code = match (command, told["code"].as_u64()) {
            ("STATUS", _) => Code::Unavailable,
            (_, Some(11)) => Code::TryAgain,
            _ => Code::Delegate,
        };
        let said =
            if told["msg"].is_string() { part("msg") } else { String::from_utf8_lossy(stderr).trim().to_owned() };
        let message = format!("ipam {}: {command}: {said}", self.kind);
        Failure { code, message, details: part("details") }
    }

    fn read(&self, output: &[u8], network: &Network) -> Result<Given, Failure> {
        let fault = |reason: String| Failure::new(Code::Delegate, format!("ipam {}: {reason}", self.kind));
        let result: Value =
            serde_json::from_slice(output).map_err(|error| fault(format!("its result is not JSON: {error}")))?;
        let items = |name: &str| result.get(name).filter(|value| !value.is_null());
        let each = |name: &str| {
            items(name).map(|value| list(name, value)).transpose().map(|found| found.into_iter().flatten())
        };
        let mut gateways = Vec::new();
        let mut addresses = Vec::new();
        for ip in each("ips")? {
            addresses.push(parse_ip("ips", text("ips", &ip["address"])?)?);
            gateways.extend(ip["gateway"].as_str().map(|gateway| parse_ip("gateway", gateway)).transpose()?);
        }
        if addresses.is_empty() {
            return Err(fault(format!("its result has no address: {result}")));
        }
        let ground = Ground { network, addresses: &addresses, gateways: &gateways };
        let routes = each("routes")?
            .map(|shown| route(shown, &ground).map_err(|reason| fault(format!("route {shown}: {reason}"))));
        let routes = routes.collect::<Result<_, _>>()?;
        let dns = dns(&result["dns"]).map_err(fault)?;
        Ok(Given { addresses, routes, dns })
    }
}

/// A plugin that leases for one birth, when the link is there.
#[derive(Debug)]
pub(super) struct ByLink {
    delegate: Delegate,
    plugins: Arc<Plugins>,
    request: CniRequest,
    is_asked: AtomicBool,
    /// What it refused with, in full.
    failure: Mutex<Option<Failure>>,
}

impl ByLink {
    pub(super) fn new(delegate: &Delegate, plugins: &Arc<Plugins>, request: &CniRequest) -> Self {
        let (delegate, plugins, request) = (delegate.clone(), Arc::clone(plugins), request.clone());
        Self { delegate, plugins, request, is_asked: AtomicBool::new(false), failure: Mutex::new(None) }
    }

    /// Has it lease for a birth that is to come.
    pub(super) fn offer(self: &Arc<Self>, wish: &mut Attachment) {
        wish.delegation = Some(self.delegate.record.clone());
        wish.lessor = Some(Arc::clone(self) as Arc<dyn Lessor>);
    }

    /// What the plugin, and not weft, refused the birth with.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Called where a thread may wait.
impl Lessor for ByLink {
    fn lease(&self, network: &Network) -> Result<Given, String> {
        self.is_asked.store(true, Ordering::Relaxed);
        let leased = self.delegate.lease(&self.plugins, &self.request, network);
        Handle::current().block_on(leased).map_err(|failure| {
            let reason = failure.message.clone();
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            reason
        })
    }

    fn give_back(&self) {
        if self.is_asked.swap(false, Ordering::Relaxed) {
            Handle::current().block_on(self.delegate.undo(&self.plugins, &self.request));
        }
    }
}

/// What a route must fit.
struct Ground<'a> {
    network: &'a Network,
    addresses: &'a [IpAddr],
    /// The plugin's own idea of them: they stand for the network's.
    gateways: &'a [IpAddr],
}

fn route(shown: &Value, ground: &Ground<'_>) -> Result<Route, String> {
    let fields = shown.as_object().into_iter().flatten();
    if let Some((other, _)) = fields.into_iter().find(|(name, _)| !ROUTE_FIELDS.contains(&name.as_str())) {
        return Err(format!("weft sets no {other}: leave it out"));
    }
    let to: IpNet = shown["dst"].as_str().and_then(|dst| dst.parse().ok()).ok_or("dst is not a CIDR")?;
    let to = to.trunc();
    if !ground.addresses.iter().any(|ip| Family::of(*ip) == Family::of_net(&to)) {
        return Err("there is no address of its family".to_owned());
    }
    let Some(gw) = shown["gw"].as_str() else { return Ok(Route { to, via: None }) };
    let via: IpAddr = gw.parse().map_err(|_| format!("gw {gw:?} is not an address"))?;
    let network = ground.network;
    let kind = crate::attachment::kind(network.attachment);
    let own = kind.map(|kind| kind.gateways(network)).unwrap_or_default();
    if own.contains(&via) || ground.gateways.contains(&via) {
        return Ok(Route { to, via: None });
    }
    let is_beside = network.attachment == Kind::Bridge && network.pools.iter().any(|pool| pool.subnet.contains(&via));
    if is_beside {
        return Ok(Route { to, via: Some(via) });
    }
    let own = own.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(format!("gw {via} is not reached by network {}: leave it out for {own}", network.name))
}

fn dns(shown: &Value) -> Result<Dns, String> {
    let words = |name: &str| -> Vec<String> {
        let items = shown[name].as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let server = |text: String| text.parse().map_err(|_| format!("dns.nameservers {text:?}: is not an address"));
    let servers = words("nameservers").into_iter().map(server).collect::<Result<_, _>>()?;
    let mut searches = words("search");
    // resolv.conf(5): a domain is a search list of one.
    if searches.is_empty() {
        searches.extend(shown["domain"].as_str().filter(|domain| !domain.is_empty()).map(str::to_owned));
    }
    Ok(Dns { servers, searches, options: words("options") })
}

/// The runtime's environment, as far as the shim sent it, with the variables of this call.
fn environment(request: &CniRequest, command: &str) -> BTreeMap<String, String> {
    let variables = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", &request.container_id),
        ("CNI_NETNS", &request.netns),
        ("CNI_IFNAME", &request.ifname),
        ("CNI_ARGS", &request.args),
        ("CNI_PATH", &request.path),
    ];
    let mut environment = request.environment.clone();
    let given = variables.into_iter().filter(|(_, value)| !value.is_empty());
    environment.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment
}

/// The plugin's program in the first directory of CNI_PATH that has it.
fn find(kind: &str, path: &str) -> Option<PathBuf> {
    let directories = path.split(':').filter(|directory| Path::new(directory).is_absolute());
    directories.map(|directory| Path::new(directory).join(kind)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::Built;
    use weft_model::{Labels, Mode, NetworkName, NetworkSpec};

    fn network(mode: Mode) -> Network {
        let pools = vec!["10.1.0.0/24".to_owned(), "fd61::/64".to_owned()];
        let spec = NetworkSpec { mode: Some(mode), pools, ..NetworkSpec::default() };
        spec.resolve(&NetworkName::parse("app").unwrap(), &Labels::new(), &Built).unwrap()
    }

    fn named(ipam: Value) -> Result<Option<Delegate>, String> {
        let config = json!({"cniVersion": "1.0.0", "name": "n", "ipam": ipam, "vendor": 7}).to_string();
        Delegate::named(&config).map_err(|failure| failure.message)
    }

    fn read(mode: Mode, result: Value) -> Result<Given, String> {
        let delegate = named(json!({"type": "static"})).unwrap().unwrap();
        delegate.read(result.to_string().as_bytes(), &network(mode)).map_err(|failure| failure.message)
    }

    #[test]
    fn a_configuration_names_its_plugin_or_none() {
        for none in [json!(null), json!({})] {
            assert!(named(none).unwrap().is_none());
        }
        assert!(Delegate::named("{").unwrap().is_none() && Delegate::named(r#"{"a":{"ipam":{}}}"#).unwrap().is_none());
        let delegate = named(json!({"type": "host-local", "subnet": "10.1.0.0/24"})).unwrap().unwrap();
        assert!(delegate.config.contains("vendor"), "unchanged");
        let kept: Value = serde_json::from_str(&Delegate::recorded(&delegate.record).config).unwrap();
        let ipam = json!({"type": "host-local", "subnet": "10.1.0.0/24"});
        assert_eq!(kept, json!({"cniVersion": "1.0.0", "name": "n", "ipam": ipam}));
        for (ipam, expected) in [
            (json!("host-local"), "ipam \"host-local\": name a plugin by its `type`"),
            (json!({"subnet": "x"}), "name a plugin by its `type`"),
            (json!({"type": "../sh"}), "name a plugin by its `type`"),
        ] {
            let message = named(ipam).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_lease_is_addresses_routes_and_dns() {
        let result = json!({
            "ips": [{"address": "10.1.0.5/24", "gateway": "10.1.0.254"}, {"address": "fd61::5/64"}],
            "routes": [
                {"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.254"}, {"dst": "fd00::/8", "gw": "fd61::9"},
            ],
            "dns": {"nameservers": ["10.1.0.9"], "domain": "d", "search": []},
        });
        let lease = read(Mode::Bridge, result).unwrap();
        assert_eq!(lease.addresses.len(), 2);
        let via: Vec<_> = lease.routes.iter().map(|route| route.via.map(|via| via.to_string())).collect();
        assert_eq!(via, [None, None, Some("fd61::9".to_owned())]);
        assert_eq!((lease.dns.servers.len(), lease.dns.searches), (1, vec!["d".to_owned()]));
    }

    #[test]
    fn what_weft_cannot_set_is_named() {
        let with = |route: Value| json!({"ips": [{"address": "10.1.0.5/24"}], "routes": [route]});
        for (mode, result, expected) in [
            (Mode::Bridge, json!({"ips": []}), "its result has no address"),
            (Mode::Bridge, json!({"ips": [{"address": "x"}]}), "ips \"x\": is not an address"),
            (Mode::Bridge, with(json!({"dst": "x"})), "dst is not a CIDR"),
            (Mode::Bridge, with(json!({"dst": "10.9.0.0/16", "table": 7})), "weft sets no table: leave it out"),
            (Mode::Bridge, with(json!({"dst": "::/0"})), "there is no address of its family"),
            (
                Mode::Bridge,
                with(json!({"dst": "10.9.0.0/16", "gw": "10.2.0.1"})),
                "gw 10.2.0.1 is not reached by network",
            ),
            (Mode::Routed, with(json!({"dst": "10.9.0.0/16", "gw": "10.1.0.9"})), "leave it out for 169.254.1.1"),
            (
                Mode::Bridge,
                json!({"ips": [{"address": "10.1.0.5"}], "dns": {"nameservers": ["x"]}}),
                "dns.nameservers \"x\"",
            ),
        ] {
            let message = read(mode, result).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_plugins_own_words_are_passed_on() {
        let delegate = named(json!({"type": "static"})).unwrap().unwrap();
        let told = br#"{"code": 11, "msg": "not now", "details": "later"}"#;
        let failure = delegate.refused("ADD", told, b"");
        assert_eq!((failure.code, failure.message.as_str()), (Code::TryAgain, "ipam static: ADD: not now"));
        assert_eq!(failure.details, "later");
        let failure = delegate.refused("STATUS", b"", b"exploded\n");
        assert_eq!((failure.code, failure.message.as_str()), (Code::Unavailable, "ipam static: STATUS: exploded"));
    }
}
