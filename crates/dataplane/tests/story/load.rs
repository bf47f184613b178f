//! Programs and pins.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType, libbpf_sys};
use weft_dataplane::{Loaded, Telling, abi, has_programs_in_front};

use crate::frames::udp;
use crate::world::{LINK, MAC, OTHER_LINK, OWN, World, admission, skip};

/// What we allow ourselves of one program.
const INSTRUCTIONS_MAX: usize = 4096;
/// The kernel's verifier goes through at most a million, on all ways through a program
/// (BPF_COMPLEXITY_LIMIT_INSNS), and a host's first container waits for it.
const VERIFIED_MAX: u32 = 100_000;

#[test]
fn another_agent_finds_what_the_first_one_wrote() {
    let world = World::new();
    let frame = udp(("10.1.0.2", 1), ("198.51.100.1", 53));
    assert_eq!(world.sends(&frame), "passed");
    let next = Loaded::load(&world.directory, Telling::Flows).unwrap().enforce().unwrap();
    assert_eq!(next.admitted(), [LINK]);
    assert_eq!(next.counted(LINK).unwrap(), world.dataplane.counted(LINK).unwrap());
    assert_eq!(world.sends(&frame), "passed");
}

#[test]
fn an_agent_of_another_layout_knows_what_the_one_before_it_knew() {
    let world = World::new();
    world.dataplane.set_short_way(true).unwrap();
    let (out, back) = (udp(("10.1.0.2", 1), ("198.51.100.1", 53)), udp(("198.51.100.1", 53), ("10.1.0.2", 1)));
    assert_eq!([world.sends(&out), world.gets(&back)], ["passed"; 2]);
    let (counted, flows) = (world.dataplane.counted(LINK).unwrap(), world.dataplane.flows(Duration::ZERO).unwrap());
    // As if another version had made them: its values have less at their ends, one map is unknown to us.
    std::fs::rename(world.directory.join(format!("v{}", abi::ABI_VERSION)), world.directory.join("v8")).unwrap();
    shorten(&world.directory.join("v8/weft_endpoints"), 4);
    std::fs::rename(world.directory.join("v8/weft_peers"), world.directory.join("v8/weft_else")).unwrap();

    let next = Loaded::load(&world.directory, Telling::Flows).unwrap().enforce().unwrap();
    assert_eq!(next.admitted(), [LINK]);
    assert!(next.has_admitted(LINK, &admission(&["10.1.0.2", "fd61::2"], MAC, OWN)).unwrap());
    assert_eq!(next.counted(LINK).unwrap(), counted);
    assert!(next.has_short_way().unwrap());
    let kept = next.flows(Duration::ZERO).unwrap();
    assert_eq!((kept.len(), kept[0].state, kept[0].opener), (1, flows[0].state, flows[0].opener));
    assert!(!world.directory.join("v8").exists(), "nothing is left of the old ones");
}

/// Puts a map whose values are shorter by so many bytes in the place of this one.
fn shorten(pin: &Path, bytes: u32) {
    let map = MapHandle::from_pinned_path(pin).unwrap();
    let (key, value) = (map.key_size(), map.value_size() - bytes);
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
        map_flags: libbpf_sys::BPF_F_NO_PREALLOC,
        ..Default::default()
    };
    let mut short = MapHandle::create(MapType::Hash, Some("shorter"), key, value, map.max_entries(), &options).unwrap();
    for key in map.keys() {
        let value = map.lookup(&key, MapFlags::ANY).unwrap().unwrap();
        short.update(&key, &value[..value.len() - bytes as usize], MapFlags::ANY).unwrap();
    }
    std::fs::remove_file(pin).unwrap();
    short.pin(pin).unwrap();
}

/// How many instructions the verifier went through.
fn verified(program: BorrowedFd<'_>) -> u32 {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut bytes = u32::try_from(size_of_val(&info)).unwrap();
    // SAFETY: the kernel writes so many bytes, to what lives through the call.
    let asked =
        unsafe { libbpf_sys::bpf_obj_get_info_by_fd(program.as_raw_fd(), (&raw mut info).cast(), &raw mut bytes) };
    assert_eq!(asked, 0);
    info.verified_insns
}

#[test]
fn programs_load_and_are_short() {
    let world = World::empty();
    let loaded = Loaded::load(&world.directory, Telling::Flows).unwrap();
    let segments = loaded.load_segments().unwrap();
    let mut dearest = 0;
    for (hook, program) in loaded.programs().chain(segments.programs()) {
        let (name, verified) = (program.name().display(), verified(program.as_fd()));
        println!("hook {hook}: {name} has {} instructions, {verified} to verify", program.insn_cnt());
        assert!(program.insn_cnt() < INSTRUCTIONS_MAX);
        dearest = dearest.max(verified);
    }
    assert!(dearest < VERIFIED_MAX);
}

#[test]
fn programs_load_whatever_their_knobs_say() {
    for telling in [Telling::Flows, Telling::Nothing] {
        let world = World::of(telling);
        world.dataplane.trial().unwrap();
    }
}

#[test]
fn programs_in_front_of_ours_are_noticed() {
    let world = World::empty();
    let loaded = Loaded::load(&world.directory, Telling::Flows).unwrap();
    let (_, program) = loaded.programs().next().unwrap();
    assert!(!has_programs_in_front(OTHER_LINK));
    let hook = libbpf_sys::BPF_TCX_INGRESS;
    // SAFETY: numbers only; without options.
    let attached = unsafe {
        libbpf_sys::bpf_link_create(program.as_fd().as_raw_fd(), OTHER_LINK.cast_signed(), hook, std::ptr::null())
    };
    if attached < 0 {
        let reason = std::io::Error::last_os_error();
        return skip("load::programs_in_front_of_ours_are_noticed", &format!("no tcx before Linux 6.6: {reason}"));
    }
    assert!(has_programs_in_front(OTHER_LINK));
}

#[test]
fn a_directory_that_holds_no_programs_is_refused_with_the_remedy() {
    let elsewhere = std::env::temp_dir().join(format!("weft-no-bpffs-{}", std::process::id()));
    let error = Loaded::load(&elsewhere, Telling::Flows).unwrap_err().to_string();
    std::fs::remove_dir_all(&elsewhere).unwrap();
    assert!(error.contains("mount -t bpf"), "{error}");
}
