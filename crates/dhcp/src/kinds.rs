//! Which message it is: a table of names and numbers per family.

/// Declares an enum of messages by their numbers, with a list of all of them.
macro_rules! kinds {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident = $number:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $kind {
            $($(#[$doc])* $name = $number),+
        }

        impl $kind {
            /// Every one of them.
            pub const ALL: &[$kind] = &[$($kind::$name),+];

            /// The one with this number.
            pub fn of(number: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| *kind as u8 == number)
            }
        }
    };
}

pub(crate) use kinds;
