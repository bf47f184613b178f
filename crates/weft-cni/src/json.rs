//! As much of JSON (RFC 8259) as the shim needs: writing a string, and finding one in an object.

/// Deepest nesting that is followed: as deep as weftd's own parser goes.
const DEPTH_MAX: usize = 128;

/// Appends `"name":"value"`.
pub(crate) fn push_member(to: &mut String, name: &str, value: &str) {
    push_string(to, name);
    to.push(':');
    push_string(to, value);
}

/// Appends `text` as a JSON string.
pub(crate) fn push_string(to: &mut String, text: &str) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            c if c < ' ' => to.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => to.push(c),
        }
    }
    to.push('"');
}

/// The string that the object `text` has under `name`; of several, the last. `None` if there is none, if it is no
/// string, or if `text` is not one JSON object.
pub(crate) fn string_member(text: &str, name: &str) -> Option<String> {
    member(text, name)?
}

/// Whether the object `text` has anything under `name`.
pub(crate) fn has_member(text: &str, name: &str) -> bool {
    member(text, name).is_some()
}

fn member(text: &str, name: &str) -> Option<Option<String>> {
    let mut scanner = Scanner { rest: text };
    let mut found = None;
    scanner.skip_blank();
    scanner.object(DEPTH_MAX, &mut |key, value| {
        if key == name {
            found = Some(value);
        }
    })?;
    scanner.skip_blank();
    found.filter(|_| scanner.rest.is_empty())
}

/// Walks over JSON from its start; every step is `None` where the text is not JSON.
struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    /// An object, whose members are shown to `see`: the key, and the value if it is a string.
    fn object(&mut self, depth: usize, see: &mut dyn FnMut(String, Option<String>)) -> Option<()> {
        self.list('{', '}', &mut |scanner| {
            let key = scanner.string()?;
            scanner.skip_blank();
            scanner.take(':')?;
            scanner.skip_blank();
            let value = scanner.value(depth.checked_sub(1)?)?;
            see(key, value);
            Some(())
        })
    }

    /// `open item, item ... close`, with nothing or something in between.
    fn list(&mut self, open: char, close: char, item: &mut dyn FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        self.skip_blank();
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            self.skip_blank();
            item(self)?;
            self.skip_blank();
            if self.take(',').is_none() {
                return self.take(close);
            }
        }
    }

    /// Any value; inside, it is what the value says if that is a string.
    fn value(&mut self, depth: usize) -> Option<Option<String>> {
        match self.rest.chars().next()? {
            '"' => return Some(Some(self.string()?)),
            '{' => self.object(depth, &mut |_, _| {})?,
            '[' => self.list('[', ']', &mut |scanner| scanner.value(depth.checked_sub(1)?).map(drop))?,
            '-' | '0'..='9' => self.number()?,
            _ => self.word()?,
        }
        Some(None)
    }

    fn string(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                c if c < ' ' => return None,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.code_point(),
            _ => return None,
        })
    }

    /// What follows `\u`: four digits, or a pair of surrogates.
    fn code_point(&mut self) -> Option<char> {
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        self.take('\\')?;
        self.take('u')?;
        let low = self.hex4()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        let value = digits.chars().try_fold(0, |value, c| Some(value << 4 | c.to_digit(16)?));
        self.rest = &self.rest[4..];
        value
    }

    fn number(&mut self) -> Option<()> {
        self.take('-');
        if self.take('0').is_none() {
            self.digits()?;
        }
        if self.take('.').is_some() {
            self.digits()?;
        }
        if self.take('e').or_else(|| self.take('E')).is_some() {
            let _sign = self.take('+').or_else(|| self.take('-'));
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let after = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let some = after.len() < self.rest.len();
        self.rest = after;
        some.then_some(())
    }

    fn word(&mut self) -> Option<()> {
        self.rest = ["true", "false", "null"].iter().find_map(|word| self.rest.strip_prefix(word))?;
        Some(())
    }

    fn skip_blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> Option<String> {
        string_member(text, "socket")
    }

    #[test]
    fn strings_are_escaped_and_read_back() {
        let nasty = "a\"b\\c\n\r\t\u{0}\u{1f}\u{7f}/é€😀\u{2028}";
        let mut text = String::from("{");
        push_member(&mut text, "socket", nasty);
        text.push('}');
        assert!(text.starts_with(r#"{"socket":"a\"b\\c\n\r\t\u0000\u001f"#), "{text}");
        assert_eq!(socket(&text).as_deref(), Some(nasty));
    }

    #[test]
    fn only_strings_of_the_top_level_count() {
        for text in [
            r#"{"socket":"/s"}"#,
            " {\n\t\"socket\" : \"/s\"\r\n } ",
            r#"{"plugins":[{"socket":"/x"}],"args":{"socket":"/y"},"socket":"/s"}"#,
            r#"{"name":"\"socket\":\"/x\"","socket":"/s"}"#,
            r#"{"a":[],"b":{},"c":[1,-0.5e+7,true,null,false,[[""]]],"socket":"/s","d":0}"#,
            r#"{"socket":"/first","socket":"/s"}"#,
            r#"{"\u0073ocket":"\/s"}"#,
        ] {
            assert_eq!(socket(text).as_deref(), Some("/s"), "{text}");
        }
        for text in [
            "{}",
            r#"{"Socket":"/s"}"#,
            r#"{"socket":1}"#,
            r#"{"socket":["/s"]}"#,
            r#"{"socket":"/s","socket":null}"#,
            r#"{"a":{"socket":"/s"}}"#,
            r#"[{"socket":"/s"}]"#,
            r#""socket""#,
        ] {
            assert_eq!(socket(text), None, "{text}");
        }
    }

    #[test]
    fn a_member_is_there_whatever_its_value() {
        for value in ["{}", "[1]", "null", "\"x\"", "7"] {
            assert!(has_member(&format!(r#"{{"a":1,"ipam":{value}}}"#), "ipam"), "{value}");
        }
        for text in ["{}", r#"{"a":{"ipam":1}}"#, r#"["ipam"]"#, r#"{"ipam":1"#, r#"{"a":"ipam"}"#] {
            assert!(!has_member(text, "ipam"), "{text}");
        }
    }

    #[test]
    fn escapes_become_what_they_stand_for() {
        let text = r#"{"socket":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#;
        assert_eq!(socket(text).as_deref(), Some("\"\\/\u{8}\u{c}\n\r\té😀"));
        for bad in [r"\x", r"\u12", r"\u12g4", r"\ud83d", r"\ud83dx", r"\ud83d\u0041", r"\ude00", r"\u+123", r"\u12é"]
        {
            assert_eq!(socket(&format!(r#"{{"socket":"{bad}"}}"#)), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_json_has_no_members() {
        for rest in
            ["", "}}", "} x", "},", ",}", r#","a"}"#, r#","a":}"#, r#",a:1}"#, r#" "a":1}"#, r#","a":"b}"#, "\u{feff}"]
        {
            assert_eq!(socket(&format!(r#"{{"socket":"/s"{rest}"#)), None, "{rest:?}");
        }
        for value in ["01", "1.", ".5", "-", "+1", "1e", "1e+", "nul", "True", "[1,]", "[,]", "[1 2]", "{1:2}", "'a'"] {
            assert_eq!(socket(&format!(r#"{{"socket":"/s","a":{value}}}"#)), None, "{value}");
        }
        assert_eq!(socket("{\"socket\":\"a\nb\"}"), None, "a bare line feed");
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| format!(r#"{{"socket":"/s","a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(socket(&nested(DEPTH_MAX - 1)).is_some());
        assert!(socket(&nested(DEPTH_MAX + 1)).is_none());
        assert!(socket(&"{\"a\":".repeat(200_000)).is_none());
        assert!(socket(&"[".repeat(1_000_000)).is_none());
    }
}
