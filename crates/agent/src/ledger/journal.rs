//! The ledger's file: one line per event, each with its checksum, in memory-backed storage and never synced.
//!
//! It must outlive the agent, not the kernel: containers do not outlive that either. A line that is torn, or not
//! ours, ends the reading and is cut off. Whoever writes a birth pays for the lines of every death to come, so that
//! a full file system refuses births and never a death.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};
use weft_model::{Endpoint, EndpointKey, Labels, Limits, Route};

use super::change::Leased;

/// Bytes that the lines behind one birth take at most: that it is live, dies and is gone, each with an id of 255 and a
/// name of 15 bytes.
const LIFE_BYTES: u64 = 1024;
/// Bytes reserved at once.
const RESERVE_STEP: u64 = 256 * 1024;
/// A shorter journal is never rewritten.
const REWRITE_BYTES_MIN: u64 = 1024 * 1024;
/// Bytes of journal per endpoint beyond which it is rewritten: a few times what its lines take.
const REWRITE_BYTES_PER_ENDPOINT: u64 = 8 * 1024;

/// What can happen to the book.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    Open { pool: IpNet },
    Close { pool: IpNet },
    Released { address: IpAddr },
    Birth { endpoint: Box<Endpoint> },
    Live { key: EndpointKey },
    Limits { key: EndpointKey, limits: Limits },
    Allowed { key: EndpointKey, addresses: BTreeSet<IpNet> },
    Labels { key: EndpointKey, labels: Labels },
    Routes { key: EndpointKey, routes: Vec<Route>, source_routes: Vec<Route> },
    Lease { key: EndpointKey, leased: Box<Leased> },
    Death { key: EndpointKey },
    Gone { key: EndpointKey },
}

/// The ledger's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the ledger {path}: {source}; is its file system full or read-only?", path = .path.display())]
pub struct JournalError {
    action: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// Bytes up to which the file system has promised room.
    reserved: u64,
}

impl Journal {
    /// Opens or makes the file, and reads its events.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Vec<Event>), JournalError> {
        let error = |action| {
            let path = path.clone();
            move |source| JournalError { action, path, source }
        };
        let mut file = options().open(&path).map_err(error("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(error("read"))?;
        let (events, length) = parse(&bytes);
        if length < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - length, "the ledger's torn end is cut off");
            file.set_len(length as u64).map_err(error("mend"))?;
        }
        let length = length as u64;
        Ok((Self { path, file, length, reserved: length }, events))
    }

    /// Reads the events of a file that may be another process's, and leaves it as it is; none, if there is no file.
    pub(super) fn read(path: &Path) -> Result<Vec<Event>, JournalError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(parse(&bytes).0),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(JournalError { action: "read", path: path.to_owned(), source }),
        }
    }

    /// Adds a line.
    pub(super) fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        self.append_bytes(&encode(event))
    }

    /// Adds a line, once there is room for it and for the death of each of `live` endpoints.
    pub(super) fn append_reserving(&mut self, event: &Event, live: usize) -> Result<(), JournalError> {
        let line = encode(event);
        let needed = self.length + line.len() as u64 + live as u64 * LIFE_BYTES;
        if needed > self.reserved {
            self.reserved = self.reserve(&self.file, needed)?;
        }
        self.append_bytes(&line)
    }

    /// Whether the file is much longer than `live` endpoints need.
    pub(super) fn is_long(&self, live: usize) -> bool {
        self.length > REWRITE_BYTES_MIN + live as u64 * REWRITE_BYTES_PER_ENDPOINT
    }

    /// Replaces the file by one that holds just `events`; it is as it was if that fails.
    pub(super) fn rewrite(&mut self, events: &[Event], live: usize) -> Result<(), JournalError> {
        let path = self.path.with_extension("new");
        let bytes: Vec<u8> = events.iter().flat_map(encode).collect();
        let error = |source| JournalError { action: "rewrite", path: path.clone(), source };
        // A draft that an earlier agent left is in the way.
        let _ = std::fs::remove_file(&path);
        let made = options().create_new(true).open(&path).and_then(|mut file| file.write_all(&bytes).map(|()| file));
        let length = bytes.len() as u64;
        let kept = made.map_err(error).and_then(|file| {
            let reserved = self.reserve(&file, length + live as u64 * LIFE_BYTES)?;
            std::fs::rename(&path, &self.path).map_err(error)?;
            Ok((file, reserved))
        });
        match kept {
            Ok((file, reserved)) => {
                (self.file, self.length, self.reserved) = (file, length, reserved);
                Ok(())
            }
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn reserve(&self, file: &File, needed: u64) -> Result<u64, JournalError> {
        let end = needed.next_multiple_of(RESERVE_STEP);
        rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, end).map_err(|source| JournalError {
            action: "reserve room in",
            path: self.path.clone(),
            source: source.into(),
        })?;
        Ok(end)
    }

    fn append_bytes(&mut self, line: &[u8]) -> Result<(), JournalError> {
        if let Err(source) = self.file.write_all(line) {
            // A part of the line may be there; what is written later must not follow it.
            let _ = self.file.set_len(self.length);
            self.reserved = self.length;
            return Err(JournalError { action: "write", path: self.path.clone(), source });
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.read(true).append(true).create(true).mode(0o600);
    options
}

/// `CRC JSON\n`, the checksum as eight hex digits.
fn encode(event: &Event) -> Vec<u8> {
    let json = serde_json::to_vec(event).expect("events have string keys only");
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend(json);
    line.push(b'\n');
    line
}

/// The events of whole, sound lines, and how many bytes those take.
fn parse(bytes: &[u8]) -> (Vec<Event>, usize) {
    let (mut events, mut length) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(event) = parse_line(line) else { break };
        events.push(event);
        length += line.len();
    }
    (events, length)
}

fn parse_line(line: &[u8]) -> Option<Event> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(json)).then_some(())?;
    serde_json::from_slice(json).ok()
}

impl JournalError {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
