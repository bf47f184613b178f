//! The least that a path of programs costs: the host joins both links by nothing but programs that carry.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use libbpf_rs::{Object, ObjectBuilder, Program};
use weft_kernel::filter::{self, Programs};
use weft_kernel::{Netlink, link};
use weft_lab::Host;
use weft_netns::Netns;

use super::{Joined, pair};

/// Compiled from carry.bpf.c by build.rs; libbpf reads it at an address that eight divides.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static CARRY: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/carry.bpf.o")));
/// Where the compiler puts what is set before a program is loaded.
const SETTINGS: &str = ".rodata";

pub(super) fn join(host: &Host) -> Result<Joined> {
    let joined = pair::lay(host)?;
    let own = Netns::open(format!("/proc/{}/ns/net", host.init_pid()))?;
    own.run(carry_both_ways)?.context("cannot join the links by programs")?;
    Ok(joined)
}

/// In the host's namespace. The filters hold the programs.
fn carry_both_ways() -> Result<()> {
    let mut netlink = Netlink::open()?;
    let [client, server] = pair::DOORS;
    let (client_index, server_index) = (index_of(&mut netlink, client)?, index_of(&mut netlink, server)?);
    for (door, own, other) in [(client, client_index, server_index), (server, server_index, client_index)] {
        let object = load(other)?;
        let (out, into) = (program(&object, "carry_out")?, program(&object, "carry_in")?);
        netlink.run(&filter::attach(own, door, &Programs { out: out.as_fd(), into: into.as_fd() }))?;
    }
    Ok(())
}

fn index_of(netlink: &mut Netlink, door: &str) -> Result<u32> {
    Ok(link::find(netlink, door)?.with_context(|| format!("no link {door}"))?.index)
}

/// Programs that lead to the other end of link `other`.
fn load(other: u32) -> Result<Object> {
    let mut object = ObjectBuilder::default().open_memory(&CARRY.0)?;
    let settings = object.maps_mut().find(|map| map.name().to_string_lossy().ends_with(SETTINGS));
    settings.context("carry.bpf.c has no settings")?.set_initial_value(&other.to_ne_bytes())?;
    Ok(object.load()?)
}

fn program<'o>(object: &'o Object, name: &str) -> Result<Program<'o>> {
    object.progs().find(|program| program.name() == name).with_context(|| format!("carry.bpf.c has no {name}"))
}
