//! The archive: files as they come, and at the end an index of what is in it, of what is not, and why.

use std::fmt::{Display, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::command::{self, Limits};

/// Most bytes of one file; what is longer is cut off.
pub(super) const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Of the archive, which is for its maker's eyes first.
const ARCHIVE_MODE: u32 = 0o600;
/// Of what is in it.
const FILE_MODE: u32 = 0o644;

/// An archive that is being written.
pub(super) struct Archive {
    builder: Builder<GzEncoder<BufWriter<File>>>,
    /// The directory that everything in it is in.
    title: String,
    /// Seconds since 1970.
    made_s: u64,
    present: Vec<Present>,
    missing: String,
}

struct Present {
    name: String,
    bytes: usize,
    from: String,
    note: String,
}

impl Archive {
    /// Makes the file, which must not be there.
    pub(super) fn create(path: &Path, title: &str) -> Result<Self> {
        let file = match OpenOptions::new().write(true).create_new(true).mode(ARCHIVE_MODE).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("{} is there already: name another file with --out", path.display())
            }
            file => file.with_context(|| format!("cannot write {}", path.display()))?,
        };
        let made_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let builder = Builder::new(GzEncoder::new(BufWriter::new(file), Compression::default()));
        Ok(Self { builder, title: title.to_owned(), made_s, present: Vec::new(), missing: String::new() })
    }

    /// Adds a file, as much of it as may be.
    pub(super) fn add(&mut self, name: &str, from: &str, content: &[u8], note: Option<String>) -> Result<()> {
        let cut = (content.len() > FILE_BYTES_MAX).then(|| format!("cut off behind {FILE_BYTES_MAX} bytes"));
        let content = &content[..content.len().min(FILE_BYTES_MAX)];
        self.append(name, content)?;
        let note = note.into_iter().chain(cut).collect::<Vec<_>>().join(", ");
        self.present.push(Present { name: name.to_owned(), bytes: content.len(), from: from.to_owned(), note });
        Ok(())
    }

    /// Notes that a file is not in it.
    pub(super) fn miss(&mut self, name: &str, from: &str, reason: impl Display) {
        let reason = reason.to_string().replace('\n', " ");
        // Writing to a string cannot fail.
        let _ = writeln!(self.missing, "  {name} ({from}): {reason}");
    }

    /// Adds a file of this host.
    pub(super) fn take_file(&mut self, name: &str, path: &str) -> Result<()> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut content = Vec::new();
            File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut content)?;
            Ok(content)
        };
        match read() {
            Ok(content) => self.add(name, path, &content, None),
            Err(error) => {
                self.miss(name, path, error);
                Ok(())
            }
        }
    }

    /// Adds what a command prints.
    pub(super) fn take_output(&mut self, name: &str, argv: &[&str]) -> Result<()> {
        let from = argv.join(" ");
        match command::run(argv, &Limits::default()) {
            Ok(output) => self.add(name, &from, &output.bytes, output.note),
            Err(error) => {
                self.miss(name, &from, error);
                Ok(())
            }
        }
    }

    /// Adds what many commands print, each behind its own line; together they may take as long as one alone.
    pub(super) fn take_outputs(
        &mut self,
        name: &str,
        from: &str,
        commands: &[Vec<String>],
        mut note: Option<String>,
    ) -> Result<()> {
        let (began, mut limits) = (Instant::now(), Limits::default());
        let mut content = Vec::new();
        for argv in commands {
            content.extend(format!("$ {}\n", argv.join(" ")).into_bytes());
            let argv: Vec<_> = argv.iter().map(String::as_str).collect();
            match command::run(&argv, &limits) {
                Ok(output) => content.extend(output.bytes),
                Err(error) => {
                    self.miss(name, from, error);
                    return Ok(());
                }
            }
            limits.time = Limits::default().time.saturating_sub(began.elapsed());
            if limits.time.is_zero() || content.len() > limits.bytes {
                note = Some(format!("ended early: {} commands in all", commands.len()));
                break;
            }
        }
        self.add(name, from, &content, note)
    }

    /// Adds the index and closes the file; gives back the index.
    pub(super) fn finish(mut self) -> Result<String> {
        let index = self.index();
        let about = format!("{}\n\n{index}", self.title);
        self.append("index.txt", about.as_bytes())?;
        let mut file = self.builder.into_inner()?.finish()?;
        file.flush()?;
        Ok(index)
    }

    fn append(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(FILE_MODE);
        header.set_mtime(self.made_s);
        Ok(self.builder.append_data(&mut header, format!("{}/{name}", self.title), content)?)
    }

    fn index(&self) -> String {
        let name_width = self.present.iter().map(|file| file.name.len()).max().unwrap_or_default();
        let mut index = String::new();
        for Present { name, bytes, from, note } in &self.present {
            let note = if note.is_empty() { String::new() } else { format!(" [{note}]") };
            let _ = writeln!(index, "  {name:name_width$} {bytes:>9} bytes  {from}{note}");
        }
        if !self.missing.is_empty() {
            let _ = write!(index, "missing:\n{}", self.missing);
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn what_is_in_it_can_be_read_and_what_is_not_is_named() {
        let path = std::env::temp_dir().join(format!("weft-archive-{}.tar.gz", std::process::id()));
        let mut archive = Archive::create(&path, "t").unwrap();
        archive.add("a/long.txt", "memory", &vec![b'x'; FILE_BYTES_MAX + 1], None).unwrap();
        archive.take_file("b", "/nonexistent").unwrap();
        archive.take_output("c", &["sh", "-c", "echo out; echo err >&2; exit 3"]).unwrap();
        let many = [["echo", "a"], ["echo", "b"]].map(|argv| argv.map(str::to_owned).to_vec());
        archive.take_outputs("d", "echoes", &many, Some("2 of 3".to_owned())).unwrap();
        let index = archive.finish().unwrap();
        let again = Archive::create(&path, "t").err().unwrap().to_string();
        assert!(again.ends_with("is there already: name another file with --out"), "{again}");

        let mut read = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
        let entries = read.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            io::copy(&mut entry, &mut content).unwrap();
            (name, content)
        });
        let entries: Vec<_> = entries.collect();
        std::fs::remove_file(&path).unwrap();
        let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["t/a/long.txt", "t/c", "t/d", "t/index.txt"]);
        assert_eq!(entries[0].1.len(), FILE_BYTES_MAX);
        assert_eq!(entries[1].1, b"out\nerr\n");
        assert_eq!(entries[2].1, b"$ echo a\na\n$ echo b\nb\n");
        assert_eq!(entries[3].1, format!("t\n\n{index}").into_bytes());
        let expected = "  a/long.txt  16777216 bytes  memory [cut off behind 16777216 bytes]\n\
            \x20 c                  8 bytes  sh -c echo out; echo err >&2; exit 3 [exit status: 3]\n\
            \x20 d                 22 bytes  echoes [2 of 3]\n\
            missing:\n  b (/nonexistent): No such file or directory (os error 2)\n";
        assert_eq!(index, expected);
    }
}
