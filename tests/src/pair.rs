//! Two endpoints of one network, and whether one hears the other.

use serde_json::json;
use weft_lab::Host;

use crate::{Api, Call};

/// A network of either kind, with endpoints a and b on it.
pub fn populate(host: &Host, mode: &str) -> Api {
    let api = Api::of(host);
    api.network("app", json!({"mode": mode, "pools": ["10.1.0.0/24", "fd61::/64"]}));
    for id in ["a", "b"] {
        host.netns(id).expect("a namespace");
        Call::new("ADD", id, "app").done(host);
    }
    api
}

/// Whether `to` answers the namespace `from`.
pub fn pings(host: &Host, from: &str, to: &str) -> bool {
    host.run(&["ip", "netns", "exec", from, "busybox", "ping", "-c1", "-W1", to]).is_ok()
}
