//! Names: each kind has its rule, checked once when it is parsed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {rule}")]
pub struct NameError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl NameError {
    /// What such a name must look like.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the rule and keeps the text.
            pub fn parse(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok(Self(text)) } else { Err(NameError { what: $what, text, rule: $rule }) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name_type!(
    /// Name of a network: an RFC 1123 label, since it becomes part of host names.
    NetworkName,
    "a network name",
    "use 1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit",
    |text| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
    }
);

name_type!(
    /// Name or namespace of an endpoint, as its runtime gave it.
    Name,
    "a name",
    "use 1 to 253 letters, digits, '-', '_' and '.', beginning with a letter or digit",
    |text| identifier(text, 253)
);

name_type!(
    /// Container id (CNI SPEC.md section 2: `^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`).
    ContainerId,
    "a container id",
    "use letters, digits, '-', '_' and '.', beginning with a letter or digit, 255 at most",
    |text| identifier(text, 255)
);

name_type!(
    /// Name of an interface (`dev_valid_name` in net/core/dev.c).
    IfName,
    "an interface name",
    "use 1 to 15 bytes without '/', ':' or white space, and neither '.' nor '..'",
    |text| {
        let refused = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        (1..=15).contains(&text.len()) && text != "." && text != ".." && !text.contains(refused)
    }
);

fn identifier(text: &str, length_max: usize) -> bool {
    let mut bytes = text.bytes();
    text.len() <= length_max
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Labels of an object: key to value.
pub type Labels = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_rule() {
        for good in ["a", "app", "app-1", "0"] {
            assert!(NetworkName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "App", "a_b", "a.b", &"x".repeat(64)] {
            assert!(NetworkName::parse(bad).is_err(), "{bad}");
        }
        for good in ["eth0", "net1", "a.b", "exactly15bytes_"] {
            assert!(IfName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "sixteen_bytes_lo", "é\u{a0}x"] {
            assert!(IfName::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "-x", "../etc", "a/b", "a b"] {
            assert!(ContainerId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_error_names_text_and_rule() {
        let error = IfName::parse("sixteen_bytes_lo").expect_err("16 bytes");
        assert!(error.to_string().starts_with("\"sixteen_bytes_lo\" is not an interface name: use 1 to 15 bytes"));
    }
}
