//! Services, as sockets see them: their maps, and the programs that lead sockets to backends.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use libbpf_rs::Object;

use crate::load::open_sockets;
use crate::settings::Settings;
use crate::{Dataplane, DataplaneError, Table, abi};

/// What the names of pins begin with that hold a program at sockets: `weft_socket_connect4` and so on.
const PIN_PREFIX: &str = "weft_socket_";
/// Of a pin that is about to take the place of another.
const NEXT_PREFIX: &str = "weft_next_";

/// The maps of services. Whoever writes keeps this order: backends and members are there before a frontend has their
/// set, and go after none has.
#[derive(Debug)]
pub struct Services {
    /// Network namespaces, by their cookies.
    pub namespaces: Table<u64, abi::namespace_known>,
    /// Ports of services' addresses.
    pub frontends: Table<abi::frontend_key, abi::frontend>,
    /// What sets consist of.
    pub backends: Table<abi::backend_key, abi::backend>,
    /// The same the other way round, of sets that clients stick to.
    pub members: Table<abi::member_key, u8>,
    /// What became of connections to services' ports, by these's numbers.
    pub counts: Table<u32, abi::service_count>,
    settings: Settings,
    /// This agent's programs, once they are at sockets.
    programs: Mutex<Option<Object>>,
    /// Where pins are.
    root: PathBuf,
    directory: PathBuf,
}

impl Services {
    pub(crate) fn open(root: &Path, directory: &Path, settings: &Settings) -> Result<Self, DataplaneError> {
        Ok(Self {
            namespaces: Table::open(directory, "weft_namespaces")?,
            frontends: Table::open(directory, "weft_frontends")?,
            backends: Table::open(directory, "weft_backends")?,
            members: Table::open(directory, "weft_members")?,
            counts: Table::open(directory, "weft_service_counts")?,
            settings: settings.clone(),
            programs: Mutex::new(None),
            root: root.to_owned(),
            directory: directory.to_owned(),
        })
    }

    /// Has the sockets of all processes below a cgroup2 directory be led to services, from their next connection on,
    /// as long as they are pinned: also while no agent runs. Those of an earlier agent are replaced, with none of their
    /// work undone meanwhile.
    pub fn serve(&self, cgroup: &Path) -> Result<(), DataplaneError> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if programs.is_some() {
            return Ok(());
        }
        let shown = cgroup.display();
        let refused = |e: &dyn std::fmt::Display| {
            let remedy = "name a cgroup2 directory that containers are below by --cgroup-root";
            DataplaneError::new("lead sockets below", shown.to_string(), &format!("{e}: {remedy}"))
        };
        let directory = std::fs::File::open(cgroup).map_err(|e| refused(&e))?;
        let object = open_sockets(&self.root, &self.directory)?;
        for program in object.progs_mut() {
            let hook = program.name().to_string_lossy().replacen("socket_", "", 1);
            let name = format!("{PIN_PREFIX}{hook}");
            let fd = std::os::fd::AsRawFd::as_raw_fd(&directory);
            let mut link = program.attach_cgroup(fd).map_err(|e| refused(&e))?;
            let (pin, next) = (self.root.join(&name), self.root.join(format!("{NEXT_PREFIX}{hook}")));
            // One that an agent died over.
            let _ = std::fs::remove_file(&next);
            link.pin(&next).map_err(|e| DataplaneError::new("pin", name.clone(), &e))?;
            std::fs::rename(&next, &pin).map_err(|e| DataplaneError::new("pin", name, &e))?;
        }
        *programs = Some(object);
        self.settings.set(abi::SETTING_SERVICES, true)
    }

    /// Whether sockets are led to services, by whichever agent's programs.
    pub fn is_served(&self) -> bool {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(PIN_PREFIX))
    }
}

impl Dataplane {
    /// Services.
    pub fn services(&self) -> &Services {
        &self.services
    }
}
