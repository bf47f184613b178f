//! `weft uninstall`: says what weft has on this host and what its end means for containers, asks, and takes it away.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use weft_agent::config::{Config, Flags};
use weft_agent::uninstall::{self, Estate, Settings};
use weft_cli::{Part, Session, Uninstall};

/// Things that are named one by one; of more, the number.
const NAMED_MAX: usize = 10;

pub(crate) fn run(args: &Uninstall, session: &mut Session<'_>) -> Result<ExitCode> {
    if let Some(Part::Cni(cni)) = &args.part {
        cni.remove(session)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !rustix::process::geteuid().is_root() {
        bail!("weft's links, rules and files are for root to see and to take away: run this as root");
    }
    let config = Config::load(&flags(args))?;
    let locked = uninstall::keep_out(&config);
    if let (Err(error), true) = (&locked, args.dry_run) {
        writeln!(session.err, "weft: warning: {error:#}")?;
    }
    let _locked = locked.map(Some).or_else(|error| if args.dry_run { Ok(None) } else { Err(error) })?;
    let (estate, cni) = (find(args, &config)?, args.cni.files()?);
    if estate.is_empty() && cni.is_empty() {
        writeln!(session.out, "there is nothing of weft's on this host{}", kept(args))?;
        return Ok(ExitCode::SUCCESS);
    }
    session.out.write_all(inventory(&estate, &cni, args, &config).as_bytes())?;
    if args.dry_run {
        writeln!(session.out, "nothing was changed: this was a dry run")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !is_wished(args, session)? {
        writeln!(session.out, "nothing was changed")?;
        return Ok(ExitCode::FAILURE);
    }
    remove(&estate, args, &config, session)?;
    Ok(ExitCode::SUCCESS)
}

fn flags(args: &Uninstall) -> Flags {
    let Uninstall { config, run_dir, state_dir, bpf_dir, .. } = args;
    Flags {
        config: config.clone(),
        run_dir: run_dir.clone(),
        state_dir: state_dir.clone(),
        bpf_dir: bpf_dir.clone(),
        ..Flags::default()
    }
}

fn find(args: &Uninstall, config: &Config) -> Result<Estate> {
    let estate = Estate::find(config)?;
    Ok(if args.keep_state { estate.without_state() } else { estate })
}

/// On a terminal, people are asked; elsewhere nobody could answer.
fn is_wished(args: &Uninstall, session: &mut Session<'_>) -> Result<bool> {
    if args.yes {
        return Ok(true);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("nobody can be asked, since this is no terminal: add --yes if all of this shall go");
    }
    write!(session.out, "Take all of this away? [y/N] ")?;
    session.out.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Runtimes are told last: a configuration without an agent refuses containers, which is better than another's network.
fn remove(estate: &Estate, args: &Uninstall, config: &Config, session: &mut Session<'_>) -> Result<()> {
    let settings = if args.restore_settings { Settings::Restore } else { Settings::Leave };
    let removed = estate.remove(config, settings, &mut |done| {
        // Whatever becomes of the terminal, what was begun is finished.
        let _ = writeln!(session.out, "{done}");
    });
    let cni = if args.cni.files()?.is_empty() { Ok(()) } else { args.cni.remove(session) };
    removed.and(cni)?;
    let left = find(args, config)?;
    if !left.is_empty() {
        bail!("something is left, run this again:\n{}", inventory(&left, &[], args, config).trim_end());
    }
    Ok(writeln!(session.out, "nothing of weft's is left on this host{}, its programs and /etc/weft aside", kept(args))?)
}

fn kept(args: &Uninstall) -> &'static str {
    if args.keep_state { ", but for networks that people wrote" } else { "" }
}

/// All there is, and what its end means.
fn inventory(estate: &Estate, cni: &[PathBuf], args: &Uninstall, config: &Config) -> String {
    let mut sheet = Sheet::default();
    sheet.line("Networks", &estate.networks);
    sheet.line("Links", &estate.links.iter().map(|link| link.name.clone()).collect::<Vec<_>>());
    sheet.line("Parents", &estate.uplinks.iter().map(|link| link.name.clone()).collect::<Vec<_>>());
    sheet.line("Routes", &estate.routes.iter().map(|route| route.to.to_string()).collect::<Vec<_>>());
    let rules = estate.rules.iter().map(|rule| format!("oif {} lookup {}", rule.link, rule.table));
    sheet.line("Routing rules", &rules.collect::<Vec<_>>());
    let accepts = estate.accepts.iter().map(|(at, way)| format!("{:?} in {at}", way.comment()));
    sheet.line("Rules in chains of others", &accepts.collect::<Vec<_>>());
    sheet.line("nftables", if estate.has_table { &["table inet weft"] } else { &[] });
    sheet.line("BPF pins", &below(&config.bpf_dir, &estate.pins));
    sheet.line("Run directory", &below(&config.run_dir, &estate.run_files));
    sheet.line("State directory", &below(&config.state_dir, &estate.state_files));
    sheet.line("Container runtimes", &cni.iter().map(|path| path.display().to_string()).collect::<Vec<_>>());
    let mut text = format!("weft has on this host:\n{}", sheet.0);
    for unread in &estate.unread {
        text.push_str(&format!("{unread}; it goes unread\n"));
    }
    if !estate.settings.is_empty() {
        let fate = if args.restore_settings { "they are put back" } else { "they stay, without --restore-settings" };
        text.push_str(&format!("Settings that weft changed; {fate}:\n"));
        for setting in &estate.settings {
            text.push_str(&format!("  {}: was {}, is {}\n", setting.name, setting.was, setting.now));
        }
    }
    text.push_str(&match estate.endpoints.len() {
        0 => "No running container loses its network.\n".to_owned(),
        1 => format!("1 running endpoint loses its network at once:\n{}", named(estate)),
        number => format!("{number} running endpoints lose their network at once:\n{}", named(estate)),
    });
    text
}

fn named(estate: &Estate) -> String {
    let shown = estate.endpoints.iter().take(NAMED_MAX).map(|endpoint| format!("  {endpoint}\n"));
    shown.collect::<String>() + &more(estate.endpoints.len()).map_or_else(String::new, |more| format!("  {more}\n"))
}

fn more(number: usize) -> Option<String> {
    (number > NAMED_MAX).then(|| format!("and {} more", number - NAMED_MAX))
}

/// Paths without the directory that they are in, where they are in it.
fn below(directory: &Path, paths: &[PathBuf]) -> Vec<String> {
    let shown = paths.iter().map(|path| path.strip_prefix(directory).unwrap_or(path).display().to_string());
    let mut shown: Vec<_> = shown.collect();
    if let Some(first) = shown.first_mut() {
        *first = format!("{} below {}: {first}", paths.len(), directory.display());
    }
    shown
}

/// A line for each kind of thing that is there.
#[derive(Default)]
struct Sheet(String);

impl Sheet {
    fn line<S: AsRef<str>>(&mut self, kind: &str, things: &[S]) {
        if things.is_empty() {
            return;
        }
        let mut words: Vec<&str> = things.iter().take(NAMED_MAX).map(AsRef::as_ref).collect();
        let more = more(things.len());
        words.extend(more.as_deref());
        self.0.push_str(&format!("  {:26} {}\n", format!("{kind}:"), words.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};

    fn inventory_of(estate: &Estate) -> String {
        let command = Uninstall::augment_args(clap::Command::new("uninstall"));
        let matches = command.try_get_matches_from(["uninstall"]).unwrap();
        let args = Uninstall::from_arg_matches(&matches).unwrap();
        let config = Config::load(&Flags::default()).unwrap();
        inventory(estate, &[], &args, &config)
    }

    #[test]
    fn ten_are_named_and_of_the_rest_the_number() {
        let names = |number: usize| (1..=number).map(|n| format!("default/c{n}@eth0 on app")).collect::<Vec<_>>();
        let text = inventory_of(&Estate { endpoints: names(11), ..Estate::default() });
        assert!(text.contains("11 running endpoints lose their network at once:\n  default/c1@"), "{text}");
        assert!(text.ends_with("  default/c10@eth0 on app\n  and 1 more\n"), "{text}");
        let text = inventory_of(&Estate { endpoints: names(1), ..Estate::default() });
        assert!(text.ends_with("1 running endpoint loses its network at once:\n  default/c1@eth0 on app\n"), "{text}");
        let text = inventory_of(&Estate { networks: vec!["app".to_owned()], ..Estate::default() });
        let expected =
            "weft has on this host:\n  Networks:                  app\nNo running container loses its network.\n";
        assert_eq!(text, expected);
    }
}
