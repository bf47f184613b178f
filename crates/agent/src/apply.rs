//! What the node must be, made true: one [`Target`](weft_reconcile::Target) per kind of kernel object.

pub mod admissions;
pub mod bridges;
pub mod endpoints;
pub mod forward;
pub mod routes;
pub mod settings;
pub mod short_way;
pub mod sources;
pub mod table;

use std::sync::atomic::{AtomicU32, Ordering};

/// The first number that weft gives its links: far above what the kernel counts up to.
const INDEX_FIRST: u32 = 1 << 20;
/// How many numbers are used before they begin anew.
const INDEX_SPAN: u32 = 1 << 28;

/// Numbers for new links. The kernel refuses one that is taken, and then the next is tried.
#[derive(Debug, Default)]
pub struct Indexes(AtomicU32);

impl Indexes {
    /// Goes on behind `index`, which an earlier agent gave.
    pub fn skip(&self, index: u32) {
        if Self::is_ours(index) {
            self.0.fetch_max(index - INDEX_FIRST + 1, Ordering::Relaxed);
        }
    }

    /// Whether a link of this number is one of weft's.
    pub fn is_ours(index: u32) -> bool {
        (INDEX_FIRST..INDEX_FIRST + INDEX_SPAN).contains(&index)
    }

    /// The next number.
    pub fn next(&self) -> u32 {
        INDEX_FIRST + self.0.fetch_add(1, Ordering::Relaxed) % INDEX_SPAN
    }
}
