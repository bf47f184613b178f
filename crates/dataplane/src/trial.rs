//! Asking the programs what they would do with a packet that nobody sent.
//!
//! The programs are loaded once more, over the same maps, with a knob that makes them decide and do nothing else. So
//! the answer comes from the code and the entries that are in force.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use libbpf_rs::{Object, ProgramInput};
use weft_model::{MacAddr, Protocol};

use crate::load::{self, Which};
use crate::{Dataplane, DataplaneError, abi};

/// Of `struct __sk_buff` (include/uapi/linux/bpf.h): its size, and where the number of the link is.
const CONTEXT_BYTES: usize = 192;
const CONTEXT_LINK_AT: usize = 40;
/// Likewise, the mark, and the number of the link by which a packet came to the host.
const CONTEXT_MARK_AT: usize = 8;
const CONTEXT_CAME_BY_AT: usize = 36;
const TTL: u8 = 64;
const IDENTIFIER: u16 = 0;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the host's stack, or into the container.
    Passed,
    /// It goes straight into the container it is for; that one's door has agreed.
    Short,
    /// It is dropped.
    Dropped {
        /// For this one of [`abi::REASONS`].
        reason: u32,
        /// By the rule of a policy with this number; 0 if by none.
        rule: u32,
    },
}

/// A packet that begins something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Who sends it. Of the same family as `to`.
    pub from: IpAddr,
    /// The sender's Ethernet address.
    pub mac: MacAddr,
    /// For whom the frame is; the door of a link with an end on the host does not ask.
    pub to_mac: MacAddr,
    /// Whom it is for; the port counts where the protocol has ports.
    pub to: SocketAddr,
    /// Of the packet.
    pub protocol: Protocol,
}

impl Opening {
    /// As a frame. Its source port is 0, which no connection has.
    fn frame(&self) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2(self.mac.0, self.to_mac.0);
        let ip = match (self.from, self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), TTL),
            (from, to) => {
                let octets = |ip: IpAddr| match ip {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                ethernet.ipv6(octets(from), octets(to), TTL)
            }
        };
        let mut frame = Vec::new();
        let port = self.to.port();
        let written = match self.protocol {
            Protocol::TCP => ip.tcp(0, port, 0, 0).syn().write(&mut frame, &[]),
            Protocol::UDP => ip.udp(0, port).write(&mut frame, &[]),
            Protocol::ICMP => ip.icmpv4_echo_request(IDENTIFIER, 0).write(&mut frame, &[]),
            Protocol::ICMPV6 => ip.icmpv6_echo_request(IDENTIFIER, 0).write(&mut frame, &[]),
            other => {
                let ports = [[0, 0], port.to_be_bytes(), [0, 0], [0, 0]].concat();
                ip.write(&mut frame, other.0.into(), &ports)
            }
        };
        written.expect("a vector takes whatever is written, and a header is no larger than IP allows");
        frame
    }
}

/// Programs that only decide.
pub struct Trial {
    out: Object,
    into: Object,
    /// The same at parents, where there are some.
    at_parents: Option<[Object; 2]>,
}

/// Where an endpoint's packets are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// At the host's end of its link, which has this number.
    Link(u32),
    /// At the link with this number, on which its own one sits.
    Parent(u32),
}

impl Dataplane {
    /// Loads the programs once more, for trials; they go with the result.
    pub fn trial(&self) -> Result<Trial, DataplaneError> {
        let knobs = abi::knobs { trial: 1, ..abi::knobs::default() };
        let one = |which| load::open(which, &self.root, &self.directory, knobs);
        let has_parents = !self.parents().is_empty();
        let at_parents = if has_parents { Some([one(Which::ParentCheck)?, one(Which::ParentIn)?]) } else { None };
        Ok(Trial { out: one(Which::Check)?, into: one(Which::In)?, at_parents })
    }
}

impl Trial {
    /// What becomes of a packet that the endpoint behind the door sends. The door's link must be in the calling
    /// thread's namespace.
    pub fn sent_by(&self, door: Door, opening: &Opening) -> Result<Verdict, DataplaneError> {
        match door {
            Door::Link(link) => run(&self.out, link, link, &opening.frame()),
            Door::Parent(link) => run(&self.at_parents(link)?[0], link, link, &opening.frame()),
        }
    }

    /// What becomes of a packet that is sent to the endpoint behind the door: by the host itself, or by somebody it
    /// forwards for.
    pub fn sent_to(&self, door: Door, opening: &Opening, is_hosts: bool) -> Result<Verdict, DataplaneError> {
        // Any link will do: it is asked whether there is one.
        let came_by = |link: u32| if is_hosts { 0 } else { link };
        match door {
            Door::Link(link) => run(&self.into, link, came_by(link), &opening.frame()),
            Door::Parent(link) => run(&self.at_parents(link)?[1], link, came_by(link), &opening.frame()),
        }
    }

    fn at_parents(&self, link: u32) -> Result<&[Object; 2], DataplaneError> {
        let none = || DataplaneError::new("try", format!("a packet at link {link}"), &"no parent is known");
        self.at_parents.as_ref().ok_or_else(none)
    }
}

fn run(object: &Object, link: u32, came_by: u32, frame: &[u8]) -> Result<Verdict, DataplaneError> {
    let refused =
        |reason: &dyn std::fmt::Display| DataplaneError::new("try", format!("a packet at link {link}"), reason);
    let program = object.progs_mut().next().ok_or_else(|| refused(&"there is no program"))?;
    let mut context = [0; CONTEXT_BYTES];
    context[CONTEXT_LINK_AT..CONTEXT_LINK_AT + 4].copy_from_slice(&link.to_ne_bytes());
    context[CONTEXT_CAME_BY_AT..CONTEXT_CAME_BY_AT + 4].copy_from_slice(&came_by.to_ne_bytes());
    let mut after = context;
    let input = ProgramInput {
        context_in: Some(&mut context),
        context_out: Some(&mut after),
        data_in: Some(frame),
        ..ProgramInput::default()
    };
    let answer = program.test_run(input).map_err(|error| refused(&error))?.return_value;
    let mark: [u8; 4] = after[CONTEXT_MARK_AT..CONTEXT_MARK_AT + 4].try_into().unwrap_or_default();
    Ok(match answer {
        abi::TRIAL_PASSED => Verdict::Passed,
        abi::TRIAL_SHORT => Verdict::Short,
        dropped => {
            let reason = dropped.saturating_sub(abi::TRIAL_DROPPED);
            Verdict::Dropped { reason, rule: u32::from_ne_bytes(mark) }
        }
    })
}
