//! What /sys knows of the hardware behind a link. It shows links of the namespace that it was mounted in: the host's.

use std::fs;
use std::path::{Path, PathBuf};

use weft_model::{Function, IfName, PciAddress};

/// Where links are.
const LINKS: &str = "/sys/class/net";
/// What the names of links to virtual functions begin with, in a physical one's directory; their numbers follow.
const VIRTUAL: &str = "virtfn";

/// What is behind a link; all empty if it is virtual.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hardware {
    /// Its directory, the same in every namespace.
    pub path: Option<String>,
    /// Its place on the PCI bus.
    pub pci: Option<PciAddress>,
    /// Its driver.
    pub driver: Option<String>,
    /// If it is a virtual function.
    pub function: Option<Function>,
}

/// The hardware behind the host's link `name`.
pub fn read(name: &str) -> Hardware {
    let Ok(path) = fs::canonicalize(Path::new(LINKS).join(name).join("device")) else { return Hardware::default() };
    let on_bus = on_bus(&path);
    Hardware {
        path: path.to_str().map(str::to_owned),
        driver: driver(&path),
        function: on_bus.as_ref().and_then(|(directory, _)| function(directory)),
        pci: on_bus.map(|(_, address)| address),
    }
}

/// Whose virtual function the hardware in `path` is, by what the physical one's link is called now.
pub(crate) fn function_of(path: &str) -> Option<Function> {
    function(on_bus(Path::new(path))?.0)
}

/// The PCI device that a device is, or is below.
fn on_bus(path: &Path) -> Option<(&Path, PciAddress)> {
    path.ancestors().find_map(|path| Some((path, base_name(path)?.parse().ok()?)))
}

/// Whether the hardware is there, and `driver` serves it: then its link is somewhere, in whichever namespace.
pub fn is_served(path: &str, driver: &str) -> bool {
    self::driver(Path::new(path)).as_deref() == Some(driver)
}

fn driver(path: &Path) -> Option<String> {
    base_name(&fs::canonicalize(path.join("driver")).ok()?).map(str::to_owned)
}

/// The last part of a path: what the kernel calls a device.
pub(crate) fn base_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Whose virtual function the PCI device in `directory` is (SR-IOV; Documentation/PCI/pci-iov-howto.rst).
fn function(directory: &Path) -> Option<Function> {
    let physical = fs::canonicalize(directory.join("physfn")).ok()?;
    let entries = || names(&physical);
    let is_this = |link: &String| fs::canonicalize(physical.join(link)).ok().as_deref() == Some(directory);
    let number = entries().filter(|name| name.starts_with(VIRTUAL)).find(is_this)?;
    let pf = names(&physical.join("net")).next()?;
    Some(Function { pf: IfName::parse(pf).ok()?, number: number.strip_prefix(VIRTUAL)?.parse().ok()? })
}

fn names(directory: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| PathBuf::from(entry.file_name())).filter_map(|name| name.to_str().map(str::to_owned))
}
