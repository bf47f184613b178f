//! The shim, called as runtimes call it: environment and standard input, standard output and exit code.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use weft_api::{Client, CniRequest, Method};
use weft_lab::Host;

use crate::api::SOCKET;

/// Where plugins are in a lab host.
const PLUGINS: &str = "/opt/cni/bin";
/// The shim among them.
const SHIM: &str = "weft-cni";
/// What the shim says if the agent is away, or went away.
const TRY_AGAIN: u64 = 11;

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    plugin: String,
    command: String,
    env: Vec<(String, String)>,
    config: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Answer {
    /// Whether it exited with 0.
    pub ok: bool,
    /// Standard output, as JSON; null if there was none.
    pub output: Value,
    /// Standard error.
    pub log: String,
}

impl Answer {
    /// The number of the refusal.
    pub fn code(&self) -> Option<u64> {
        self.output["code"].as_u64()
    }

    /// Whether the agent was away, or went away.
    pub fn is_away(&self) -> bool {
        self.code() == Some(TRY_AGAIN)
    }

    /// The addresses of a result, without their lengths.
    pub fn addresses(&self) -> Vec<String> {
        let ips = self.output["ips"].as_array().into_iter().flatten();
        let addresses = ips.filter_map(|ip| ip["address"].as_str()?.split('/').next());
        addresses.map(str::to_owned).collect()
    }
}

impl Call {
    /// `command` for the interface eth0 of `container`, whose namespace is /run/netns/CONTAINER, on `network`.
    pub fn new(command: &str, container: &str, network: &str) -> Self {
        let env = [
            ("CNI_CONTAINERID", container.to_owned()),
            ("CNI_NETNS", format!("/run/netns/{container}")),
            ("CNI_IFNAME", "eth0".to_owned()),
            ("CNI_PATH", "/opt/cni/bin".to_owned()),
        ];
        Self {
            plugin: SHIM.to_owned(),
            command: command.to_owned(),
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            config: json!({"cniVersion": "1.1.0", "name": network, "type": "weft-cni"}).to_string(),
        }
    }

    /// To another plugin than weft's.
    pub fn plugin(mut self, name: &str) -> Self {
        name.clone_into(&mut self.plugin);
        self
    }

    /// With a variable set otherwise; empty takes it away.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.env.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// With this configuration.
    pub fn config(mut self, config: &Value) -> Self {
        self.config = config.to_string();
        self
    }

    /// With a field of the configuration set.
    pub fn with(self, field: &str, value: Value) -> Self {
        let mut config: Value = serde_json::from_str(&self.config).expect("the configuration was made here");
        config[field] = value;
        self.config(&config)
    }

    /// With these bytes for a configuration.
    pub fn raw(mut self, config: &str) -> Self {
        config.clone_into(&mut self.config);
        self
    }

    /// Calls.
    pub fn run(&self, host: &Host) -> Answer {
        let mut command = host.command(format!("{PLUGINS}/{}", self.plugin));
        command.env("CNI_COMMAND", &self.command).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the lab starts programs");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A shim that answers without reading closes it early.
        let _ = stdin.write_all(self.config.as_bytes());
        drop(stdin);
        let done = child.wait_with_output().expect("the shim ends");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let output = if text.trim().is_empty() { Value::Null } else { parse(&text) };
        Answer { ok: done.status.success(), output, log: String::from_utf8_lossy(&done.stderr).into_owned() }
    }

    /// Calls without the shim: the same request, said to the agent's socket, and the namespace by its path alone. For
    /// those who need many calls, or calls at the same moment.
    pub fn ask(&self, host: &Host) -> Answer {
        let variable = |wanted: &str| {
            let found = self.env.iter().find(|(name, _)| name == wanted);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        let request = CniRequest {
            command: self.command.clone(),
            container_id: variable("CNI_CONTAINERID"),
            netns: variable("CNI_NETNS"),
            ifname: variable("CNI_IFNAME"),
            args: variable("CNI_ARGS"),
            path: variable("CNI_PATH"),
            environment: BTreeMap::new(),
            config: self.config.clone(),
        };
        let body = serde_json::to_vec(&request).expect("requests have string keys only");
        let (ok, output) = match Client::new(host.path(SOCKET)).exchange(Method::Post, "/v1/cni", body) {
            Ok((status, body)) if body.is_empty() => (status == 200, Value::Null),
            Ok((status, body)) => (status == 200, parse(&String::from_utf8_lossy(&body))),
            Err(error) => (false, json!({"code": TRY_AGAIN, "msg": error.to_string()})),
        };
        Answer { ok, output, log: String::new() }
    }

    /// Calls; it must succeed.
    pub fn done(&self, host: &Host) -> Value {
        let answer = self.run(host);
        assert!(answer.ok, "{self:?}: {answer:?}");
        answer.output
    }

    /// Calls; it must be refused, with this code.
    pub fn refused(&self, host: &Host, code: u64) -> String {
        let answer = self.run(host);
        assert!(!answer.ok, "{self:?}: {answer:?}");
        assert_eq!(answer.output["code"], code, "{self:?}: {}", answer.output);
        format!("{} {}", answer.output["msg"].as_str().unwrap_or_default(), answer.output["details"])
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("standard output is no JSON: {e}: {text}"))
}
