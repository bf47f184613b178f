//! Settings of the host's kernel: changed where a network needs it, remembered as they were, never put back unasked,
//! since others may have come to rely on them.

use std::collections::BTreeMap;

use weft_kernel::{KernelError, sysctl};
use weft_reconcile::Target;

use crate::graph::SettingPlan;

/// What was changed, by name.
pub type Changed = BTreeMap<String, weft_api::Setting>;

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
        let now = desired.value.to_owned();
        let setting = weft_api::Setting { name: name.clone(), was, now, why: desired.why.to_owned() };
        // What it was before weft first touched it is what people want to know.
        self.changed.entry(name.clone()).or_insert(setting);
        Ok(())
    }

    fn delete(&mut self, _: &String) -> Result<(), KernelError> {
        Ok(())
    }
}
