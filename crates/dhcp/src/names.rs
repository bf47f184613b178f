//! Domain names out of options: they end up in resolv.conf, so they are letters, digits and dashes, or nothing.

use crate::bytes::Reader;

/// Longest name, in bytes as text (RFC 1035, section 2.3.4: 255 on the wire, with a length before and behind).
const NAME_BYTES_MAX: usize = 253;
/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// Most names that are read of one option: resolv.conf(5) once stopped at six, nobody needs many more.
const NAMES_MAX: usize = 32;
/// Most pointers that one name may follow. Each leads further to the front, so that none leads round in a circle; this
/// bounds the work.
const POINTERS_MAX: u32 = 16;

/// A name as text, such as option 15 holds it; `None` if it is not one.
pub(crate) fn parse_text(bytes: &[u8]) -> Option<String> {
    // Some servers count a NUL behind it (RFC 2132, section 2).
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let text = text.strip_suffix('.').unwrap_or(text);
    (text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label)).then(|| text.to_ascii_lowercase())
}

/// Names as DNS has them on the wire, pointers included (RFC 3397); what cannot be read ends the list, and names that
/// are none are left out.
pub(crate) fn parse_list(bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < bytes.len() && names.len() < NAMES_MAX {
        let Some((labels, next)) = labels_at(bytes, at) else { break };
        let name = labels.join(&b'.');
        names.extend(parse_text(&name).filter(|name| !names.contains(name)));
        at = next;
    }
    names
}

/// The labels of the name at `at`, and where the next one is.
fn labels_at(bytes: &[u8], at: usize) -> Option<(Vec<&[u8]>, usize)> {
    let (mut labels, mut length, mut next, mut pointers) = (Vec::new(), 0, None, 0);
    let mut start = at;
    let mut rest = Reader(bytes.get(at..)?);
    loop {
        let here = bytes.len() - rest.0.len();
        match rest.u8()? {
            0 => return Some((labels, next.unwrap_or(here + 1))),
            count @ 1..=63 => {
                let label = rest.take(count.into())?;
                length += label.len() + 1;
                labels.push(label);
                if length > NAME_BYTES_MAX + 1 {
                    return None;
                }
            }
            high @ 0xc0.. => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(rest.u8()?);
                pointers += 1;
                if target >= start || pointers > POINTERS_MAX {
                    return None;
                }
                next.get_or_insert(here + 2);
                start = target;
                rest = Reader(bytes.get(target..)?);
            }
            _ => return None,
        }
    }
}

/// A host's name as option 12 may tell it to a server: its first label, if that is one.
pub(crate) fn host_label(name: &str) -> Option<&str> {
    name.split('.').next().filter(|label| is_label(label))
}

fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let ends_well = !label.starts_with('-') && !label.ends_with('-');
    (1..=LABEL_BYTES_MAX).contains(&label.len()) && ends_well && label.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_names_or_nothing() {
        assert_eq!(parse_text(b"Example.org").as_deref(), Some("example.org"));
        assert_eq!(parse_text(b"lan.\0\0").as_deref(), Some("lan"));
        let long = "a.".repeat(127) + "a";
        for bad in [&b""[..], b"\0", b".", b"a..b", b"a b", b"lan\nnameserver 6.6.6.6", b"-a", b"a-", b"\xff", b"a;b"] {
            assert_eq!(parse_text(bad), None, "{bad:?}");
        }
        assert_eq!(parse_text(long.as_bytes()), None);
        assert_eq!(parse_text("a".repeat(64).as_bytes()), None);
    }

    #[test]
    fn lists_follow_pointers_to_the_front_alone() {
        // eng.example.org, marketing.example.org: the example of RFC 3397, section 2.
        let list = b"\x03eng\x07example\x03org\0\x09marketing\xc0\x04";
        assert_eq!(parse_list(list), ["eng.example.org", "marketing.example.org"]);
        for looping in [&b"\xc0\x00"[..], b"\x01a\xc0\x00", b"\x01a\0\xc0\x03", b"\xc0\xff", b"\x40a", b"\x05ab"] {
            assert!(parse_list(looping).len() <= 1, "{looping:?}");
        }
        assert_eq!(parse_list(b"\x03a\nb\0\x02ok\0"), ["ok"]);
    }

    #[test]
    fn a_host_tells_its_first_label() {
        assert_eq!(host_label("web.example.org"), Some("web"));
        assert_eq!(host_label(""), None);
        assert_eq!(host_label("a b"), None);
    }
}
