//! A message: 64 bytes that say which one they are.

use anyhow::{Result, ensure};

/// Bytes.
pub(super) const LENGTH: usize = 64;
/// What follows the number.
const FILLING: u8 = 0xa5;
const NUMBER_BYTES: usize = size_of::<u64>();

pub(super) type Message = [u8; LENGTH];

/// The message of that number.
pub(super) fn numbered(number: u64) -> Message {
    let mut message = [FILLING; LENGTH];
    message[..NUMBER_BYTES].copy_from_slice(&number.to_ne_bytes());
    message
}

/// The number of a message that has come.
pub(super) fn number_of(bytes: &[u8]) -> Result<u64> {
    let number = bytes.first_chunk().map(|number| u64::from_ne_bytes(*number));
    let number = number.filter(|number| numbered(*number) == *bytes);
    ensure!(number.is_some(), "{} bytes came that are no message", bytes.len());
    Ok(number.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_its_number_and_nothing_else_does() {
        assert_eq!(number_of(&numbered(7)).unwrap(), 7);
        let mut damaged = numbered(7);
        damaged[LENGTH - 1] = 0;
        assert!(number_of(&damaged).is_err());
        assert!(number_of(&numbered(7)[..LENGTH - 1]).is_err());
        assert_eq!(number_of(&[]).unwrap_err().to_string(), "0 bytes came that are no message");
    }
}
