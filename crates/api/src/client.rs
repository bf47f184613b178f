//! A client for programs that wait: one request, one answer, within a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::report::ErrorReply;
use crate::route::Method;

/// Where the agent listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/weft/weft.sock";
/// The variable that tells clients otherwise.
pub const SOCKET_VARIABLE: &str = "WEFT_SOCKET";

/// Largest request, in bytes, that client and agent take: a hundred networks at once, or a CNI configuration of 1
/// MiB with every byte escaped.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most objects that one request may change: a transaction of the store has no more (etcd's `--max-txn-ops`).
pub const OBJECTS_MAX: usize = 128;
/// Longest wait for an answer: a little more than the agent allows itself.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// Longest answer, in bytes: a thousand times what a host's endpoints take.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("cannot reach weftd at {socket}: {source}; is it running? (`weftd`, or `systemctl start weftd`)")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The agent refused.
    #[error("{}", .errors.join("\n"))]
    Refused {
        /// HTTP status.
        status: u16,
        /// One per fault.
        errors: Vec<String>,
    },
    /// The conversation broke off, or took too long.
    #[error("weftd at {socket} gave no usable answer: {reason}")]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// Speaks to one agent.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the agent that listens at `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where it speaks to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.parse(&self.call(Method::Get, path, Vec::new())?.1)
    }

    /// Sends `body`.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|e| self.broken(&e))?;
        self.parse(&self.call(Method::Post, path, body)?.1)
    }

    /// Deletes.
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.parse(&self.call(Method::Delete, path, Vec::new())?.1)
    }

    /// One call: status and body of the answer, with anything but success as an error.
    pub fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), CallError> {
        let (status, body) = self.exchange(method, path, body)?;
        if (200..300).contains(&status) {
            return Ok((status, body));
        }
        let errors = match serde_json::from_slice::<ErrorReply>(&body) {
            Ok(reply) => reply.errors,
            Err(_) => vec![format!("HTTP status {status}: {}", String::from_utf8_lossy(&body))],
        };
        Err(CallError::Refused { status, errors })
    }

    /// One call: status and body of the answer, whatever they are.
    pub fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), CallError> {
        if body.len() > REQUEST_BYTES_MAX {
            let error = format!("the request is larger than {REQUEST_BYTES_MAX} bytes: send fewer objects at once");
            return Err(CallError::Refused { status: 413, errors: vec![error] });
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| self.broken(&e))?;
        runtime.block_on(async {
            let work = self.speak(method, path, body);
            tokio::time::timeout(ANSWER_MAX, work).await.unwrap_or_else(|_| Err(self.broken(&"no answer in time")))
        })
    }

    async fn speak(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), CallError> {
        let unreachable = |source| CallError::Unreachable { socket: self.socket.clone(), source };
        let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| self.broken(&e))?;
        // It ends with the exchange; its errors show there.
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method.word())
            .uri(path)
            .header(HOST, "weft")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| self.broken(&e))?;
        let response = sender.send_request(request).await.map_err(|e| self.broken(&e))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|e| self.broken(&e))?.to_bytes().to_vec()))
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, CallError> {
        serde_json::from_slice(body).map_err(|e| self.broken(&e))
    }

    fn broken(&self, reason: &dyn std::fmt::Display) -> CallError {
        CallError::Broken { socket: self.socket.clone(), reason: reason.to_string() }
    }
}
