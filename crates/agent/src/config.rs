//! How the agent is started: flags over /etc/weft/weft.toml over defaults. One table of settings serves all three.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Parser;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;
use weft_dataplane::Telling;

/// Read if it is there.
pub const DEFAULT_FILE: &str = "/etc/weft/weft.toml";

/// A setting that is on or off.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

/// As the configuration file has it, since [`Config::show`] writes all settings by `Debug`.
impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Switch::On => "\"on\"",
            Switch::Off => "\"off\"",
        })
    }
}

/// Prefixes, one after the other.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Pools(pub Vec<IpNet>);

/// Private ones (RFC 1918; RFC 4193) that nobody else takes by default.
impl Default for Pools {
    fn default() -> Self {
        let v4 = Ipv4Net::new_assert(Ipv4Addr::new(10, 247, 0, 0), 16);
        let v6 = Ipv6Net::new_assert(Ipv6Addr::new(0xfd77, 0x6566, 0x7400, 0, 0, 0, 0, 0), 112);
        Self(vec![v4.into(), v6.into()])
    }
}

/// As the configuration file has it.
impl std::fmt::Debug for Pools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(ToString::to_string)).finish()
    }
}

impl TryFrom<Vec<String>> for Pools {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let parse = |text: String| {
            let pool = text.trim().parse::<IpNet>().ok().filter(|pool| pool.trunc() == *pool);
            pool.ok_or_else(|| format!("{text:?}: write a prefix without bits behind it, such as 10.247.0.0/16"))
        };
        texts.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

/// Separated by commas.
impl FromStr for Pools {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let texts = text.split(',').filter(|text| !text.trim().is_empty());
        texts.map(str::to_owned).collect::<Vec<_>>().try_into()
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// Flags of weftd.
        #[derive(Debug, Default, Parser)]
        #[command(name = "weftd", version, about = "The agent of weft: the network of this host's containers")]
        pub struct Flags {
            /// Configuration file [default: /etc/weft/weft.toml, if it is there]
            #[arg(long, value_name = "FILE")]
            pub config: Option<PathBuf>,
            /// Check flags and configuration file, say what they come to, and exit
            #[arg(long)]
            pub check_config: bool,
            $($(#[doc = $doc])+ #[arg(long)] pub $name: Option<$type>,)+
        }

        /// The configuration file: the flags' names, without dashes in front.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        struct File {
            $($name: Option<$type>,)+
        }

        /// What flags, file and defaults come to.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Config {
            fn merge(flags: &Flags, file: &File) -> Self {
                $(let $name: $type = {
                    let given = flags.$name.clone().or_else(|| file.$name.clone());
                    given.unwrap_or_else(|| $default)
                };)+
                Self { $($name,)+ }
            }

            /// Every setting with its value, in the file's own form.
            pub fn show(&self) -> String {
                let mut text = String::new();
                $(text.push_str(&format!("{} = {:?}\n", stringify!($name).replace('_', "-"), self.$name));)+
                text
            }
        }
    };
}

settings! {
    /// Where the ledger of running containers, the socket and the lock are
    run_dir: PathBuf = PathBuf::from("/run/weft");
    /// Where the networks are kept
    state_dir: PathBuf = PathBuf::from("/var/lib/weft");
    /// Where to listen [default: RUN_DIR/weft.sock]
    socket: PathBuf = PathBuf::new();
    /// Where namespaces are pinned that weft makes itself
    netns_dir: PathBuf = PathBuf::from("/run/netns");
    /// Where BPF objects are pinned
    bpf_dir: PathBuf = PathBuf::from("/sys/fs/bpf/weft");
    /// The cgroup2 directory that containers are below
    cgroup_root: PathBuf = PathBuf::from("/sys/fs/cgroup");
    /// Where addresses of services are chosen, which are nobody else's [default: 10.247.0.0/16,fd77:6566:7400::/112]
    service_pools: Pools = Pools::default();
    /// The link by which the host reaches the outside [default: that of the best default route]
    uplink: String = String::new();
    /// ADDRESS:PORT at which Prometheus may read /metrics by TCP, too [default: none, the socket only]
    metrics: String = String::new();
    /// Whether to tell of connections that begin and end, and of drops, as they happen (`weft observe`) [default: on]
    flow_events: Switch = Switch::On;
    /// Whether pods may say by an annotation what they send from besides their own addresses [default: off]
    allow_by_annotation: Switch = Switch::Off;
    /// What to log: error, warn, info, debug or trace, or a filter such as weft_agent=debug
    log: String = "info".to_owned();
}

impl Config {
    /// Reads the file that `flags` name, or the default one if it is there, and checks the result.
    pub fn load(flags: &Flags) -> anyhow::Result<Self> {
        let file = match &flags.config {
            Some(path) => read(path)?,
            None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
            None => File::default(),
        };
        let mut config = Self::merge(flags, &file);
        if config.socket.as_os_str().is_empty() {
            config.socket = config.run_dir.join("weft.sock");
        }
        config.check()?;
        Ok(config)
    }

    /// The file in which networks are kept.
    pub fn store(&self) -> PathBuf {
        self.state_dir.join("store")
    }

    /// The uplink that was named, if one was.
    pub fn uplink(&self) -> Option<String> {
        Some(self.uplink.clone()).filter(|name| !name.is_empty())
    }

    /// What the programs are to tell.
    pub fn telling(&self) -> Telling {
        match self.flow_events {
            Switch::On => Telling::Flows,
            Switch::Off => Telling::Nothing,
        }
    }

    /// Where metrics are served by TCP, if anywhere.
    pub fn metrics(&self) -> anyhow::Result<Option<SocketAddr>> {
        if self.metrics.is_empty() {
            return Ok(None);
        }
        let parsed = self.metrics.parse();
        parsed
            .map(Some)
            .with_context(|| format!("metrics {:?}: write ADDRESS:PORT, such as 127.0.0.1:9464", self.metrics))
    }

    fn check(&self) -> anyhow::Result<()> {
        let paths = [
            ("run-dir", &self.run_dir),
            ("state-dir", &self.state_dir),
            ("socket", &self.socket),
            ("netns-dir", &self.netns_dir),
            ("bpf-dir", &self.bpf_dir),
            ("cgroup-root", &self.cgroup_root),
        ];
        for (name, path) in paths {
            if !path.is_absolute() {
                bail!("{name} {path:?}: write an absolute path");
            }
        }
        if let Some(uplink) = self.uplink() {
            weft_model::IfName::parse(uplink).context("uplink")?;
        }
        self.metrics()?;
        tracing_subscriber::EnvFilter::try_new(&self.log).with_context(|| format!("log {:?}", self.log))?;
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, flags: Flags) -> anyhow::Result<Config> {
        let path =
            std::env::temp_dir().join(format!("weft-config-{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::write(&path, text)?;
        let config = Config::load(&Flags { config: Some(path.clone()), ..flags });
        std::fs::remove_file(path)?;
        config
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let flags = Flags { log: Some("debug".to_owned()), ..Flags::default() };
        let config = load("run-dir = \"/run/x\"\nlog = \"warn\"\n", flags).unwrap();
        assert_eq!(config.log, "debug");
        assert_eq!(config.socket, Path::new("/run/x/weft.sock"), "the socket follows the run directory");
        assert_eq!(config.state_dir, Path::new("/var/lib/weft"));
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let config = load("uplink = \"eth7\"\nflow-events = \"off\"\n", Flags::default()).unwrap();
        assert_eq!(load(&config.show(), Flags::default()).unwrap(), config);
    }

    #[test]
    fn faults_name_the_setting() {
        for (text, expected) in [
            ("run_dir = \"/x\"\n", "run_dir"),
            ("run-dir = \"x\"\n", "run-dir \"x\": write an absolute path"),
            ("uplink = \"a/b\"\n", "uplink"),
            ("metrics = \"9464\"\n", "metrics \"9464\": write ADDRESS:PORT"),
            ("service-pools = [\"10.0.0.1/8\"]\n", "\"10.0.0.1/8\": write a prefix"),
            ("flow-events = true\n", "flow-events"),
            ("flow-events = \"some\"\n", "expected `on` or `off`"),
            ("log = \"=,\"\n", "log"),
        ] {
            let error = format!("{:#}", load(text, Flags::default()).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
