//! Changes by anybody are told by table.

use std::collections::BTreeSet;

use rustix::event::{PollFd, PollFlags, Timespec};
use weft_kernel::nft::{Event, Family, Monitor, OWN_TABLE, Policy, TableRef};

use crate::world::*;

fn changed(tables: &[(Family, &str)]) -> Event {
    let names = tables.iter().map(|(family, name)| TableRef { family: *family, name: (*name).to_owned() });
    Event::Changed(names.collect::<BTreeSet<_>>())
}

#[test]
fn changes_are_told_by_table_once_and_no_more() {
    let (netns, mut nft) = empty();
    let mut monitor = netns.run(Monitor::open).expect("enter").expect("a socket");
    assert_eq!(monitor.read().expect("read"), None);
    nft.replace(&table(vec![chain("forward", forward(Policy::Drop), vec![])])).expect("replaced");
    assert_eq!(monitor.wait().expect("told"), changed(&[(Family::Inet, OWN_TABLE)]));
    run(&netns, "iptables-nft -A FORWARD -j DROP", "");
    run(&netns, "nft add table netdev odd", "");
    let expected = changed(&[(Family::Ip, "filter"), (Family::Netdev, "odd")]);
    assert_eq!(monitor.wait().expect("told"), expected);
    assert_eq!(monitor.read().expect("read"), None);
}

#[test]
fn its_descriptor_is_readable_when_there_is_something_to_read() {
    let (netns, mut nft) = empty();
    let mut monitor = netns.run(Monitor::open).expect("enter").expect("a socket");
    let readable = |monitor: &Monitor| {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut [PollFd::new(monitor, PollFlags::IN)], Some(&now)).expect("polled")
    };
    assert_eq!(readable(&monitor), 0);
    nft.replace(&table(vec![])).expect("replaced");
    assert_eq!(readable(&monitor), 1);
    assert_eq!(monitor.read().expect("read"), Some(changed(&[(Family::Inet, OWN_TABLE)])));
    assert_eq!(readable(&monitor), 0);
}

#[test]
fn what_was_lost_is_told_as_lost_and_then_goes_on() {
    let (netns, mut nft) = empty();
    let mut monitor = netns.run(Monitor::open).expect("enter").expect("a socket");
    rustix::net::sockopt::set_socket_recv_buffer_size(&monitor, 4096).expect("a small queue");
    for _ in 0..50 {
        nft.replace(&table(vec![chain("forward", forward(Policy::Drop), vec![])])).expect("replaced");
    }
    assert_eq!(monitor.wait().expect("told"), Event::Overrun);
    while monitor.read().expect("read").is_some() {}
    nft.delete(OWN_TABLE).expect("deleted");
    assert_eq!(monitor.wait().expect("told"), changed(&[(Family::Inet, OWN_TABLE)]));
}
