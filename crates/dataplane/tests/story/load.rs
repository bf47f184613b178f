//! Programs and pins.

use weft_dataplane::{Loaded, abi};
use weft_model::MacAddr;

use crate::frames::udp;
use crate::world::{LINK, OWN, World, admission};

/// The kernel runs at most a million instructions of one program; this is what we allow ourselves.
const INSTRUCTIONS_MAX: usize = 4096;

#[test]
fn another_agent_finds_what_the_first_one_wrote() {
    let world = World::new();
    let frame = udp(("10.1.0.2", 1), ("198.51.100.1", 53));
    assert_eq!(world.sends(&frame), "passed");
    let next = Loaded::load(&world.directory).unwrap().enforce().unwrap();
    assert_eq!(next.admitted(), [LINK]);
    assert_eq!(next.counted(LINK).unwrap(), world.dataplane.counted(LINK).unwrap());
    assert_eq!(world.sends(&frame), "passed");
}

#[test]
fn programs_load_and_are_short() {
    let world = World::empty();
    let loaded = Loaded::load(&world.directory).unwrap();
    for (hook, program) in loaded.programs() {
        println!("hook {hook}: {} has {} instructions", program.name().display(), program.insn_cnt());
        assert!(program.insn_cnt() < INSTRUCTIONS_MAX);
    }
}

#[test]
fn a_full_map_refuses_by_name_and_lets_in_again_what_left() {
    let world = World::empty();
    let one = |n: u32| admission(&[], MacAddr([2, 0, 0, 0, (n >> 8) as u8, n as u8]), OWN);
    for link in 0..abi::ENDPOINTS_MAX {
        world.dataplane.admit(link, &one(link)).unwrap();
    }
    let error = world.dataplane.admit(abi::ENDPOINTS_MAX, &one(0)).unwrap_err().to_string();
    assert!(error.contains("weft_endpoints: all of its 16384 entries are taken"), "{error}");
    world.dataplane.dismiss(5).unwrap();
    world.dataplane.admit(abi::ENDPOINTS_MAX, &one(0)).unwrap();
}

#[test]
fn a_directory_that_holds_no_programs_is_refused_with_the_remedy() {
    let elsewhere = std::env::temp_dir().join(format!("weft-no-bpffs-{}", std::process::id()));
    let error = Loaded::load(&elsewhere).unwrap_err().to_string();
    std::fs::remove_dir_all(&elsewhere).unwrap();
    assert!(error.contains("mount -t bpf"), "{error}");
}
