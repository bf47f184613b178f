//! Whether packets among endpoints go past the host's stack: only while nothing there has a say about them.

use std::collections::BTreeMap;

use weft_dataplane::{Dataplane, DataplaneError};
use weft_reconcile::Target;

/// The one setting.
pub struct ShortWay<'a> {
    /// The programs' maps.
    pub dataplane: &'a Dataplane,
}

impl Target for ShortWay<'_> {
    type Key = ();
    type Desired = ();
    type Actual = ();
    type Error = DataplaneError;

    fn read_back(&mut self) -> Result<BTreeMap<(), ()>, DataplaneError> {
        Ok(self.dataplane.has_short_way()?.then_some(((), ())).into_iter().collect())
    }

    fn is_settled(&self, (): &(), (): &(), (): &()) -> bool {
        true
    }

    fn update(&mut self, (): &(), (): &()) -> Result<(), DataplaneError> {
        self.dataplane.set_short_way(true)
    }

    fn delete(&mut self, (): &()) -> Result<(), DataplaneError> {
        self.dataplane.set_short_way(false)
    }
}
