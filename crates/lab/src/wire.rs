//! What the library and the `weft-lab` program say to each other.
//!
//! With the keeper: one line of JSON in ([`Setup`]), lines of JSON out ([`Report`]).
//! With the launcher, over a unix socket, one connection per command: a [`Request`] with three descriptors in; a pidfd
//! out when the command has started, and an [`Outcome`] when it has ended. Closing the connection early kills the
//! command.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result, anyhow, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The launcher's socket, inside the host.
pub const LAUNCHER_SOCKET: &str = "/run/lab/launcher.sock";

/// How `weft-lab enter` is told to stay in the host's own network namespace.
pub const OWN_NETNS: &str = "-";

/// Most descriptors one message carries: stdin, stdout, stderr.
const DESCRIPTORS_MAX: usize = 3;

/// What the keeper is to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// Host name; also part of the names of its cgroup directories.
    pub name: String,
    /// Programs of the real host to show inside: (path there, path inside).
    pub programs: Vec<(PathBuf, PathBuf)>,
}

/// What the keeper and pid 1 tell the owner of the host, in this order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Pid 1 exists; its number as seen on the real host.
    Born {
        /// The number.
        init: u32,
    },
    /// Everything is mounted and the launcher listens.
    Ready,
    /// The host could not be made, and why. The end follows.
    Failed(String),
    /// All processes are gone.
    Ended {
        /// What could not be taken away, one line each.
        leftovers: Vec<String>,
    },
}

/// A command to run inside.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// Its whole environment. `PATH` also finds the program.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// The named network namespace it runs in; the host's own without one.
    pub netns: Option<String>,
}

/// How a command went.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It never started, and why.
    Failed(String),
    /// It ended with this wait status (`wait(2)`).
    Ended(i32),
}

/// A command that the launcher has started.
#[derive(Debug)]
pub struct Launched {
    /// Its pidfd.
    pub process: OwnedFd,
    connection: BufReader<UnixStream>,
}

impl Launched {
    /// Waits for the end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        match receive(&mut self.connection).context("the host ended before the command did")? {
            Outcome::Ended(status) => Ok(ExitStatus::from_raw(status)),
            Outcome::Failed(reason) => Err(anyhow!(reason)),
        }
    }
}

/// Has the launcher behind `socket` start a command.
pub fn launch(socket: &Path, request: &Request, stdio: [BorrowedFd<'_>; 3]) -> Result<Launched> {
    let mut stream = UnixStream::connect(socket).context("the host is not running")?;
    send_descriptors(&stream, &stdio)?;
    send(&mut stream, request)?;
    let process = receive_descriptors(&stream)?.pop();
    let mut connection = BufReader::new(stream);
    if let Some(process) = process {
        return Ok(Launched { process, connection });
    }
    match receive(&mut connection)? {
        Outcome::Failed(reason) => Err(anyhow!(reason)),
        Outcome::Ended(status) => bail!("the launcher passed no process, status {status}"),
    }
}

/// Writes one message as a line.
pub fn send(to: &mut impl Write, message: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    Ok(to.flush()?)
}

/// Reads one message. The end of the stream is an error.
pub fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<T> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        bail!("the other side is gone");
    }
    Ok(serde_json::from_str(&line)?)
}

/// Sends descriptors, perhaps none, along with one byte that has no meaning.
pub fn send_descriptors(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    rustix::net::sendmsg(stream, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives what [`send_descriptors`] sent.
pub fn receive_descriptors(stream: &UnixStream) -> Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let into = &mut [IoSliceMut::new(&mut byte)];
    let received = rustix::net::recvmsg(stream.as_fd(), into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        bail!("the other side is gone");
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    Ok(descriptors)
}
