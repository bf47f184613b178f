//! Why the kernel did not take a program or an entry.

/// The kernel's refusal.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action} {object}: {reason}")]
pub struct DataplaneError {
    action: &'static str,
    object: String,
    reason: String,
}

impl DataplaneError {
    pub(crate) fn new(action: &'static str, object: impl Into<String>, reason: &dyn std::fmt::Display) -> Self {
        Self { action, object: object.into(), reason: format!("{reason:#}") }
    }

    /// A pinned map is not as this agent knows it.
    pub(crate) fn layout(name: &str) -> Self {
        Self::new("use map", name, &"its layout is another agent's: remove it when no container runs")
    }
}
