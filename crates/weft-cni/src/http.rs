//! One exchange of HTTP/1.1 on a unix socket: a request, its answer, a limit on bytes and time.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::socket;

/// Largest answer, in bytes, head included: a thousand times the usual result.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes taken at once: more than the usual answer has.
const READ_BYTES: usize = 16 * 1024;
/// How much of an unexpected answer is shown, in characters.
const SHOWN_CHARS_MAX: usize = 500;

/// Why there is no answer to print.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) msg: &'static str,
    pub(crate) details: String,
}

/// An answer that came whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Only 200 and 422 bring what CNI wants to see.
    pub(crate) fn expect_cni(self) -> Result<Self, Failure> {
        if matches!(self.status, 200 | 422) {
            return Ok(self);
        }
        let body: String = String::from_utf8_lossy(&self.body).trim().chars().take(SHOWN_CHARS_MAX).collect();
        Err(Failure { msg: "weftd did not take the request", details: format!("HTTP status {}: {body}", self.status) })
    }
}

/// A whole request.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: weft\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Sends `request` to `path`, with `descriptor` beside its first bytes, and waits for the answer until `deadline`.
pub(crate) fn exchange(
    path: &Path,
    request: &[u8],
    descriptor: Option<File>,
    deadline: Instant,
) -> Result<Response, Failure> {
    let mut stream = remaining(deadline).and_then(|time| socket::connect(path, time)).map_err(|error| {
        let absent = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused);
        let msg = if absent { "weftd is not running" } else { "weftd cannot be reached" };
        Failure { msg, details: error.to_string() }
    })?;
    // Who is refused early may not be able to send all of it, and is answered all the same.
    let sent = send(&mut stream, request, descriptor);
    receive(&mut stream, deadline).map_err(|reason| {
        let details = sent.err().map_or(reason, |error| format!("cannot send the request: {error}"));
        Failure { msg: "weftd did not answer", details }
    })
}

fn send(stream: &mut UnixStream, request: &[u8], descriptor: Option<File>) -> io::Result<()> {
    let sent = match descriptor {
        Some(descriptor) => socket::send_with_descriptor(stream, request, &descriptor)?,
        None => 0,
    };
    stream.write_all(&request[sent..])
}

fn receive(stream: &mut UnixStream, deadline: Instant) -> Result<Response, String> {
    let mut answer = Vec::new();
    let mut bytes = [0; READ_BYTES];
    loop {
        let time = remaining(deadline).map_err(|error| error.to_string())?;
        let count = match stream.set_read_timeout(Some(time)).and_then(|()| stream.read(&mut bytes)) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(late().to_string()),
            Err(error) => return Err(error.to_string()),
        };
        answer.extend_from_slice(&bytes[..count]);
        if let Some(response) = parse(&answer, count == 0)? {
            return Ok(response);
        }
    }
}

/// The time that is left: never zero, which would mean no limit.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let time = deadline.saturating_duration_since(Instant::now());
    if time.is_zero() { Err(late()) } else { Ok(time) }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "no answer in time")
}

/// The response, once all of it is there; `ended` says that no more will come.
fn parse(answer: &[u8], ended: bool) -> Result<Option<Response>, String> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes"));
    }
    let whole = match answer.windows(4).position(|four| four == b"\r\n\r\n") {
        None => None,
        Some(end) => {
            let (status, length) = parse_head(&answer[..end])?;
            let body = &answer[end + 4..];
            let body = match length {
                Some(length) => body.get(..length),
                None => ended.then_some(body),
            };
            body.map(|body| Response { status, body: body.to_vec() })
        }
    };
    if whole.is_none() && ended { Err("the answer broke off".to_owned()) } else { Ok(whole) }
}

/// Status and length of the body, if it is told.
fn parse_head(head: &[u8]) -> Result<(u16, Option<usize>), String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| format!("the answer is not HTTP/1.1: {first:?}"))?;
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse().map_err(|_| format!("the answer has the length {value:?}"))?);
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(format!("the answer comes in the encoding {value:?}"));
        }
    }
    Ok((status, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    fn response(status: u16, body: &str) -> Response {
        Response { status, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_response_is_whole_once_its_length_is_there() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nDate: x\r\n\r\nhello";
        for cut in 0..text.len() {
            assert_eq!(parse(&text[..cut], false), Ok(None), "{cut}");
            assert_eq!(parse(&text[..cut], true), Err("the answer broke off".to_owned()), "{cut}");
        }
        assert_eq!(parse(text, false), Ok(Some(response(200, "hello"))));
    }

    #[test]
    fn a_response_without_length_lasts_until_the_end() {
        let text = b"HTTP/1.0 422 Unprocessable Entity\r\n\r\n{}";
        assert_eq!(parse(text, false), Ok(None));
        assert_eq!(parse(text, true), Ok(Some(response(422, "{}"))));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "SSH-2.0\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(parse(text.as_bytes(), false).is_err(), "{text:?}");
        }
        let large = vec![b'x'; ANSWER_BYTES_MAX + 1];
        assert_eq!(parse(&large, false), Err("the answer is larger than 4194304 bytes".to_owned()));
    }

    #[test]
    fn only_results_and_errors_of_cni_are_passed_on() {
        assert!(response(200, "").expect_cni().is_ok());
        assert!(response(422, "{}").expect_cni().is_ok());
        let failure = response(503, "  busy\n").expect_cni().expect_err("no answer of CNI");
        assert_eq!(failure.details, "HTTP status 503: busy");
    }

    /// A socket where somebody listens and never says a word.
    struct Silence {
        path: PathBuf,
        _listener: UnixListener,
    }

    impl Silence {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("weft-cni-{name}-{}.sock", std::process::id()));
            let _listener = UnixListener::bind(&path).expect("bind");
            Self { path, _listener }
        }
    }

    impl Drop for Silence {
        fn drop(&mut self) {
            std::fs::remove_file(&self.path).expect("remove");
        }
    }

    #[test]
    fn waiting_for_an_answer_ends_at_the_deadline() {
        let silence = Silence::new("silent");
        let deadline = Instant::now() + Duration::from_millis(20);
        let failure = exchange(&silence.path, b"GET", None, deadline).expect_err("nobody answers");
        assert_eq!((failure.msg, failure.details.as_str()), ("weftd did not answer", "no answer in time"));
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn waiting_for_a_full_listener_ends_at_the_deadline() {
        let silence = Silence::new("full");
        let soon = || Instant::now() + Duration::from_millis(20);
        let mut queued = Vec::new();
        let refused = loop {
            match socket::connect(&silence.path, remaining(soon()).expect("time")) {
                Ok(stream) => queued.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        let failure = exchange(&silence.path, b"GET", None, soon()).expect_err("nobody takes it");
        assert_eq!(failure.msg, "weftd cannot be reached");
    }
}
