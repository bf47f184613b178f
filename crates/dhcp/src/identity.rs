//! Who a client says it is.

use weft_model::{MacAddr, fnv64};

/// DUID-UUID (RFC 6355): needs neither a clock nor storage that outlives the host.
const DUID_UUID: [u8; 2] = [0, 4];
/// The type of client identifiers that hold IAID and DUID (RFC 4361, section 6.1).
const CLIENT_ID_TYPE: u8 = 255;

/// What servers know a client by, in both families. It follows from names, so the client that resumes after a crash is
/// the one that was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What frames to it are addressed to. Not unique: all links of an ipvlan parent share one.
    pub mac: MacAddr,
    duid: [u8; 18],
    iaid: u32,
}

impl Identity {
    /// Follows from `parts` alone: what is unique in the LAN and the same for life, such as machine, container and
    /// interface. `mac` is where answers go.
    pub fn derived(parts: &[&str], mac: MacAddr) -> Self {
        let hash = |salt| fnv64(&[&[salt], parts].concat()).to_be_bytes();
        let mut duid = [0; 18];
        duid[..2].copy_from_slice(&DUID_UUID);
        duid[2..10].copy_from_slice(&hash("dhcp-high"));
        duid[10..].copy_from_slice(&hash("dhcp-low"));
        // Version 8, variant 1 (RFC 9562, section 5.8): of a layout of our own.
        duid[8] = duid[8] & 0x0f | 0x80;
        duid[10] = duid[10] & 0x3f | 0x80;
        let [a, b, c, d, ..] = hash("iaid");
        Self { mac, duid, iaid: u32::from_be_bytes([a, b, c, d]) }
    }

    /// DHCPv6's client identifier.
    pub fn duid(&self) -> &[u8] {
        &self.duid
    }

    /// Number of its one identity association (RFC 8415, section 12.1).
    pub fn iaid(&self) -> u32 {
        self.iaid
    }

    /// DHCPv4's client identifier.
    pub fn client_id(&self) -> Vec<u8> {
        [&[CLIENT_ID_TYPE][..], &self.iaid.to_be_bytes(), &self.duid].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_every_time_and_another_for_others() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let identity = Identity::derived(&["machine", "web", "eth0"], mac);
        assert_eq!(identity, Identity::derived(&["machine", "web", "eth0"], mac));
        assert_ne!(identity.duid(), Identity::derived(&["machine", "web", "eth1"], mac).duid());
        assert_eq!(identity.client_id().len(), 23);
        assert_eq!(identity.client_id()[..1], [255]);
        assert_eq!(identity.duid()[..2], [0, 4]);
    }
}
