//! `weft bench`: what weft costs, measured side by side with the bare kernel and with the reference, in one run.
//!
//! ```text
//!   attach   what a container's birth and death cost
//!   path     what the way of a packet between containers of one host costs
//!   limit    what a limited endpoint really gets and gives
//!   sight    what it costs to tell of connections and drops
//!   policy   what policies cost, and how soon they are in force
//!   service  what it costs to go by a service, and how soon a change of one is in force
//!   run      what a command on a network costs, without a runtime
//!      │
//!      ├── prompter   speaks with the performers inside the hosts of the lab
//!      ├── gauge      the time that programs take
//!      ├── network, plugin   weftd, its network, and the shim as a runtime calls it
//!      └── chance, rounds, measure, report   the order of turns; figures and verdicts; text and JSON
//! ```
//!
//! The rule of every bench: contenders take turns in every round of one run; what is compared is paired by round; the
//! answer is the median with its 95 % interval, and the verdict "met", "missed" or "not resolved at this noise".

mod attach;
mod chance;
mod gauge;
mod limit;
mod measure;
mod network;
mod path;
mod plugin;
mod policy;
mod prompter;
mod report;
mod rounds;
mod run;
mod service;
mod sight;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use weft_cli::{Output, Session, UsageError};
use weft_model::Attachment;

use attach::Attach;
use limit::Limit;
use path::Path;
use policy::Policy;
use report::{Answer, Circumstances, Figure, Report};
use run::Run;
use service::Service;
use sight::Sight;

/// How weft attaches containers by pairs of links, one end of which is on the host.
const BY_PAIR: [Attachment; 2] = [Attachment::Bridge, Attachment::Routed];
/// How it attaches them on the segment of one of the host's links.
const ON_UPLINK: [Attachment; 2] = [Attachment::Macvlan, Attachment::Ipvlan];
/// How it has them join the physical network at all.
const PHYSICAL: [Attachment; 3] = [Attachment::Macvlan, Attachment::Ipvlan, Attachment::Device];
/// A program's dynamic linker is named within so many bytes (elf(5), `PT_INTERP`, right behind the headers).
const LINKER_BYTES: usize = 4096;

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    /// What attaching a container costs, beside bare netlink and Debian's CNI plugins (as root, on an idle machine)
    Attach(Attach),
    /// What the path between two containers of this host costs, beside a plain bridge, loopback and the kernel's own
    /// macvlan (as root, on an idle machine)
    Path(Path),
    /// What limits of 10, 100 and 1000 Mbit/s give in either direction (as root, on an idle machine)
    Limit(Limit),
    /// What the programs' time per packet is more if they tell of connections and drops (as root, on an idle machine)
    Sight(Sight),
    /// What policies cost, beside nftables and iptables with the same rules, and how soon they are in force (as root,
    /// on an idle machine)
    Policy(Policy),
    /// What it costs to go by a service, beside nftables and iptables with the same services, and how soon a change of
    /// one is in force (as root, on an idle machine)
    Service(Service),
    /// What a command by `weft run` costs, beside one in an empty network namespace (as root, on an idle machine)
    Run(Run),
    /// Do as a bench says, inside a host of the lab
    #[command(hide = true)]
    Perform {
        /// Which bench
        bench: Stage,
    },
}

/// Where one performs.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Stage {
    /// As a container runtime
    Attach,
    /// As a container
    Path,
    /// As somebody at a terminal
    Run,
}

/// Options of every bench.
#[derive(Debug, clap::Args)]
struct Options {
    /// How containers are attached
    #[arg(long, value_name = "MODE", default_value = "all")]
    mode: Mode,
    /// A minute in all: few rounds, and nothing that is slow
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
    /// On the segment of one of the host's links, with Ethernet addresses of their own
    Macvlan,
    /// Links on one of the host's that share its Ethernet address
    Ipvlan,
    /// Devices of the host's that move in
    Device,
    /// All that the bench measures and the kernel has
    All,
}

impl Mode {
    /// What is asked for of what a bench measures.
    fn among(self, measured: &[Attachment]) -> Result<Vec<Attachment>, UsageError> {
        let only = match self {
            Mode::Bridge => Attachment::Bridge,
            Mode::Routed => Attachment::Routed,
            Mode::Macvlan => Attachment::Macvlan,
            Mode::Ipvlan => Attachment::Ipvlan,
            Mode::Device => Attachment::Device,
            Mode::All => return Ok(measured.to_vec()),
        };
        if measured.contains(&only) {
            return Ok(vec![only]);
        }
        let modes = words(measured);
        Err(UsageError(format!("this bench has nothing to hold {only} against: write --mode all, {modes}")))
    }
}

impl Bench {
    /// Measures, and shows what came of it.
    ///
    /// # Errors
    ///
    /// [`UsageError`] for what this bench does not measure; else why it could not.
    pub fn run(self, session: &mut Session<'_>) -> Result<ExitCode> {
        match self {
            Bench::Attach(attach) => attach.run(session),
            Bench::Path(path) => path.run(session),
            Bench::Limit(limit) => limit.run(session),
            Bench::Sight(sight) => sight.run(session),
            Bench::Policy(policy) => policy.run(session),
            Bench::Service(service) => service.run(session),
            Bench::Run(run) => run.run(session),
            Bench::Perform { bench: Stage::Attach } => attach::perform(),
            Bench::Perform { bench: Stage::Path } => path::perform(),
            Bench::Perform { bench: Stage::Run } => run::perform(),
        }
    }
}

/// What a bench has found out.
struct Findings<F> {
    answers: Vec<Answer>,
    /// As [`Report::legend`].
    legend: &'static [&'static str],
    figures: Vec<F>,
}

impl Options {
    /// Measures what is asked for of `measured`, which may tell how far it is, and shows what came of it.
    fn publish<F: Figure>(
        &self,
        session: &mut Session<'_>,
        rounds: u32,
        measured: &[Attachment],
        measure: impl FnOnce(&[Attachment], &mut dyn Write) -> Result<Findings<F>>,
    ) -> Result<ExitCode> {
        let render: fn(&Report<F>) -> Result<String> = match session.output {
            Output::Table => |report| Ok(report.text()),
            Output::Json => Report::json,
            Output::Yaml | Output::Name => return Err(UsageError("use -o table or json".to_owned()).into()),
        };
        let wanted = self.mode.among(measured)?;
        let absent = network::absent(&wanted)?;
        let present: Vec<_> = wanted.into_iter().filter(|attachment| !absent.contains(attachment)).collect();
        ensure!(!present.is_empty(), "the kernel has no links for {}", words(&absent));
        let circumstances = circumstances(rounds)?;
        let Findings { answers, legend, figures } = measure(&present, session.err)?;
        let shown = render(&Report { circumstances, answers, legend, absent, figures })?;
        if let Some(path) = &self.out {
            std::fs::write(path, &shown).with_context(|| format!("cannot write {}", path.display()))?;
        }
        session.out.write_all(shown.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn words(attachments: &[Attachment]) -> String {
    attachments.iter().map(|attachment| attachment.word()).collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_one_that_the_bench_measures() {
        assert_eq!(Mode::All.among(&BY_PAIR).unwrap(), BY_PAIR);
        assert_eq!(Mode::Routed.among(&BY_PAIR).unwrap(), [Attachment::Routed]);
        let refused = Mode::Macvlan.among(&BY_PAIR).unwrap_err().to_string();
        assert_eq!(refused, "this bench has nothing to hold macvlan against: write --mode all, bridge, routed");
    }
}
