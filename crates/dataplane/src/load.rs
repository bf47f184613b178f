//! Loading: programs into the kernel, pins into the directory, jumps into the program array.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject, ProgramHandle};

use crate::allowed::Allowed;
use crate::policy::Policies;
use crate::segment::Segments;
use crate::service::Services;
use crate::set::Set;
use crate::settings::Settings;
use crate::table::Table;
use crate::{Dataplane, DataplaneError, abi, migrate};

/// The magic number of the BPF file system (include/uapi/linux/magic.h).
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
const PROGRAMS: &str = "weft_programs";
const STUB_OUT: &str = "weft_stub_out";
const STUB_IN: &str = "weft_stub_in";
const STUB_PARENT_OUT: &str = "weft_stub_parent_out";
const STUB_PARENT_IN: &str = "weft_stub_parent_in";
const STUB_UPLINK_IN: &str = "weft_stub_uplink_in";
const STUB_UPLINK_OUT: &str = "weft_stub_uplink_out";
const STUBS: [&str; 6] = [STUB_OUT, STUB_IN, STUB_PARENT_OUT, STUB_PARENT_IN, STUB_UPLINK_IN, STUB_UPLINK_OUT];

/// Where the compiler puts what is decided at loading: the only constants of the programs.
const KNOBS: &str = ".rodata";

/// An object file as the compiler left it, where libbpf can read it: at an address that eight divides.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

macro_rules! object {
    ($name:literal) => {{
        static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o")));
        &OBJECT.0
    }};
}

/// One of the programs to which the stubs jump.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    Check,
    Out,
    In,
    ParentCheck,
    ParentOut,
    ParentIn,
    UplinkIn,
    UplinkOut,
}

impl Which {
    /// In the order in which they are put in force: where one jumps to comes before it.
    const OF_ENDPOINTS: [Which; 3] = [Which::Check, Which::Out, Which::In];
    const OF_SEGMENTS: [Which; 5] =
        [Which::ParentCheck, Which::ParentOut, Which::ParentIn, Which::UplinkIn, Which::UplinkOut];

    fn hook(self) -> u32 {
        match self {
            Which::Check => abi::HOOK_ENDPOINT_CHECK,
            Which::Out => abi::HOOK_ENDPOINT_OUT,
            Which::In => abi::HOOK_ENDPOINT_IN,
            Which::ParentCheck => abi::HOOK_PARENT_CHECK,
            Which::ParentOut => abi::HOOK_PARENT_OUT,
            Which::ParentIn => abi::HOOK_PARENT_IN,
            Which::UplinkIn => abi::HOOK_UPLINK_IN,
            Which::UplinkOut => abi::HOOK_UPLINK_OUT,
        }
    }

    fn object(self) -> &'static [u8] {
        match self {
            Which::Check => object!("endpoint_check"),
            Which::Out => object!("endpoint_out"),
            Which::In => object!("endpoint_in"),
            Which::ParentCheck => object!("parent_check"),
            Which::ParentOut => object!("parent_out"),
            Which::ParentIn => object!("parent_in"),
            Which::UplinkIn => object!("uplink_in"),
            Which::UplinkOut => object!("uplink_out"),
        }
    }
}

/// What the programs tell of connections and drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// All that there is room for.
    Flows,
    /// Nothing. What they count, track and give to who captures is the same.
    Nothing,
}

impl Telling {
    fn knobs(self) -> abi::knobs {
        abi::knobs { silent: u8::from(self == Telling::Nothing), ..abi::knobs::default() }
    }
}

/// Programs and maps as one agent loaded them; the programs go with it unless something holds them.
#[derive(Debug)]
pub struct Loaded {
    objects: Vec<(u32, Object)>,
    telling: Telling,
    /// Of the stubs and the program array, which are the same for all layouts.
    root: PathBuf,
    /// Of the maps.
    directory: PathBuf,
}

impl Loaded {
    /// Loads every program over the maps pinned in `root`, which must be in a BPF file system, and makes the maps that
    /// are not there: filled with what an agent of another layout left.
    pub fn load(root: &Path, telling: Telling) -> Result<Self, DataplaneError> {
        let directory = layout(root);
        std::fs::create_dir_all(&directory)
            .map_err(|e| DataplaneError::new("make directory", directory.display().to_string(), &e))?;
        let of_bpf = rustix::fs::statfs(&directory).is_ok_and(|found| found.f_type == BPF_FS_MAGIC);
        if !of_bpf {
            let remedy = "it is in no BPF file system: `mount -t bpf bpf /sys/fs/bpf`, or choose another --bpf-dir";
            return Err(DataplaneError::new("pin programs in", directory.display().to_string(), &remedy));
        }
        if STUBS.iter().any(|stub| !root.join(stub).exists()) {
            pin_stubs(root)?;
        }
        let objects = open_all(&Which::OF_ENDPOINTS, root, &directory, telling)?;
        make_socket_maps(root, &directory)?;
        migrate::copy(root, &directory)?;
        Ok(Self { objects, telling, root: root.to_owned(), directory })
    }

    /// The same of the programs of segments, which not every host needs, beside the others.
    pub fn load_segments(&self) -> Result<Self, DataplaneError> {
        load_segments(&self.root, self.telling)
    }

    /// The programs, each with its place in the program array.
    pub fn programs(&self) -> impl Iterator<Item = (u32, libbpf_rs::ProgramMut<'_>)> {
        self.objects.iter().flat_map(|(hook, object)| object.progs_mut().map(|program| (*hook, program)))
    }

    /// Puts the programs in force: from the next packet on, every link's filters jump to them.
    pub fn enforce(&self) -> Result<Dataplane, DataplaneError> {
        self.put()?;
        // Connections that began by the old programs since.
        migrate::copy(&self.root, &self.directory)?;
        migrate::forget(&self.root, &self.directory)?;
        let dataplane = self.open()?;
        // Other programs may look at other things.
        dataplane.settings.renew()?;
        Ok(dataplane)
    }

    /// Into the program array, which holds them from then on.
    pub(crate) fn put(&self) -> Result<(), DataplaneError> {
        let programs = MapHandle::from_pinned_path(self.root.join(PROGRAMS));
        let programs = programs.map_err(|e| DataplaneError::new("open map", PROGRAMS, &e))?;
        for (hook, program) in self.programs() {
            let fd = program.as_fd().as_raw_fd();
            let put = programs.update(&hook.to_ne_bytes(), &fd.to_ne_bytes(), MapFlags::ANY);
            put.map_err(|e| DataplaneError::new("put in force", program.name().to_string_lossy(), &e))?;
        }
        Ok(())
    }

    fn open(&self) -> Result<Dataplane, DataplaneError> {
        let stub = |name: &str| {
            let found = ProgramHandle::from_pinned_path(self.root.join(name));
            found.map_err(|e| DataplaneError::new("open program", name, &e))
        };
        let settings = Settings::open(&self.directory)?;
        Ok(Dataplane {
            stub_out: stub(STUB_OUT)?,
            stub_in: stub(STUB_IN)?,
            stub_parent_out: stub(STUB_PARENT_OUT)?,
            stub_parent_in: stub(STUB_PARENT_IN)?,
            stub_uplink_in: stub(STUB_UPLINK_IN)?,
            stub_uplink_out: stub(STUB_UPLINK_OUT)?,
            endpoints: Table::open(&self.directory, "weft_endpoints")?,
            allowed: Set::open(&self.directory, &settings)?,
            endpoint_allowed: Allowed::open(&self.directory)?,
            addresses: Table::open(&self.directory, "weft_addresses")?,
            parents: Table::open(&self.directory, "weft_parents")?,
            uplinks: Table::open(&self.directory, "weft_uplinks")?,
            stations: Table::open(&self.directory, "weft_stations")?,
            peers: Set::open(&self.directory, &settings)?,
            hosts: Set::open(&self.directory, &settings)?,
            counters: Table::open(&self.directory, "weft_counters")?,
            flows: Table::open(&self.directory, "weft_flows")?,
            openings: Table::open(&self.directory, "weft_openings")?,
            policies: Policies::open(&self.directory, &settings)?,
            services: Services::open(&self.root, &self.directory, &settings)?,
            settings,
            telling: Table::open(&self.directory, "weft_telling")?,
            captures: Table::open(&self.directory, "weft_captures")?.into(),
            segments: Mutex::new(Segments::Unserved(self.telling)),
            root: self.root.clone(),
            directory: self.directory.clone(),
        })
    }
}

/// The programs of segments, over the maps that are pinned in `root`.
pub(crate) fn load_segments(root: &Path, telling: Telling) -> Result<Loaded, DataplaneError> {
    let directory = layout(root);
    let objects = open_all(&Which::OF_SEGMENTS, root, &directory, telling)?;
    Ok(Loaded { objects, telling, root: root.to_owned(), directory })
}

fn open_all(
    all: &[Which],
    root: &Path,
    directory: &Path,
    telling: Telling,
) -> Result<Vec<(u32, Object)>, DataplaneError> {
    all.iter().map(|which| Ok((which.hook(), open(*which, root, directory, telling.knobs())?))).collect()
}

/// The programs at sockets, over the maps that are pinned in `directory`.
pub(crate) fn open_sockets(root: &Path, directory: &Path) -> Result<Object, DataplaneError> {
    load(object!("socket"), root, directory, None)
}

/// Makes their maps alone, which are written before anybody needs the programs.
fn make_socket_maps(root: &Path, directory: &Path) -> Result<(), DataplaneError> {
    load_with(object!("socket"), root, directory, |object| {
        object.progs_mut().for_each(|mut program| program.set_autoload(false));
        Ok(())
    })
    .map(drop)
}

/// Where the maps of this layout are.
fn layout(root: &Path) -> PathBuf {
    root.join(format!("v{}", abi::ABI_VERSION))
}

/// The filters' programs: loaded once and never replaced. Those that an earlier agent pinned stay.
fn pin_stubs(root: &Path) -> Result<(), DataplaneError> {
    let stubs = load(object!("endpoint_stub"), root, root, None)?;
    for mut stub in stubs.progs_mut() {
        let name = stub.name().to_string_lossy().into_owned();
        let pin = root.join(&name);
        if pin.exists() {
            continue;
        }
        stub.pin(&pin).map_err(|e| DataplaneError::new("pin", name, &e))?;
    }
    Ok(())
}

/// One program, over the maps pinned in `directory` and the program array in `root`.
pub(crate) fn open(which: Which, root: &Path, directory: &Path, knobs: abi::knobs) -> Result<Object, DataplaneError> {
    load(which.object(), root, directory, Some(knobs))
}

fn load(object: &[u8], root: &Path, directory: &Path, knobs: Option<abi::knobs>) -> Result<Object, DataplaneError> {
    load_with(object, root, directory, |opened| {
        let Some(knobs) = &knobs else { return Ok(()) };
        let mut constants = opened.maps_mut().filter(|map| map.name().to_string_lossy().ends_with(KNOBS));
        constants.try_for_each(|mut map| map.set_initial_value(bytemuck::bytes_of(knobs)))
    })
}

/// The same, where `prepare` decides what is left to decide.
fn load_with(
    object: &[u8],
    root: &Path,
    directory: &Path,
    prepare: impl FnOnce(&mut OpenObject) -> Result<(), libbpf_rs::Error>,
) -> Result<Object, DataplaneError> {
    let load = || {
        let mut opened = ObjectBuilder::default().pin_root_path(directory)?.open_memory(object)?;
        for mut map in opened.maps_mut().filter(|map| map.name() == PROGRAMS) {
            map.set_pin_path(root.join(PROGRAMS))?;
        }
        prepare(&mut opened)?;
        opened.load()
    };
    load().map_err(|e: libbpf_rs::Error| DataplaneError::new("load", "weft's programs", &e))
}
