//! The one way anything is made true: compare what must be with what is, update, delete, and try again what failed.
//!
//! ```text
//!        desired ┌──────────────┬──────────────┐ actual
//!                │    update    │ equal: leave │ delete
//!                │   (absent or drifted)       │ (ours, and no longer wanted)
//!                └──────────────┴──────────────┘
//! ```
//!
//! Pure: a [`Target`] does the reading and writing, [`Backoff`] only counts. Output depends on the present states
//! alone, never on how they came about, so a restart is nothing special: read back, compare, sweep.

mod backoff;
mod delta;
mod target;

pub use backoff::Backoff;
pub use delta::Delta;
pub use target::{Outcome, Target, reconcile};
