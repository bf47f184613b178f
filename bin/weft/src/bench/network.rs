//! The network that containers are attached to.

use weft_api::{API_VERSION, Metadata, NetworkObject};
use weft_model::{Attachment, NetworkSpec};

/// Its name.
pub(super) const NAME: &str = "bench";
/// Bytes: those of a host's uplink in the lab.
pub(super) const MTU: u32 = 1500;

/// Large enough for every population; not of the reference's ranges.
const POOLS: [&str; 2] = ["10.80.0.0/16", "fd80::/64"];

/// What weft is asked for.
pub(super) fn spec(attachment: Attachment) -> NetworkSpec {
    let pools = POOLS.map(str::to_owned).to_vec();
    NetworkSpec { attachment: Some(attachment), pools, ..NetworkSpec::default() }
}

/// As weft's API takes it.
pub(super) fn object(attachment: Attachment) -> NetworkObject {
    NetworkObject {
        api_version: API_VERSION.to_owned(),
        kind: "Network".to_owned(),
        metadata: Metadata { name: NAME.to_owned(), ..Metadata::default() },
        spec: spec(attachment),
        status: None,
    }
}
