//! What makes a container runtime use weft: the shim among its plugins, and a configuration for each network.

pub(crate) mod conflist;
pub(crate) mod file;

use std::path::PathBuf;

/// The shim's name, as configurations and file names have it.
pub(crate) const SHIM: &str = "weft-cni";

/// Where runtimes look; the defaults are those of containerd, CRI-O, podman and nerdctl.
#[derive(Debug, clap::Args)]
pub(crate) struct Directories {
    /// Directory of the plugins; /usr/lib/cni for Debian's containerd
    #[arg(long = "bin-dir", value_name = "DIR", default_value = "/opt/cni/bin")]
    pub(crate) bin: PathBuf,
    /// Directory of the configurations
    #[arg(long = "conf-dir", value_name = "DIR", default_value = "/etc/cni/net.d")]
    pub(crate) conf: PathBuf,
}
