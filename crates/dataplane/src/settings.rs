//! What holds for all endpoints, and which change of what the programs decide by was the last.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{DataplaneError, Table, abi};

/// Several write parts of the one value.
#[derive(Debug, Clone)]
pub(crate) struct Settings(Arc<Mutex<Table<u32, abi::settings>>>);

impl Settings {
    pub(crate) fn open(directory: &Path) -> Result<Self, DataplaneError> {
        Ok(Self(Arc::new(Table::open(directory, "weft_settings")?.into())))
    }

    /// Whether one of SETTING_* is on.
    pub(crate) fn has(&self, setting: u32) -> Result<bool, DataplaneError> {
        Ok(self.lock().get(&0)?.unwrap_or_default().flags & setting != 0)
    }

    /// Turns one of SETTING_* on or off, and leaves the others as they are.
    pub(crate) fn set(&self, setting: u32, is_on: bool) -> Result<(), DataplaneError> {
        self.change(|flags| if is_on { flags | setting } else { flags & !setting })
    }

    /// Turns one of SETTING_* on or off, and another one over.
    pub(crate) fn turn(&self, turned: u32, setting: u32, is_on: bool) -> Result<(), DataplaneError> {
        self.change(|flags| (if is_on { flags | setting } else { flags & !setting }) ^ turned)
    }

    /// From now on, what connections were let through by is looked at again. To be called after each change of what
    /// the programs decide by.
    pub(crate) fn renew(&self) -> Result<(), DataplaneError> {
        self.change(|flags| flags)
    }

    fn change(&self, change: impl FnOnce(u32) -> u32) -> Result<(), DataplaneError> {
        let table = self.lock();
        let abi::settings { flags, generation } = table.get(&0)?.unwrap_or_default();
        table.put(&0, &abi::settings { flags: change(flags), generation: next(generation) })
    }

    fn lock(&self) -> MutexGuard<'_, Table<u32, abi::settings>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Zero is that of connections nobody looked at.
fn next(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}
