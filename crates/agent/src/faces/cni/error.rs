//! Every failure's number in CNI (SPEC.md, section "Error"): the one table.

use weft_api::CniError;
use weft_ipam::Refusal;
use weft_kernel::KernelError;
use weft_kernel::endpoint::BirthError;
use weft_netns::NetnsError;

use crate::apply::endpoints::EndpointError;
use crate::attach::AttachError;
use crate::ledger::LedgerError;
use crate::shell::workers::Undone;

/// Numbers of CNI; from 100 on they are weft's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    IncompatibleVersion = 1,
    UnsupportedField = 2,
    UnknownContainer = 3,
    Environment = 4,
    Io = 5,
    Decode = 6,
    Config = 7,
    Netns = 8,
    TryAgain = 11,
    Unavailable = 50,
    Exists = 100,
    Exhausted = 101,
    AddressTaken = 102,
    Delegate = 103,
}

/// A failure on its way to the runtime.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) details: String,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: String::new() }
    }

    pub(super) fn missing(variable: &str) -> Self {
        Self::new(Code::Environment, format!("required env variables [{variable}] missing"))
    }

    pub(super) fn with_version(self, version: &str) -> CniError {
        CniError { cni_version: version.to_owned(), code: self.code as u32, msg: self.message, details: self.details }
    }
}

fn code_of_refusal(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Exhausted { .. } => Code::Exhausted,
        Refusal::Taken { .. } => Code::AddressTaken,
        Refusal::Outside { .. } | Refusal::Reserved { .. } | Refusal::TwoOfOneFamily { .. } => Code::Config,
    }
}

fn code_of_birth(error: &BirthError) -> Code {
    match error {
        BirthError::IfNameTaken(_) => Code::Exists,
        BirthError::BridgeFull => Code::Exhausted,
        BirthError::Netns(_) => Code::Netns,
        BirthError::Kernel(_) => Code::Io,
    }
}

fn code_of(error: &AttachError) -> Code {
    match error {
        AttachError::Ledger(LedgerError::Exists { .. }) => Code::Exists,
        AttachError::Ledger(LedgerError::Refused(refusal)) => code_of_refusal(refusal),
        AttachError::Ledger(LedgerError::Held(_)) => Code::AddressTaken,
        AttachError::Ledger(LedgerError::Journal(_)) | AttachError::Journal(_) => Code::Io,
        AttachError::NotAdmitted { .. }
        | AttachError::Unlimited { .. }
        | AttachError::Unchecked { .. }
        | AttachError::NotAllowed { .. }
        | AttachError::TooManyAllowed { .. } => Code::Config,
        AttachError::NoDevice { .. } => Code::Exhausted,
        AttachError::Gone(_) => Code::UnknownContainer,
        AttachError::Endpoint { source: EndpointError::Birth(birth), .. } => code_of_birth(birth),
        AttachError::Endpoint { .. } | AttachError::Services { .. } => Code::Io,
        AttachError::Lease { .. } | AttachError::Busy(_) => Code::TryAgain,
        AttachError::Lessor { .. } => Code::Delegate,
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        Self::new(code_of(&error), error.to_string())
    }
}

impl From<Undone> for Failure {
    fn from(error: Undone) -> Self {
        Self::new(Code::TryAgain, error.to_string())
    }
}

impl From<NetnsError> for Failure {
    fn from(error: NetnsError) -> Self {
        Self::new(Code::Netns, error.to_string())
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        Self::new(Code::Io, error.to_string())
    }
}
