//! `weft pcap`: packets as text and as a file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;

use serde_json::json;
use weft_api::{Capture, Packets};

use crate::agent::{Agent, Listening};
use crate::directory::Directory;
use crate::fixture;
use crate::golden::golden;
use crate::weft::{Into, weft, weft_into};

const SAID: &str = "capturing at shop/web-1@eth0, up to 96 bytes of a packet\n";

fn agent() -> Listening {
    let capture = Capture { id: "7".into(), endpoint: "shop/web-1".into(), interface: "eth0".into(), snaplen: 96 };
    Agent::new()
        .ok("POST /v1/captures", &capture)
        .ok("GET /v1/captures/7?waitMs=250", &fixture::packets())
        .ok("DELETE /v1/captures/7", &fixture::packets())
        .start()
}

#[test]
fn packets_are_lines_until_there_are_as_many_as_are_wanted() {
    let agent = agent();
    let outcome = weft(&agent.socket, "pcap web-1 --count 3 --snaplen 96 --dropped --direction in");
    assert_eq!(outcome.result, Ok(ExitCode::SUCCESS));
    golden("show/pcap.txt", &outcome.out);
    assert_eq!(outcome.err, format!("{SAID}3 packets captured, 7 missed\n"));
    let asked = agent.questions();
    let wish = json!({ "endpoint": "web-1", "direction": "in", "dropped": true, "snaplen": 96 });
    assert_eq!(asked[0], ("POST /v1/captures".to_owned(), wish));
    assert_eq!(asked.last().map(|(question, _)| question.as_str()), Some("DELETE /v1/captures/7"));
    let lines = weft(&agent.socket, "pcap web-1 --count 1 -o json").out;
    let packet: serde_json::Value = serde_json::from_str(&lines).expect("one line of JSON");
    assert_eq!(packet["data"], "AAECAwQ=");
}

#[test]
fn what_came_last_is_taken_at_the_end() {
    let agent = agent();
    let outcome = weft(&agent.socket, "pcap web-1 --seconds 0 -o json");
    assert_eq!((outcome.out.lines().count(), outcome.result), (2, Ok(ExitCode::SUCCESS)));
}

#[test]
fn a_file_is_pcapng_and_for_its_maker_alone() {
    let (agent, directory) = (agent(), Directory::new());
    let path = directory.path().join("web.pcapng");
    let outcome = weft(&agent.socket, &format!("pcap web-1 --count 2 -w {}", path.display()));
    assert_eq!((outcome.result, outcome.out.as_str()), (Ok(ExitCode::SUCCESS), ""));
    let file = fs::read(&path).expect("the file");
    assert_eq!(file[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    for text in ["shop/web-1@eth0", "passed: short", "dropped: network: An endpoint of another network"] {
        assert!(file.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_terminal_is_spared() {
    let agent = agent();
    let outcome = weft_into(Into::Terminal, &agent.socket, "pcap web-1 -w -");
    assert!(outcome.error().contains("tcpdump -r -"));
    assert!(agent.questions().is_empty(), "nothing was begun");
    let error = weft(&agent.socket, "pcap web-1 -w x -o json").error();
    assert_eq!(error, "-w writes pcapng: leave -o away");
}

#[test]
fn a_capture_that_ends_says_why() {
    let capture = Capture { id: "7".into(), endpoint: "a/b".into(), interface: "eth0".into(), snaplen: 96 };
    let ended = Packets { ended: Some("the endpoint is gone".into()), ..Packets::default() };
    let agent = Agent::new()
        .ok("POST /v1/captures", &capture)
        .ok("GET /v1/captures/7?waitMs=250", &ended)
        .ok("DELETE /v1/captures/7", &ended)
        .start();
    let outcome = weft(&agent.socket, "pcap b");
    assert_eq!(outcome.result, Ok(ExitCode::SUCCESS));
    assert!(outcome.err.ends_with("the capture ended: the endpoint is gone\n0 packets captured, 0 missed\n"));
}
