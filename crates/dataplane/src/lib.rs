//! weft's programs in the kernel and their maps: loaded, pinned, adopted, and written to.
//!
//! ```text
//!   BPF_DIR/weft_stub_*      ◄── filters on every link: they jump to
//!   BPF_DIR/weft_programs    ──► endpoint_{out,check,in}, parent_{out,check,in}, uplink_{in,out}, which read
//!   BPF_DIR/v7/weft_*        ◄── the maps that the agent writes, of this layout
//!   BPF_DIR/weft_{parent,uplink}_N_{in,out}   what holds the programs of the link numbered N
//!   BPF_DIR/weft_socket_*    what holds the programs at sockets, which read maps, too
//! ```
//!
//! All of it outlives the agent. The next one finds the pins, loads its own programs over the same maps, and puts them
//! in place of the old ones by one write per hook, while packets pass. An agent that has another layout makes maps of
//! its own, fills them with what is in the old ones, and does the same.

#[expect(missing_docs, non_camel_case_types, reason = "names and comments are those of the C headers")]
#[allow(clippy::all, clippy::pedantic, unused, unreachable_pub, reason = "generated from bpf/abi by build.rs")]
pub mod abi {
    include!(concat!(env!("OUT_DIR"), "/abi.rs"));
    include!(concat!(env!("OUT_DIR"), "/reasons.rs"));
}
mod address;
mod admission;
mod allowed;
mod btf;
mod capture;
mod error;
mod event;
mod flow;
mod front;
mod hold;
mod load;
mod memory;
mod migrate;
mod policy;
mod segment;
mod service;
mod set;
mod settings;
mod table;
mod trial;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use libbpf_rs::{MapHandle, ProgramHandle};

use self::allowed::Allowed;
use self::segment::Segments;
use self::settings::Settings;

pub use self::address::address_of;
pub use self::admission::{Admission, Seat};
pub use self::btf::{Told, told};
pub use self::capture::{Captured, Packet};
pub use self::error::DataplaneError;
pub use self::event::Events;
pub use self::flow::{FLOWS_MAX, Flow, Swept};
pub use self::front::has_programs_in_front;
pub use self::hold::Hold;
pub use self::load::{Loaded, Telling};
pub use self::policy::Policies;
pub use self::segment::{Parent, Uplink, uplinks_held};
pub use self::service::Services;
pub use self::set::{Allowance, HostAddress, Member, Peering, Set};
pub use self::table::Table;
pub use self::trial::{Door, Opening, Trial, Verdict};

/// Programs and maps in force.
#[derive(Debug)]
pub struct Dataplane {
    stub_out: ProgramHandle,
    stub_in: ProgramHandle,
    stub_parent_out: ProgramHandle,
    stub_parent_in: ProgramHandle,
    stub_uplink_in: ProgramHandle,
    stub_uplink_out: ProgramHandle,
    endpoints: Table<u32, abi::endpoint>,
    allowed: Set<Allowance>,
    endpoint_allowed: Allowed,
    addresses: Table<abi::address, abi::holder>,
    parents: Table<u32, abi::parent>,
    uplinks: Table<u32, abi::uplink>,
    stations: Table<abi::station_key, abi::station>,
    peers: Set<Peering>,
    hosts: Set<HostAddress>,
    counters: Table<abi::counter_key, abi::counter>,
    policies: Policies,
    services: Services,
    flows: Table<abi::flow_key, abi::flow>,
    openings: Table<abi::flow_key, abi::flow>,
    settings: Settings,
    telling: Table<u32, abi::telling>,
    /// Whether the programs of segments are in force.
    segments: Mutex<Segments>,
    /// A slot and the flag that tells of it are written together.
    captures: Mutex<Table<u32, abi::capture>>,
    /// Of the stubs and the program array.
    root: PathBuf,
    /// Of the maps.
    directory: PathBuf,
}

impl Dataplane {
    /// The programs for filters at the host's end of a link: of what the container sends, and of what it gets.
    pub fn stubs(&self) -> [BorrowedFd<'_>; 2] {
        [self.stub_out.as_fd(), self.stub_in.as_fd()]
    }

    /// The kernel's numbers of [`Dataplane::stubs`].
    pub fn stub_ids(&self) -> [u32; 2] {
        [self.stub_out.id(), self.stub_in.id()]
    }

    /// What all endpoints of a network may send from besides their own addresses.
    pub fn allowances(&self) -> &Set<Allowance> {
        &self.allowed
    }

    /// Networks whose endpoints reach those of others.
    pub fn peerings(&self) -> &Set<Peering> {
        &self.peers
    }

    /// Addresses of hosts.
    pub fn hosts(&self) -> &Set<HostAddress> {
        &self.hosts
    }

    /// Kernel memory of all maps, in bytes.
    pub fn map_bytes(&self) -> u64 {
        memory::of_maps(&self.directory)
    }

    /// What the programs tell goes to `heard` whenever the ring is read.
    pub fn events(&self, heard: Sender<abi::event>) -> Result<Events, DataplaneError> {
        let map = MapHandle::from_pinned_path(self.directory.join(event::RING));
        Events::of(map.map_err(|e| DataplaneError::new("open map", event::RING, &e))?, heard)
    }

    /// What was not seen, ever, all CPUs together.
    pub fn unseen(&self) -> Result<Unseen, DataplaneError> {
        let per_cpu = self.telling.per_cpu(&0)?;
        Ok(per_cpu.iter().fold(Unseen::default(), |sum, one| Unseen {
            untold: sum.untold + one.untold,
            uncounted: sum.uncounted + one.uncounted,
        }))
    }
}

/// What the programs had to leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Events that nobody was told of: the ring was full, or there were more drops than are told of.
    pub untold: u64,
    /// Packets that were not counted: there was no room for another counter.
    pub uncounted: u64,
}
