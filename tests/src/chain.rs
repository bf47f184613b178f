//! A chain of plugins, called as libcni calls it: each is given what came of those in front, and is taken down in
//! reverse with what came of all.

use serde_json::{Value, json};
use weft_lab::Host;

use crate::Call;

/// What Debian's plugins know, too.
const VERSION: &str = "1.0.0";

/// Plugins that see faults where there are none, as of the CNI project's 1.1: `bridge` takes every address of the
/// result for one of its own interface's, `portmap` looks for its rules of IPv4 among those of IPv6.
const FAULTY_CHECKS: &[&str] = &["bridge", "portmap"];

/// Plugins of one configuration.
pub struct Chain {
    name: String,
    plugins: Vec<Value>,
}

impl Chain {
    /// The configuration `name`.
    pub fn new(name: &str, plugins: impl IntoIterator<Item = Value>) -> Self {
        Self { name: name.to_owned(), plugins: plugins.into_iter().collect() }
    }

    /// Joins the container; what came of it.
    pub fn add(&self, host: &Host, container: &str) -> Value {
        let join = |previous, plugin| self.call("ADD", container, plugin, &previous).done(host);
        self.plugins.iter().fold(Value::Null, join)
    }

    /// Every plugin must find what it made, if it looks rightly.
    pub fn check(&self, host: &Host, container: &str, result: &Value) {
        let is_right = |plugin: &&Value| FAULTY_CHECKS.iter().all(|faulty| plugin["type"] != *faulty);
        for plugin in self.plugins.iter().filter(is_right) {
            self.call("CHECK", container, plugin, result).done(host);
        }
    }

    /// Takes the container out.
    pub fn del(&self, host: &Host, container: &str, result: &Value) {
        for plugin in self.plugins.iter().rev() {
            self.call("DEL", container, plugin, result).done(host);
        }
    }

    fn call(&self, command: &str, container: &str, plugin: &Value, previous: &Value) -> Call {
        let mut config = plugin.clone();
        config["cniVersion"] = json!(VERSION);
        config["name"] = json!(self.name);
        if !previous.is_null() {
            config["prevResult"] = previous.clone();
        }
        let kind = plugin["type"].as_str().expect("plugins have a type");
        Call::new(command, container, &self.name).plugin(kind).config(&config)
    }
}
