//! Short, stable names out of long ones: FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv) and RFC 4648 base 32.
//!
//! Not cryptographic: used where a name must fit 15 bytes, never where somebody could gain from a collision.

/// FNV-1a over `parts`, each closed by a zero byte so that ("a", "bc") and ("ab", "c") differ.
pub fn fnv64(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// The high half of [`fnv64`], for numbers among the programs.
pub fn fnv32(parts: &[&str]) -> u32 {
    (fnv64(parts) >> 32) as u32
}

/// The low `5 * digits` bits of `value` in lower-case base 32.
pub fn base32(value: u64, digits: u32) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    (0..digits).rev().map(|place| char::from(ALPHABET[(value >> (5 * place)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(fnv64(&["a", "bc"]), fnv64(&["ab", "c"]));
        assert_eq!(fnv64(&["a"]), fnv64(&["a"]));
    }

    #[test]
    fn base32_has_as_many_digits_as_asked() {
        assert_eq!(base32(0, 4), "aaaa");
        assert_eq!(base32(31, 2), "a7");
        assert_eq!(base32(u64::MAX, 10).len(), 10);
    }
}
