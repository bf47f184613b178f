//! How bad input is refused: the object, the field, its value, and what to write instead.

use std::fmt;

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Kind and name, such as `network "app"`.
    pub object: String,
    /// Path of the field, such as `spec.pools[0]`.
    pub field: String,
    /// The value as it was given.
    pub value: String,
    /// What is wrong and what to do about it.
    pub remedy: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {:?}: {}", self.object, self.field, self.value, self.remedy)
    }
}

impl std::error::Error for Invalid {}

/// Everything that is wrong with one object, so that the user mends it in one go. Never empty when returned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InvalidFields(pub Vec<Invalid>);

impl fmt::Display for InvalidFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, invalid) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{invalid}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidFields {}
