//! A BPF file system and a network namespace of its own, weft's programs, and endpoints whose packets they see.
//!
//! The first endpoint is behind link 1, the loopback, by which a test run's packets come in unless told otherwise.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use libbpf_rs::{MapHandle, ProgramInput};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use weft_dataplane::{Admission, Dataplane, Loaded, Telling, abi};
use weft_model::MacAddr;

pub(crate) const LINK: u32 = 1;
/// Ends of a pair that nothing uses but for its numbers.
pub(crate) const OTHER_LINK: u32 = 2;
pub(crate) const THIRD_LINK: u32 = 3;
pub(crate) const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
pub(crate) const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);
/// Numbers of networks.
pub(crate) const OWN: u32 = 7;
pub(crate) const FOREIGN: u32 = 8;
/// TC_ACT_UNSPEC, TC_ACT_SHOT and TC_ACT_REDIRECT of include/uapi/linux/pkt_cls.h.
const UNSPEC: u32 = u32::MAX;
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;
/// Of `struct __sk_buff` (include/uapi/linux/bpf.h): its size, and where the number of the link is.
const CONTEXT_BYTES: usize = 192;
const CONTEXT_LINK_AT: usize = 40;
/// Likewise, the number of the link by which a packet came to the host; 0 of what the host itself sends.
const CONTEXT_CAME_BY_AT: usize = 36;
/// Bytes of a frame in front of its kind: the two Ethernet addresses.
const MACS_BYTES: usize = 12;
/// What became of a packet that went straight into the container it is for.
pub(crate) const HANDED_OVER: &str = "handed over";
/// What became of a packet that all have got it is for.
pub(crate) const HEARD: &str = "heard";
/// What became of a packet that goes by another link first.
pub(crate) const REDIRECTED: &str = "redirected";

pub(crate) struct World {
    pub(crate) directory: PathBuf,
    pub(crate) dataplane: Dataplane,
    loaded: Loaded,
    segments: Loaded,
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn admission(addresses: &[&str], mac: MacAddr, network: u32) -> Admission {
    let addresses = addresses.iter().map(|text| ip(text)).collect();
    let allowed = Vec::new();
    Admission {
        addresses,
        allowed,
        mac,
        network,
        mtu: 1500,
        isolated: false,
        by_stack: false,
        throttle: None,
        bridge: None,
        seat: None,
        leases: false,
    }
}

/// Another endpoint of the same network.
pub(crate) fn neighbour() -> Admission {
    admission(&["10.1.0.3", "fd61::3"], OTHER_MAC, OWN)
}

/// The endpoint and its [`neighbour`], in either family.
pub(crate) const PAIRS: [[(&str, u16); 2]; 2] =
    [[("10.1.0.2", 40000), ("10.1.0.3", 443)], [("fd61::2", 40000), ("fd61::3", 443)]];

impl World {
    /// With the endpoint 10.1.0.2, fd61::2 let in.
    pub(crate) fn new() -> Self {
        let world = Self::empty();
        world.dataplane.admit(LINK, &admission(&["10.1.0.2", "fd61::2"], MAC, OWN)).unwrap();
        world
    }

    /// With the [`neighbour`] let in, too, and the short way open to both.
    pub(crate) fn with_neighbour() -> Self {
        let world = Self::new();
        world.dataplane.admit(OTHER_LINK, &neighbour()).unwrap();
        world.dataplane.set_short_way(true).unwrap();
        world
    }

    pub(crate) fn empty() -> Self {
        Self::of(Telling::Flows)
    }

    /// Without endpoints, and with programs that tell so much.
    pub(crate) fn of(telling: Telling) -> Self {
        let directory = bpf_file_system();
        let loaded = Loaded::load(&directory, telling).unwrap();
        let dataplane = loaded.enforce().unwrap();
        let segments = loaded.load_segments().unwrap();
        Self { directory, dataplane, loaded, segments }
    }

    /// What becomes of a frame that the endpoint sends: `passed`, `handed over`, `redirected`, or the reason for which
    /// it is dropped. It is the same by the program's answer and by its counters, and nobody changes the frame, but for
    /// the Ethernet addresses of one that is handed over.
    pub(crate) fn sends(&self, frame: &[u8]) -> &'static str {
        self.sends_by(LINK, frame)
    }

    /// The same of a frame sent to the endpoint.
    pub(crate) fn gets(&self, frame: &[u8]) -> &'static str {
        self.gets_by(LINK, frame)
    }

    /// The same of a frame that the host forwards to the endpoint.
    pub(crate) fn gets_forwarded(&self, frame: &[u8]) -> &'static str {
        self.run((abi::HOOK_ENDPOINT_IN, LINK), THIRD_LINK, (LINK, abi::DIRECTION_IN), frame)
    }

    /// The same of a frame that the endpoint behind another link sends.
    pub(crate) fn sends_by(&self, link: u32, frame: &[u8]) -> &'static str {
        self.run((abi::HOOK_ENDPOINT_OUT, link), link, (link, abi::DIRECTION_OUT), frame)
    }

    /// The same of a frame sent to the endpoint behind another link.
    pub(crate) fn gets_by(&self, link: u32, frame: &[u8]) -> &'static str {
        self.run((abi::HOOK_ENDPOINT_IN, link), 0, (link, abi::DIRECTION_IN), frame)
    }

    /// What becomes of a frame that leaves by the parent [`LINK`], as the endpoint with this link is told.
    pub(crate) fn sends_by_parent(&self, link: u32, frame: &[u8]) -> &'static str {
        self.run((abi::HOOK_PARENT_OUT, LINK), LINK, (link, abi::DIRECTION_OUT), frame)
    }

    /// What becomes of a frame that comes by the parent that is this endpoint's own link.
    pub(crate) fn sends_by_own(&self, link: u32, frame: &[u8]) -> &'static str {
        self.run((abi::HOOK_PARENT_OUT, link), link, (link, abi::DIRECTION_OUT), frame)
    }

    /// The same of a frame that leaves by it.
    pub(crate) fn gets_by_own(&self, link: u32, frame: &[u8]) -> &'static str {
        self.run((abi::HOOK_PARENT_IN, link), 0, (link, abi::DIRECTION_IN), frame)
    }

    /// The same of a frame that comes in by the parent.
    pub(crate) fn gets_by_parent(&self, link: u32, frame: &[u8]) -> &'static str {
        self.run((abi::HOOK_PARENT_IN, LINK), 0, (link, abi::DIRECTION_IN), frame)
    }

    /// Whether a frame that comes in by the link to the outside, or that the host sends by it (`hook`), is handed to an
    /// endpoint: `on` if not, `dropped` if it may not be.
    pub(crate) fn at_uplink(&self, hook: u32, frame: &[u8]) -> &'static str {
        match self.answer((hook, THIRD_LINK), 0, frame, &mut vec![0; frame.len()]) {
            REDIRECT => REDIRECTED,
            SHOT => "dropped",
            UNSPEC => "on",
            other => panic!("{other}"),
        }
    }

    /// Both, of a frame that goes by the host's stack: passed at the door of who sends it, then at that of who gets it.
    pub(crate) fn carries(&self, from: u32, to: u32, frame: &[u8]) -> [&'static str; 2] {
        let gets = || self.run((abi::HOOK_ENDPOINT_IN, to), from, (to, abi::DIRECTION_IN), frame);
        [self.sends_by(from, frame), gets()]
    }

    /// What the program answers to a frame that the endpoint sends: `passed` or `dropped`. Nothing is said of counters.
    pub(crate) fn sends_uncounted(&self, frame: &[u8]) -> &'static str {
        let answer = self.answer((abi::HOOK_ENDPOINT_OUT, LINK), LINK, frame, &mut vec![0; frame.len()]);
        if answer == SHOT { "dropped" } else { "passed" }
    }

    /// A map by the name of its pin.
    pub(crate) fn pinned(&self, name: &str) -> MapHandle {
        MapHandle::from_pinned_path(self.directory.join(format!("v{}", abi::ABI_VERSION)).join(name)).unwrap()
    }

    fn answer(&self, (hook, link): (u32, u32), came_by: u32, frame: &[u8], out: &mut [u8]) -> u32 {
        let mut context = [0; CONTEXT_BYTES];
        context[CONTEXT_CAME_BY_AT..CONTEXT_CAME_BY_AT + 4].copy_from_slice(&came_by.to_ne_bytes());
        context[CONTEXT_LINK_AT..CONTEXT_LINK_AT + 4].copy_from_slice(&link.to_ne_bytes());
        let input = ProgramInput {
            context_in: Some(&mut context),
            data_in: Some(frame),
            data_out: Some(out),
            ..ProgramInput::default()
        };
        let mut programs = self.loaded.programs().chain(self.segments.programs());
        let (_, program) = programs.find(|(place, _)| *place == hook).unwrap();
        program.test_run(input).unwrap().return_value
    }

    /// `hook` with the link that has the packet; by which link it came; who is told of it, and in which direction.
    fn run(&self, at: (u32, u32), came_by: u32, (link, direction): (u32, u32), frame: &[u8]) -> &'static str {
        let (before, others_before) = (self.dataplane.counted(link).unwrap(), self.handed_over(link));
        let mut out = vec![0; frame.len()];
        let answer = self.answer(at, came_by, frame, &mut out);
        let is_handed_over = self.handed_over(link) > others_before;
        let same_from = if is_handed_over { MACS_BYTES } else { 0 };
        assert_eq!(out[same_from..], frame[same_from..], "nobody rewrites it");
        let after = self.dataplane.counted(link).unwrap();
        let packets = |counted: &std::collections::BTreeMap<_, abi::counter>, key| {
            counted.get(key).map_or((0, 0), |counter: &abi::counter| (counter.packets, counter.bytes))
        };
        let mut grown = after.keys().filter(|key| packets(&after, *key) != packets(&before, *key));
        let key = grown.next().unwrap();
        assert_eq!((grown.next(), key.0), (None, direction as u16), "one counter, of this direction");
        assert_eq!(packets(&after, key).0, packets(&before, key).0 + 1);
        assert_eq!(packets(&after, key).1, packets(&before, key).1 + frame.len() as u64);
        let (reason, _) = abi::REASONS[usize::from(key.1)];
        assert!(answer == REDIRECT || !is_handed_over, "{reason}");
        if answer == REDIRECT {
            return if is_handed_over { HANDED_OVER } else { REDIRECTED };
        }
        if (answer, reason) == (SHOT, "passed") {
            return HEARD;
        }
        assert_eq!(answer, if reason == "passed" { UNSPEC } else { SHOT }, "{reason}");
        reason
    }

    /// Packets that passed the doors of all other endpoints into their containers.
    fn handed_over(&self, link: u32) -> u64 {
        let others = self.dataplane.admitted().into_iter().filter(|other| *other != link);
        let passed = (abi::DIRECTION_IN as u16, abi::REASON_PASSED as u16);
        others.filter_map(|other| Some(self.dataplane.counted(other).unwrap().get(&passed)?.packets)).sum()
    }
}

/// Says that a test could not run here (CONTRIBUTING.md, "Tests").
pub(crate) fn skip(test: &str, reason: &str) {
    let Some(list) = std::env::var_os("WEFT_SKIP_FILE") else { return };
    let mut list = std::fs::File::options().append(true).create(true).open(list).unwrap();
    writeln!(list, "SKIP story::{test}: {reason}").unwrap();
}

/// A BPF file system and links that nobody but this thread sees, and that go with it.
fn bpf_file_system() -> PathBuf {
    // SAFETY: the thread has no file system state that another one relies on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWNET) }.expect("unshare (as root)");
    let made = Command::new("ip").args(["link", "add", "other", "type", "veth", "peer", "third"]).status().unwrap();
    assert!(made.success());
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    rustix::mount::mount("bpf", "/sys/fs/bpf", "bpf", MountFlags::empty(), None).unwrap();
    PathBuf::from("/sys/fs/bpf/weft")
}
