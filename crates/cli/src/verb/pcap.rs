//! `weft pcap`: the packets at an endpoint's door, dropped ones included, as text or as pcapng.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::signal::unix::{SignalKind, signal};
use weft_api::{Capture, CaptureWish, Packet, Packets, Row as _};

use crate::output::Output;
use crate::pcapng::{self, Direction, Record};
use crate::session::{Session, UsageError};
use crate::table::Columns;

/// How long one request waits for packets: so soon an interruption is noticed.
const WAIT: Duration = Duration::from_millis(250);
/// Of the file: packets are for its maker's eyes first.
const FILE_MODE: u32 = 0o600;
/// Exit code of who is interrupted again while ending, as shells have it.
const EXIT_INTERRUPTED: i32 = 130;

/// Arguments of `weft pcap`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// [NAMESPACE/]NAME, a container id or 4 and more of its first characters, or an address; @INTERFACE picks one of
    /// several
    endpoint: String,
    /// Write a file for tcpdump and Wireshark (pcapng), in place of one that is there; - is standard output
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// End after so many packets
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Take so many bytes of each packet, up to 65000
    #[arg(long, value_name = "BYTES")]
    snaplen: Option<u32>,
    /// Only what is dropped
    #[arg(long)]
    dropped: bool,
    /// Only what is sent to the endpoint, or what it sends
    #[arg(long, value_name = "DIRECTION", value_parser = ["in", "out"])]
    direction: Option<String>,
}

/// What came of a capture.
#[derive(Debug, Default)]
struct Tally {
    captured: u64,
    missed: u64,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        let is_interrupted = interruption().context("cannot listen to signals")?;
        let mut sink = self.sink(session)?;
        let wish = CaptureWish {
            endpoint: self.endpoint.clone(),
            direction: self.direction.clone(),
            dropped: self.dropped,
            snaplen: self.snaplen,
        };
        let capture: Capture = session.client.post("/v1/captures", &wish)?;
        let path = format!("/v1/captures/{}", capture.id);
        let mut tally = Tally::default();
        let followed = sink
            .begin(session, &capture)
            .and_then(|()| self.follow(session, &path, &mut sink, &mut tally, &is_interrupted));
        if followed.is_err() {
            // Without this it would end by itself, a little later.
            let _ = session.client.delete::<Packets>(&path);
        }
        let ended = sink.end(session, &tally);
        let Tally { captured, missed } = tally;
        writeln!(session.err, "{captured} packets captured, {missed} missed")?;
        followed.and(ended)
    }

    fn sink(&self, session: &Session<'_>) -> Result<Sink> {
        let Some(path) = &self.write else {
            return match session.output {
                Output::Name => Err(UsageError("-o name is for lists: use table, json or yaml".to_owned()).into()),
                Output::Table | Output::Json | Output::Yaml => Ok(Sink::Text(Columns::new(Packet::HEADER))),
            };
        };
        if session.output != Output::Table {
            return Err(UsageError("-w writes pcapng: leave -o away".to_owned()).into());
        }
        if path != Path::new("-") {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path);
            return Ok(Sink::File(file.with_context(|| format!("cannot write {}", path.display()))?));
        }
        if session.out_is_terminal {
            let refusal = "a terminal cannot show pcapng: name a file, or pipe it: `weft pcap ... -w - | tcpdump -r -`";
            return Err(UsageError(refusal.to_owned()).into());
        }
        Ok(Sink::Out)
    }

    /// Shows packets as they come, and at the end those that came last.
    fn follow(
        &self,
        session: &mut Session<'_>,
        path: &str,
        sink: &mut Sink,
        tally: &mut Tally,
        is_interrupted: &AtomicBool,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut is_over = false;
        loop {
            let left = self.seconds.map(|seconds| Duration::from_secs(seconds).saturating_sub(begun.elapsed()));
            let wanted = self.count.map_or(u64::MAX, |count| count - tally.captured);
            let is_last =
                is_over || left == Some(Duration::ZERO) || wanted == 0 || is_interrupted.load(Ordering::Relaxed);
            let wait_ms = left.map_or(WAIT, |left| left.min(WAIT)).as_millis();
            let mut packets: Packets = if is_last {
                session.client.delete(path)?
            } else {
                session.client.get(&format!("{path}?waitMs={wait_ms}"))?
            };
            packets.items.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
            tally.missed = packets.missed;
            tally.captured += packets.items.len() as u64;
            sink.take(session, &packets.items)?;
            if is_last {
                return Ok(());
            }
            if let Some(why) = packets.ended {
                session.warn(format_args!("the capture ended: {why}"))?;
                is_over = true;
            }
        }
    }
}

/// Where packets go.
enum Sink {
    /// A line each, on standard output.
    Text(Columns),
    /// As pcapng.
    File(File),
    /// As pcapng, on standard output.
    Out,
}

impl Sink {
    fn begin(&mut self, session: &mut Session<'_>, capture: &Capture) -> Result<()> {
        let interface = format!("{}@{}", capture.endpoint, capture.interface);
        let application = format!("weft {}", env!("CARGO_PKG_VERSION"));
        writeln!(session.err, "capturing at {interface}, up to {} bytes of a packet", capture.snaplen)?;
        self.write(session, || pcapng::head(&application, &interface, capture.snaplen))
    }

    fn end(&mut self, session: &mut Session<'_>, tally: &Tally) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.write(session, || pcapng::tail(now_us, tally.captured, tally.missed))
    }

    fn take(&mut self, session: &mut Session<'_>, packets: &[Packet]) -> Result<()> {
        let Sink::Text(columns) = self else {
            let blocks = packets.iter().map(block).collect::<Result<Vec<_>>>()?.concat();
            return self.write(session, || blocks);
        };
        for packet in packets {
            if session.output == Output::Table {
                session.out.write_all(columns.line(&packet.cells()).as_bytes())?;
            } else {
                writeln!(session.out, "{}", serde_json::to_string(packet)?)?;
            }
        }
        Ok(session.out.flush()?)
    }

    /// Writes a part of a file, where one is written.
    fn write(&mut self, session: &mut Session<'_>, part: impl FnOnce() -> Vec<u8>) -> Result<()> {
        match self {
            Sink::Text(_) => Ok(()),
            Sink::File(file) => Ok(file.write_all(&part())?),
            Sink::Out => {
                session.out.write_all(&part())?;
                Ok(session.out.flush()?)
            }
        }
    }
}

fn block(packet: &Packet) -> Result<Vec<u8>> {
    let data = STANDARD.decode(&packet.data).context("weftd gave a packet that is no base64")?;
    let direction = if packet.direction == "in" { Direction::Inbound } else { Direction::Outbound };
    let (time_us, bytes, comment) = (packet.time_us, packet.bytes, packet.fate());
    Ok(pcapng::packet(&Record { time_us, direction, bytes, data: &data, comment: &comment }))
}

/// Comes true when the program is told to end. Told so again, it ends at once.
fn interruption() -> Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupts, mut ends) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_interrupted);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! { _ = interrupts.recv() => {} _ = ends.recv() => {} }
                if told.swap(true, Ordering::Relaxed) {
                    std::process::exit(EXIT_INTERRUPTED);
                }
            }
        });
    })?;
    Ok(is_interrupted)
}
