//! An agent on a socket of its own, which takes one request and answers as it is told.

use std::fs;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::Value;

/// A directory that goes with the value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weft-cni-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("make a directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("remove the directory");
    }
}

/// What the agent saw of a request.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Value,
    pub(crate) descriptor: Option<OwnedFd>,
}

/// Waits for one request in a thread of its own.
pub(crate) struct Agent {
    directory: Directory,
    thread: JoinHandle<Request>,
}

impl Agent {
    /// Gives `status` and `body` for an answer.
    pub(crate) fn answering(status: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
        Self::sending([format!("{text}connection: close\r\n\r\n{body}").into_bytes()])
    }

    /// Sends these parts, one after the other, and hangs up.
    pub(crate) fn sending(parts: impl IntoIterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self::doing(move |mut stream| {
            let request = take_request(&mut stream);
            for part in parts {
                // The shim may have heard enough already.
                let _ = stream.write_all(&part);
            }
            request
        })
    }

    /// Hangs up as soon as it is called.
    pub(crate) fn hanging_up() -> Self {
        Self::doing(|_| Request { head: String::new(), body: Value::Null, descriptor: None })
    }

    /// Answers before it has read more than the head.
    pub(crate) fn answering_early(status: &str) -> Self {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        Self::doing(move |mut stream| {
            let (head, ..) = take_head(&mut stream);
            stream.write_all(answer.as_bytes()).expect("answer");
            Request { head, body: Value::Null, descriptor: None }
        })
    }

    fn doing(work: impl FnOnce(UnixStream) -> Request + Send + 'static) -> Self {
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.path().join("weft.sock")).expect("listen");
        let thread = std::thread::spawn(move || work(listener.accept().expect("be called").0));
        Self { directory, thread }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("weft.sock")
    }

    /// What it was asked.
    pub(crate) fn request(self) -> Request {
        self.thread.join().expect("the agent's thread")
    }
}

fn take_request(stream: &mut UnixStream) -> Request {
    let (head, mut body, descriptor) = take_head(stream);
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let length: usize = length.parse().expect("a number");
    let mut rest = vec![0; length - body.len()];
    stream.read_exact(&mut rest).expect("the whole body");
    body.extend(rest);
    Request { head, body: serde_json::from_slice(&body).expect("JSON"), descriptor }
}

/// The head, what came with it of the body, and the descriptor beside the first bytes.
fn take_head(stream: &mut UnixStream) -> (String, Vec<u8>, Option<OwnedFd>) {
    let (mut bytes, descriptor) = receive(stream);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return (String::from_utf8(bytes).expect("UTF-8"), body, descriptor);
        }
        let (more, none) = receive(stream);
        assert!(!more.is_empty() && none.is_none(), "descriptors come with the first bytes");
        bytes.extend(more);
    }
}

fn receive(stream: &UnixStream) -> (Vec<u8>, Option<OwnedFd>) {
    let mut bytes = vec![0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let count =
        rustix::net::recvmsg(stream, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC).expect("receive").bytes;
    bytes.truncate(count);
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    assert!(descriptors.len() <= 1, "one namespace, one descriptor");
    (bytes, descriptors.pop())
}
