//! What can go wrong with nftables, always with the object it went wrong with.

use rustix::io::Errno;

use super::wire::Malformed;
use crate::KernelError;

/// Why nftables could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The kernel refused, and of a transaction nothing was done; or the socket failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Nothing was sent: the object cannot be said to the kernel, or must not be.
    #[error("{object} cannot be written: {reason}")]
    Invalid {
        /// Table, chain or rule, as in "rule \"web\" in chain inet weft forward".
        object: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The kernel's answer makes no sense.
    #[error("malformed nftables message: {0}")]
    Malformed(#[from] Malformed),
    /// Other programs kept changing the rules while they were read.
    #[error("nftables rules changed during each of {attempts} attempts")]
    Unsteady {
        /// How often it was tried.
        attempts: usize,
    },
}

impl NftError {
    /// Whether the object, or the chain or table it belongs to, is not there (any more).
    pub fn is_absent(&self) -> bool {
        matches!(self, NftError::Kernel(error) if error.is_absent())
    }

    /// Whether the rules are no longer those that the transaction was made for.
    pub(super) fn is_outdated(&self) -> bool {
        matches!(self, NftError::Kernel(error) if error.errno == Errno::RESTART)
    }
}
