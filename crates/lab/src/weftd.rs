//! weftd in a host.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::{Daemon, Host, patience, programs};

/// The API's socket, inside.
const SOCKET: &str = "/run/weft/weft.sock";

/// How long one question whether weftd serves may take. Another follows.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A weftd that answers. Dropping it kills it.
#[derive(Debug)]
pub struct Weftd<'h> {
    host: &'h Host,
    argv: Vec<OsString>,
    daemon: Daemon,
}

impl<'h> Weftd<'h> {
    pub(crate) fn start<S: AsRef<OsStr>>(host: &'h Host, options: &[S]) -> Result<Self> {
        // The host shows what was built when it started; without it the error had better name the remedy.
        programs::find("weftd")?;
        let mut argv = vec![OsString::from("weftd")];
        argv.extend(options.iter().map(|option| option.as_ref().to_owned()));
        let daemon = run(host, &argv)?;
        Ok(Self { host, argv, daemon })
    }

    /// Its process id as seen on the real host.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// All that it and those before it have logged.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Kills it at once.
    pub fn kill9(&mut self) -> Result<()> {
        self.daemon.kill9().map(drop)
    }

    /// Asks it to end and waits for that.
    pub fn terminate(&mut self) -> Result<()> {
        self.daemon.terminate().map(drop)
    }

    /// Asks it to end, if it has not, and starts it anew with the same options.
    pub fn restart(&mut self) -> Result<()> {
        self.terminate()?;
        self.daemon = run(self.host, &self.argv)?;
        Ok(())
    }
}

fn run(host: &Host, argv: &[OsString]) -> Result<Daemon> {
    let daemon = host.spawn("weftd", argv)?;
    let socket = host.path(SOCKET);
    daemon.wait_ready(|| serves(&socket).unwrap_or(false))?;
    Ok(daemon)
}

/// Whether `GET /v1/version` is answered with success.
fn serves(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience(ANSWER_TIMEOUT)))?;
    stream.write_all(b"GET /v1/version HTTP/1.1\r\nHost: weft\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; b"HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(&status == b"HTTP/1.1 200")
}
