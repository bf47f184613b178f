//! What can go wrong with nftables, always with the object it went wrong with.

use rustix::io::Errno;

use super::wire::Malformed;

/// Why nftables could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The socket itself failed.
    #[error("cannot {action} nftables socket: {source}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: Errno,
    },
    /// The kernel refused; a transaction that held the refused step changed nothing.
    #[error("cannot {action} {object}: {source}{}", bracketed(.explanation))]
    Refused {
        /// What was tried.
        action: &'static str,
        /// Table, chain or rule, as in "rule web in chain inet weft forward".
        object: String,
        /// The kernel's reason.
        source: Errno,
        /// The kernel's own words, where it gave any.
        explanation: Option<String>,
    },
    /// Nothing was sent: the object cannot be said to the kernel, or must not be.
    #[error("{object} cannot be written: {reason}")]
    Invalid {
        /// Table, chain or rule.
        object: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The kernel's answer makes no sense.
    #[error("malformed nftables message: {0}")]
    Malformed(#[from] Malformed),
    /// Other programs kept changing the rules while we read.
    #[error("nftables rules changed during each of {tries} readings")]
    Unsteady {
        /// How often it was tried.
        tries: usize,
    },
}

impl NftError {
    /// Whether the object, or the chain or table it belongs to, is not there (any more).
    pub fn is_gone(&self) -> bool {
        matches!(self, NftError::Refused { source: Errno::NOENT, .. })
    }
}

fn bracketed(explanation: &Option<String>) -> String {
    explanation.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}
