//! What the programs tell: read from their ring.

use std::sync::mpsc::Sender;
use std::time::Duration;

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};

use crate::address::ip_of;
use crate::{DataplaneError, abi};

/// The ring's name among the pins.
pub(crate) const RING: &str = "weft_events";

/// The reading end of the ring. One agent has one; what was told while none read is there still, if there was room.
pub struct Events {
    ring: RingBuffer<'static>,
    // The ring keeps its number only.
    _map: MapHandle,
}

impl Events {
    /// Reads the ring of `map`; whatever it holds goes to `heard`.
    pub(crate) fn of(map: MapHandle, heard: Sender<abi::event>) -> Result<Self, DataplaneError> {
        let refused = |error: libbpf_rs::Error| DataplaneError::new("read", RING, &error);
        let mut builder = RingBufferBuilder::new();
        let hear = move |bytes: &[u8]| {
            if let Ok(event) =
                bytemuck::try_pod_read_unaligned(bytes.get(..size_of::<abi::event>()).unwrap_or_default())
            {
                // Whoever does not listen any more has no use for it.
                let _ = heard.send(event);
            }
            0
        };
        builder.add(&map, hear).map_err(refused)?;
        Ok(Self { ring: builder.build().map_err(refused)?, _map: map })
    }

    /// Reads what is there, after `pause` or when the ring is half full.
    pub fn read(&self, pause: Duration) -> Result<(), DataplaneError> {
        let read = self.ring.poll(pause).and_then(|()| self.ring.consume());
        read.map_err(|error| DataplaneError::new("read", RING, &error))
    }
}

impl abi::event {
    /// Who sent the packet; the port is 0 where its protocol has none, and of an ICMP echo its identifier.
    pub fn from(&self) -> std::net::SocketAddr {
        std::net::SocketAddr::new(ip_of(&self.source), self.source_port)
    }

    /// Whom it was sent to.
    pub fn to(&self) -> std::net::SocketAddr {
        std::net::SocketAddr::new(ip_of(&self.destination), self.destination_port)
    }
}
