//! JSON (RFC 8259) with the place of everything in it, which is what no common JSON crate keeps.

use std::borrow::Cow;

use super::tree::{Entry, Kind, Part, SERVICES, Take, Value};
use super::writer::scalar::Scalar;

/// Why and where a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: String,
}

type Result<T> = std::result::Result<T, Fault>;

/// Deeper than anything that has a meaning here.
const DEEPEST: u32 = 32;

/// Gives out the parts of a text that holds one object, and what is wrong with it as JSON.
pub(super) fn parts<'t>(text: &'t str, take: &mut dyn Take<'t>) {
    let mut reader = Reader { text, at: 0, depth: 0 };
    if let Err(fault) = reader.top(take) {
        take.fault(fault.at, format!("this is not JSON: {}", fault.reason));
    }
}

/// The members of the only object of a text that are text or whole numbers.
#[allow(missing_docs)] // Public for `ipvs-cli` only: `desired::parts`.
pub fn flat(text: &str) -> Option<Vec<(String, Scalar)>> {
    let Kind::Table(entries) = value(text).ok()?.kind else { return None };
    let scalar = |value: Value<'_>| match value.kind {
        Kind::Text(text) => Some(Scalar::Text(text.into_owned())),
        Kind::Integer(number) => number.try_into().ok().map(Scalar::Integer),
        _ => None,
    };
    Some(entries.into_iter().filter_map(|entry| Some((entry.key.into_owned(), scalar(entry.value)?))).collect())
}

/// The only value of a text.
pub(super) fn value(text: &str) -> Result<Value<'_>> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.skip_blanks();
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: u32,
}

impl<'t> Reader<'t> {
    fn top(&mut self, take: &mut dyn Take<'t>) -> Result<()> {
        self.skip_blanks();
        self.members(|reader, at, key| {
            if key == SERVICES && reader.peek() == Some(b'[') {
                take.part(Part::Services { at });
                return reader.elements(|reader| {
                    take.part(Part::Service(reader.value()?));
                    Ok(())
                });
            }
            let value = reader.value()?;
            take.part(Part::Entry(Entry { at, key, value }));
            Ok(())
        })?;
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.skip_blanks();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("expected the end of the file"),
        }
    }

    fn value(&mut self) -> Result<Value<'t>> {
        let at = self.at;
        let kind = match self.peek() {
            Some(b'{') => {
                let mut entries = Vec::new();
                self.members(|reader, at, key| {
                    let value = reader.value()?;
                    entries.push(Entry { at, key, value });
                    Ok(())
                })?;
                Kind::Table(entries)
            }
            Some(b'[') => {
                let mut values = Vec::new();
                self.elements(|reader| {
                    values.push(reader.value()?);
                    Ok(())
                })?;
                Kind::List(values)
            }
            Some(b'"') => Kind::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word()?,
            _ => return self.unexpected("a value"),
        };
        Ok(Value { at, kind })
    }

    /// `{ "key": value, … }`; `member` reads the value.
    fn members(&mut self, mut member: impl FnMut(&mut Self, usize, Cow<'t, str>) -> Result<()>) -> Result<()> {
        self.items(b'}', |reader| {
            if reader.peek() != Some(b'"') {
                return reader.unexpected("a key in double quotes");
            }
            let at = reader.at;
            let key = reader.string()?;
            reader.skip_blanks();
            if reader.peek() != Some(b':') {
                return reader.unexpected("':' after the key");
            }
            reader.at += 1;
            reader.skip_blanks();
            member(reader, at, key)
        })
    }

    /// `[ value, … ]`; `element` reads a value.
    fn elements(&mut self, element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.items(b']', element)
    }

    /// What stands between an opening bracket, which is next, and the closing one.
    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let open = self.at;
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.fault("brackets are nested too deep");
        }
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(close) {
            return self.close();
        }
        loop {
            item(self)?;
            self.skip_blanks();
            match self.peek() {
                Some(byte) if byte == close => return self.close(),
                Some(b',') => {
                    let comma = self.at;
                    self.at += 1;
                    self.skip_blanks();
                    if self.peek() == Some(close) {
                        let reason = format!("unexpected ',' before '{}'", close as char);
                        return Err(Fault { at: comma, reason });
                    }
                }
                None => {
                    let opened = &self.text[open..=open];
                    return Err(Fault { at: open, reason: format!("the '{opened}' here is never closed") });
                }
                Some(_) => return self.unexpected(&format!("',' or '{}'", close as char)),
            }
        }
    }

    fn close(&mut self) -> Result<()> {
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    fn word(&mut self) -> Result<Kind<'t>> {
        let rest = &self.text[self.at..];
        let len = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let kind = match &rest[..len] {
            "null" => Kind::Null,
            "true" => Kind::Boolean(true),
            "false" => Kind::Boolean(false),
            word => return self.fault(&format!("expected a value, found '{word}'; strings need double quotes")),
        };
        self.at += len;
        Ok(kind)
    }

    fn number(&mut self) -> Result<Kind<'t>> {
        let start = self.at;
        self.accept(b'-');
        let digits = self.digits()?;
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(Fault { at: start, reason: "a number must not start with 0".to_owned() });
        }
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        Ok(match text.parse() {
            Ok(value) if is_whole => Kind::Integer(value),
            _ => Kind::Number(text.into()),
        })
    }

    fn digits(&mut self) -> Result<&'t str> {
        let start = self.at;
        self.skip(|byte| byte.is_ascii_digit());
        if start == self.at {
            return self.unexpected("a digit");
        }
        Ok(&self.text[start..self.at])
    }

    fn string(&mut self) -> Result<Cow<'t, str>> {
        let open = self.at;
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at;
            self.skip(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
            text += &self.text[start..self.at];
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.to_mut().push(self.escape()?),
                None | Some(b'\n') => {
                    return Err(Fault { at: open, reason: "the string that starts here is never closed".to_owned() });
                }
                Some(_) => return self.fault("a control character in a string must be written as \\u and four digits"),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let start = self.at;
        let wrong = || Fault { at: start, reason: "unknown escape after '\\'".to_owned() };
        self.at += 1;
        let letter = match self.peek().ok_or_else(wrong)? {
            letter @ (b'"' | b'\\' | b'/') => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode().ok_or_else(wrong),
            _ => return Err(wrong()),
        };
        self.at += 1;
        Ok(letter)
    }

    /// One escaped code unit of UTF-16, or two of them for a character beyond the first 65,536.
    fn unicode(&mut self) -> Option<char> {
        let first = self.code_unit()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        let second = if self.accept(b'\\') { self.code_unit() } else { None };
        let second = second.filter(|unit| (0xdc00..0xe000).contains(unit))?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn code_unit(&mut self) -> Option<u32> {
        let digits = self.text[self.at..].strip_prefix('u')?.get(..4)?;
        let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        self.at += 5;
        u32::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal)
    }

    fn skip_blanks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|&byte| !is_skipped(byte)).unwrap_or(rest.len());
    }

    /// Passes over this byte, if it is the next.
    fn accept(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault<T>(&self, reason: &str) -> Result<T> {
        Err(Fault { at: self.at, reason: reason.to_owned() })
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        let found = match self.text[self.at..].chars().next() {
            None => "the end".to_owned(),
            Some('/' | '#') => "a comment, which JSON does not have (TOML has)".to_owned(),
            Some('\'') => "a single quote (JSON's quotes are double)".to_owned(),
            Some(letter) if letter.is_control() => format!("'{}'", letter.escape_default()),
            Some(letter) => format!("'{letter}'"),
        };
        self.fault(&format!("expected {wanted}, found {found}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(kind: &Kind<'_>) -> String {
        match kind {
            Kind::List(values) => values.iter().map(|value| format!("<{}>", show(&value.kind))).collect(),
            Kind::Table(entries) => {
                entries.iter().map(|entry| format!("{}@{}={};", entry.key, entry.at, show(&entry.value.kind))).collect()
            }
            other => other.found(),
        }
    }

    #[test]
    fn everything_has_its_place() {
        for (text, expected) in [
            ("null", "null"),
            (" [ true , false ] ", "<true><false>"),
            ("[]", ""),
            (r#"{"a": 1, "b" : {"c":[{}]}}"#, "a@1=1;b@9=c@16=<>;;"),
            (r#""\u0041\u00e9\ud83d\ude00\n\/""#, "\"Aé😀\\n/\""),
            ("-0", "0"),
            ("-12", "-12"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9223372036854775808"),
            ("1.50", "1.50"),
            ("1e3", "1e3"),
            ("1E-3", "1E-3"),
        ] {
            assert_eq!(show(&value(text).unwrap().kind), expected, "{text}");
        }
    }

    #[test]
    fn faults_have_their_place() {
        for (text, at, reason) in [
            ("", 0, "expected a value, found the end"),
            ("[1,]", 2, "unexpected ',' before ']'"),
            ("{\"a\":1,}", 6, "unexpected ',' before '}'"),
            ("[1", 0, "the '[' here is never closed"),
            ("[,1]", 1, "expected a value, found ','"),
            ("{a:1}", 1, "expected a key in double quotes, found 'a'"),
            ("{\"a\" 1}", 5, "expected ':' after the key, found '1'"),
            ("[1 2]", 3, "expected ',' or ']', found '2'"),
            ("nul", 0, "expected a value, found 'nul'; strings need double quotes"),
            ("01", 0, "a number must not start with 0"),
            ("1.", 2, "expected a digit, found the end"),
            ("-", 1, "expected a digit, found the end"),
            ("--5", 1, "expected a digit, found '-'"),
            ("+1", 0, "expected a value, found '+'"),
            ("1 2", 2, "expected the end of the file"),
            ("\"ab", 0, "the string that starts here is never closed"),
            ("[\"a\nb\"]", 1, "the string that starts here is never closed"),
            ("\"a\tb\"", 2, "a control character in a string must be written as \\u and four digits"),
            (r#""a\x""#, 2, "unknown escape after '\\'"),
            (r#""\u00g0""#, 1, "unknown escape after '\\'"),
            (r#""\u+123""#, 1, "unknown escape after '\\'"),
            (r#""\ud800""#, 1, "unknown escape after '\\'"),
            (r#""\ud800\u0041""#, 1, "unknown escape after '\\'"),
            (r#""\ud83d\\ude00""#, 1, "unknown escape after '\\'"),
            (r#""\ud83dude00""#, 1, "unknown escape after '\\'"),
            (r#""\udc00""#, 1, "unknown escape after '\\'"),
            (r#""\"#, 1, "unknown escape after '\\'"),
            (r#""\u00é0""#, 1, "unknown escape after '\\'"),
            ("// a\n1", 0, "expected a value, found a comment, which JSON does not have (TOML has)"),
            ("['a']", 1, "expected a value, found a single quote (JSON's quotes are double)"),
        ] {
            assert_eq!(value(text), Err(Fault { at, reason: reason.to_owned() }), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(value(&nested(32)).is_ok());
        assert_eq!(value(&nested(1_000_000)).unwrap_err().reason, "brackets are nested too deep");
    }
}
