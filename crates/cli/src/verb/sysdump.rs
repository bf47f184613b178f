//! `weft sysdump`: one archive for a bug report, with and without a running weftd.
//!
//! ```text
//!   weft_api::ROUTES ─┐
//!   source::FILES     ├─► one file each ──► archive ──► NAME.tar.gz; its index.txt says what is in it,
//!   source::COMMANDS ─┘                                 and what is not and why
//! ```
//!
//! What cannot be had is a line of the index and stops nothing.

mod archive;
mod command;
mod source;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use weft_api::{API_VERSION, CallError, Client, Method, ROUTES, Route, Status};

use self::archive::Archive;
use crate::date;
use crate::session::Session;

/// Arguments of `weft sysdump`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write it [default: weft-sysdump-HOSTNAME-TIMESTAMP.tar.gz]
    #[arg(long, value_name = "FILE.tar.gz")]
    out: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            session.warn("not run as root: what only root may read is missing")?;
        }
        let title = title();
        let path = self.out.unwrap_or_else(|| PathBuf::from(format!("{title}.tar.gz")));
        let mut archive = Archive::create(&path, &title)?;
        let gathered = gather(&mut archive, session).and_then(|()| archive.finish());
        if gathered.is_err() {
            // Half an archive misleads; the first error is the one to tell.
            let _ = std::fs::remove_file(&path);
        }
        let contents = gathered.with_context(|| format!("cannot write {}", path.display()))?;
        let size = std::fs::metadata(&path)?.len().div_ceil(1024);
        writeln!(session.out, "wrote {}, {size} KiB:", path.display())?;
        session.out.write_all(contents.as_bytes())?;
        let care =
            "It holds addresses, names and labels of containers, and rules of this host: mind whom you send it to.";
        Ok(writeln!(session.out, "{care}")?)
    }
}

fn gather(archive: &mut Archive, session: &mut Session<'_>) -> Result<()> {
    let version = format!("weft {}, API {API_VERSION}\n", env!("CARGO_PKG_VERSION"));
    archive.add("versions.txt", "weft itself", version.as_bytes(), None)?;
    writeln!(session.out, "asking weftd at {}", session.client.socket().display())?;
    ask(archive, &session.client)?;
    writeln!(session.out, "reading files, settings and pins")?;
    for file in source::FILES {
        archive.take_file(&format!("files{file}"), file)?;
    }
    for (name, from, content) in source::listings() {
        match content {
            Ok(text) => archive.add(name, from, text.as_bytes(), None)?,
            Err(error) => archive.miss(name, from, error),
        }
    }
    writeln!(session.out, "running {}", source::programs().join(", "))?;
    for (name, argv) in source::COMMANDS {
        archive.take_output(name, argv)?;
    }
    let (filters, note) = source::filters();
    archive.take_outputs("commands/tc-filter.txt", "tc -s filter, of weft's links", &filters, note)
}

/// Routes that read and need to be told what is asked.
const QUESTIONS: [&str; 2] = ["/v1/why", "/v1/policies/rules"];

/// Every route that reads and needs nothing more to be asked.
fn ask(archive: &mut Archive, client: &Client) -> Result<()> {
    let mut answers = true;
    let is_whole = |route: &&Route| !route.path.contains('{') && !QUESTIONS.contains(&route.path);
    for route in ROUTES.iter().filter(|route| route.method == Method::Get).filter(is_whole) {
        let (name, from) = (name(route), format!("GET {}", route.path));
        if !answers {
            archive.miss(&name, &from, "likewise");
            continue;
        }
        match client.call(Method::Get, route.path, Vec::new()) {
            Ok((_, body)) => {
                archive.add(&name, &from, &body, None)?;
                if route.path == "/v1/status" {
                    add_process(archive, &body)?;
                }
            }
            // Whoever does not answer this will not answer the rest, and may take long not to do so.
            Err(error @ (CallError::Unreachable { .. } | CallError::Broken { .. })) => {
                archive.miss(&name, &from, &error);
                answers = false;
            }
            // Some want to be asked about something.
            Err(error) => archive.miss(&name, &from, error),
        }
    }
    Ok(())
}

/// `api/v1-ipam-check.json` for /v1/ipam/check.
fn name(route: &Route) -> String {
    let name = route.path.trim_start_matches('/').replace('/', "-");
    let has_shape = route.replies.iter().any(|reply| reply.status == 200 && reply.body.is_some());
    let extension = if name.contains('.') {
        ""
    } else if has_shape {
        ".json"
    } else {
        ".txt"
    };
    format!("api/{name}{extension}")
}

/// How weftd was started and what it uses, if it is where this program can see it.
fn add_process(archive: &mut Archive, status: &[u8]) -> Result<()> {
    let Ok(Status { pid, .. }) = serde_json::from_slice(status) else { return Ok(()) };
    ["cmdline", "status", "limits"]
        .iter()
        .try_for_each(|file| archive.take_file(&format!("weftd/{file}"), &format!("/proc/{pid}/{file}")))
}

/// `weft-sysdump-HOSTNAME-TIMESTAMP`, of letters, digits, dots and dashes.
fn title() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = host.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.', "_");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("weft-sysdump-{host}-{}", date::utc(now).replace([':', '-'], ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_name_of_its_own() {
        let mut names: Vec<_> = ROUTES.iter().filter(|route| route.method == Method::Get).map(name).collect();
        for expected in ["api/v1-openapi.json", "api/v1-ipam-check.json", "api/metrics.txt"] {
            assert!(names.iter().any(|name| name == expected), "{names:?}");
        }
        let number = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), number);
    }
}
