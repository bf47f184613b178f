//! Settings of the host's kernel: changed where a network needs it, remembered as they were, never put back unasked,
//! since others may have come to rely on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weft_api::Setting;
use weft_kernel::{KernelError, sysctl};
use weft_reconcile::Target;

use crate::graph::SettingPlan;

/// Where changes are remembered, in the run directory.
pub const FILE: &str = "settings.json";

/// What was changed, by name: known to the agents after this one, too.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    file: PathBuf,
    by_name: BTreeMap<String, Setting>,
}

impl Changed {
    /// Reads what agents before this one changed since the host was started.
    pub fn open(run_dir: &Path) -> Self {
        let file = run_dir.join(FILE);
        let by_name = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, by_name }
    }

    /// Every change, by name.
    pub fn list(&self) -> Vec<Setting> {
        self.by_name.values().cloned().collect()
    }

    /// Notes a change; of several, the value before the first is what people want to know.
    fn note(&mut self, setting: Setting) {
        self.by_name.entry(setting.name.clone()).or_insert(setting);
        let draft = self.file.with_extension("new");
        let text = serde_json::to_vec(&self.by_name).expect("settings have string keys only");
        let written = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &self.file));
        if let Err(error) = written {
            tracing::warn!(file = %self.file.display(), %error, "the next agent will not know what was changed");
        }
    }
}

/// One setting of one host, since the order among several matters. Must be used by a thread in the host's namespace.
pub struct Settings<'a> {
    /// Its path below /proc/sys.
    pub name: &'a str,
    /// Filled with what is changed.
    pub changed: &'a mut Changed,
}

impl Target for Settings<'_> {
    type Key = String;
    type Desired = SettingPlan;
    type Actual = String;
    type Error = KernelError;

    fn read_back(&mut self) -> Result<BTreeMap<String, String>, KernelError> {
        let value = sysctl::read(self.name)?;
        Ok(value.map(|value| (self.name.to_owned(), value)).into_iter().collect())
    }

    fn is_settled(&self, _: &String, desired: &SettingPlan, actual: &String) -> bool {
        desired.value == actual
    }

    fn update(&mut self, name: &String, desired: &SettingPlan) -> Result<(), KernelError> {
        let was = sysctl::read(name)?.unwrap_or_default();
        sysctl::write(name, desired.value)?;
        tracing::info!(setting = %name, %was, now = desired.value, why = desired.why, "changed a setting of the host");
        let (now, why) = (desired.value.to_owned(), desired.why.to_owned());
        self.changed.note(Setting { name: name.clone(), was, now, why });
        Ok(())
    }

    fn delete(&mut self, _: &String) -> Result<(), KernelError> {
        Ok(())
    }
}
