//! A BPF file system of its own, weft's programs, and one endpoint whose packets they see.
//!
//! The endpoint is behind link 1, because a test run's packets come in by loopback unless told otherwise.

use std::net::IpAddr;
use std::path::PathBuf;

use libbpf_rs::ProgramInput;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use weft_dataplane::{Admission, Dataplane, Loaded, abi};
use weft_model::MacAddr;

pub(crate) const LINK: u32 = 1;
pub(crate) const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
pub(crate) const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);
/// Numbers of networks.
pub(crate) const OWN: u32 = 7;
pub(crate) const FOREIGN: u32 = 8;
/// TC_ACT_UNSPEC and TC_ACT_SHOT of include/uapi/linux/pkt_cls.h.
const UNSPEC: u32 = u32::MAX;
const SHOT: u32 = 2;

pub(crate) struct World {
    pub(crate) directory: PathBuf,
    pub(crate) dataplane: Dataplane,
    loaded: Loaded,
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn admission(addresses: &[&str], mac: MacAddr, network: u32) -> Admission {
    Admission { addresses: addresses.iter().map(|text| ip(text)).collect(), mac, network }
}

impl World {
    /// With the endpoint 10.1.0.2, fd61::2 let in.
    pub(crate) fn new() -> Self {
        let world = Self::empty();
        world.dataplane.admit(LINK, &admission(&["10.1.0.2", "fd61::2"], MAC, OWN)).unwrap();
        world
    }

    pub(crate) fn empty() -> Self {
        let directory = bpf_file_system();
        let dataplane = Loaded::load(&directory).unwrap().enforce().unwrap();
        // Programs in force belong to the kernel; the tests run others of the same code, over the same maps.
        let loaded = Loaded::load(&directory).unwrap();
        Self { directory, dataplane, loaded }
    }

    /// What becomes of a frame that the endpoint sends: `passed`, or the reason for which it is dropped. It is the same
    /// by the program's answer and by its counters, and the frame is not changed.
    pub(crate) fn sends(&self, frame: &[u8]) -> &'static str {
        self.run(abi::HOOK_ENDPOINT_OUT, abi::DIRECTION_OUT, frame)
    }

    /// The same of a frame sent to the endpoint.
    pub(crate) fn gets(&self, frame: &[u8]) -> &'static str {
        self.run(abi::HOOK_ENDPOINT_IN, abi::DIRECTION_IN, frame)
    }

    fn run(&self, hook: u32, direction: u32, frame: &[u8]) -> &'static str {
        let before = self.dataplane.counted(LINK).unwrap();
        let mut out = vec![0; frame.len()];
        let input = ProgramInput { data_in: Some(frame), data_out: Some(&mut out), ..ProgramInput::default() };
        let (_, program) = self.loaded.programs().find(|(place, _)| *place == hook).unwrap();
        let answer = program.test_run(input).unwrap().return_value;
        assert_eq!(out, frame, "nobody rewrites it");
        let after = self.dataplane.counted(LINK).unwrap();
        let packets = |counted: &std::collections::BTreeMap<_, abi::counter>, key| {
            counted.get(key).map_or((0, 0), |counter: &abi::counter| (counter.packets, counter.bytes))
        };
        let mut grown = after.keys().filter(|key| packets(&after, *key) != packets(&before, *key));
        let key = grown.next().unwrap();
        assert_eq!((grown.next(), key.0), (None, direction as u16), "one counter, of this direction");
        assert_eq!(packets(&after, key).0, packets(&before, key).0 + 1);
        assert_eq!(packets(&after, key).1, packets(&before, key).1 + frame.len() as u64);
        let (reason, _) = abi::REASONS[usize::from(key.1)];
        assert_eq!(answer, if reason == "passed" { UNSPEC } else { SHOT }, "{reason}");
        reason
    }
}

/// A BPF file system that nobody but this thread sees, and that goes with it.
fn bpf_file_system() -> PathBuf {
    // SAFETY: the thread has no file system state that another one relies on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.expect("unshare (needs root)");
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    rustix::mount::mount("bpf", "/sys/fs/bpf", "bpf", MountFlags::empty(), None).unwrap();
    PathBuf::from("/sys/fs/bpf/weft")
}
