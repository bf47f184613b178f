//! `weft bench`: what weft costs, measured side by side with the bare kernel and with the reference, in one run.
//!
//! ```text
//!   weft bench attach ── orders, outcomes ──► weft bench perform, one in each host of the lab
//!     case, script, conduct                     contender::weft       shim ──► weftd
//!     question, record, report                  contender::bare       netlink, exec
//!                                               contender::reference  bridge, portmap, firewall
//! ```
//!
//! The rule of every bench: contenders take turns in every round of one run; what is compared is paired by round; the
//! answer is the median with its 95 % interval, and the verdict "met", "missed" or "not resolved at this noise".

mod case;
mod chance;
mod conduct;
mod contender;
mod measure;
mod network;
mod performer;
mod question;
mod record;
mod report;
mod script;
mod stage;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;
use weft_cli::{Output, Session, UsageError};
use weft_model::Attachment;

use case::Case;
use conduct::Plan;
use report::{Circumstances, Report};

/// A program's dynamic linker is named within so many bytes (elf(5), `PT_INTERP`, right behind the headers).
const LINKER_BYTES: usize = 4096;
/// Rounds of a quick run: every case has as few as it bears.
const QUICK_ROUNDS: u32 = 1;

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// What attaching a container costs, beside bare netlink and Debian's CNI plugins (as root, on an idle machine)
    Attach(Attach),
    /// Do as a runtime does, inside a host of the lab
    #[command(hide = true)]
    Perform,
}

/// Arguments of `weft bench attach`.
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// How containers are attached
    #[arg(long, value_name = "MODE", default_value = "all")]
    mode: Mode,
    /// Rounds; each case has its share of them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this case; may be repeated
    #[arg(long, value_name = "CASE", value_parser = PossibleValuesParser::new(case::CASES.map(|case| case.name)))]
    case: Vec<String>,
    /// A minute in all: few rounds, and without what is slowest
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Also write the result to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How containers are attached.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Mode {
    /// Ports of a Linux bridge
    Bridge,
    /// Links of their own, with host routes
    Routed,
    /// Both
    All,
}

impl Mode {
    fn attachments(self) -> &'static [Attachment] {
        match self {
            Mode::Bridge => &[Attachment::Bridge],
            Mode::Routed => &[Attachment::Routed],
            Mode::All => &[Attachment::Bridge, Attachment::Routed],
        }
    }
}

impl Bench {
    /// Measures.
    pub(crate) fn run(self, session: &mut Session<'_>) -> Result<ExitCode> {
        match self {
            Bench::Attach(attach) => attach.run(session),
            Bench::Perform => performer::perform(),
        }
    }
}

impl Attach {
    fn cases(&self) -> Vec<&'static Case> {
        let is_wanted = |case: &&Case| match self.case.as_slice() {
            [] => !(self.quick && case.slow),
            named => named.iter().any(|name| name == case.name),
        };
        case::CASES.into_iter().filter(is_wanted).collect()
    }

    fn run(&self, session: &mut Session<'_>) -> Result<ExitCode> {
        let render: fn(&Report) -> Result<String> = match session.output {
            Output::Table => |report| Ok(report.text()),
            Output::Json => Report::json,
            Output::Yaml | Output::Name => return Err(UsageError("use -o table or json".to_owned()).into()),
        };
        let rounds = if self.quick { QUICK_ROUNDS } else { self.rounds };
        let plan = Plan { attachments: self.mode.attachments(), cases: self.cases(), rounds };
        let circumstances = circumstances(rounds)?;
        let record = conduct::conduct(&plan, session.err)?;
        let shown = render(&Report::new(circumstances, &record))?;
        if let Some(path) = &self.out {
            std::fs::write(path, &shown).with_context(|| format!("cannot write {}", path.display()))?;
        }
        session.out.write_all(shown.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether a program names a dynamic linker, which is done at the start of its file.
fn linkage(program: &[u8]) -> &'static str {
    const LINKER: &[u8] = b"/ld-";
    let start = &program[..program.len().min(LINKER_BYTES)];
    if start.windows(LINKER.len()).any(|bytes| bytes == LINKER) { "dynamic" } else { "static" }
}

fn circumstances(rounds: u32) -> Result<Circumstances> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let date = weft_lab::stdout_of(Command::new("date").args(["--utc", "+%Y-%m-%d"]))?;
    let build = if cfg!(debug_assertions) { " (a debug build: figures mean nothing)" } else { "" };
    Ok(Circumstances {
        weft: format!("{}{build}", env!("CARGO_PKG_VERSION")),
        shim: linkage(&std::fs::read(weft_lab::programs::find("weft-cni")?)?),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        date: date.trim().to_owned(),
        rounds,
    })
}
