//! Private hosts on which the demo, the tests and the benches run weft and real container runtimes.
//!
//! A [`Host`] has network, mount, pid, cgroup, uts and ipc namespaces of its own, its own cgroup directories, its own
//! writable layers over `/etc`, `/opt`, `/root`, `/usr/local` and `/var`, and fresh `/run`, `/tmp`, `/proc` and `/sys`.
//! Its `eth0` leads to a namespace called [`outside`](Host::outside). Nothing of it is visible on the real host but its
//! processes and its cgroup directories, and both go with the [`Host`], also when the process that owns it is killed.
//!
//! ```no_run
//! use weft_lab::{Container, Host, Runtime};
//!
//! # fn main() -> anyhow::Result<()> {
//! let host = Host::start("web")?;
//! host.run(&["ip", "link", "add", "br0", "type", "bridge"])?;
//! host.outside().run(&["busybox", "ping", "-c1", "198.51.100.2"])?;
//!
//! host.cni_conflist("app", r#"{"cniVersion":"1.0.0","name":"app","plugins":[{"type":"loopback"}]}"#)?;
//! let podman = host.podman()?;
//! let rootfs = host.rootfs("busybox")?;
//! let web = Container::new("web", &rootfs).network("app").command(&["sleep", "1000"]);
//! podman.start(&web)?;
//! println!("{}", podman.exec("web", &["ip", "addr"])?);
//! host.stop()
//! # }
//! ```
//!
//! ```text
//!  test ──stdin, stdout──► weft-lab keeper ──► weft-lab init (pid 1) ──► weft-lab launcher ──► ip, containerd, weftd …
//!    │                     real host; cgroups    mounts, reaps            ▲
//!    └── weft-lab enter ────────────── request and descriptors ───────────┘
//! ```
//!
//! The keeper ends the host when its stdin does, which is when its owner is gone. Commands are born of the launcher and
//! so are in the host's namespaces and cgroups from their first instruction.

mod command;
mod daemon;
mod host;
mod netns;
mod patience;
pub mod programs;
mod rootfs;
mod runtime;
pub mod uplink;
mod weftd;
pub mod wire;

pub use command::stdout_of;
pub use daemon::Daemon;
pub use host::{Builder, Host};
pub use netns::Netns;
pub use patience::patience;
pub use runtime::containerd::Containerd;
pub use runtime::podman::Podman;
pub use runtime::{Container, Runtime, Stay};
pub use weftd::Weftd;
