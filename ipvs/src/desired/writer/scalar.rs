//! The values that both notations write alike.

// Public for `ipvs-cli` only: `desired::parts`.
#![allow(missing_docs)]

use std::fmt::{self, Display, Write};

/// The entries of a table, in the order in which they are written.
pub type Fields = Vec<(&'static str, Scalar)>;

/// A value that stands on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    Integer(u64),
    Boolean(bool),
    Text(String),
    Texts(Vec<String>),
    List(Vec<Scalar>),
    Table(Fields),
}

impl From<u32> for Scalar {
    fn from(value: u32) -> Self {
        Scalar::Integer(value.into())
    }
}

impl Scalar {
    pub fn text(value: impl Display) -> Self {
        Scalar::Text(value.to_string())
    }
}

/// How a notation writes the tables that stand on one line.
#[derive(Clone, Copy, Debug)]
pub enum Inline {
    Json,
    Toml,
}

impl Inline {
    pub fn of(self, scalar: &Scalar) -> impl Display + '_ {
        Shown { scalar, inline: self }
    }
}

struct Shown<'s> {
    scalar: &'s Scalar,
    inline: Inline,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scalar {
            Scalar::Integer(value) => Display::fmt(value, f),
            Scalar::Boolean(value) => Display::fmt(value, f),
            Scalar::Text(text) => self.inline.quoted(f, text),
            Scalar::Texts(texts) => {
                f.write_char('[')?;
                for (index, text) in texts.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    self.inline.quoted(f, text)?;
                }
                f.write_char(']')
            }
            Scalar::List(values) => {
                f.write_char('[')?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { ", " }, self.inline.of(value))?;
                }
                f.write_char(']')
            }
            Scalar::Table(fields) => self.table(f, fields),
        }
    }
}

impl Shown<'_> {
    fn table(&self, f: &mut fmt::Formatter<'_>, fields: &Fields) -> fmt::Result {
        f.write_str(match self.inline {
            Inline::Json => "{",
            Inline::Toml => "{ ",
        })?;
        for (index, (key, value)) in fields.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            let value = self.inline.of(value);
            match self.inline {
                Inline::Json => write!(f, "\"{key}\": {value}")?,
                Inline::Toml => write!(f, "{key} = {value}")?,
            }
        }
        f.write_str(match self.inline {
            Inline::Json => "}",
            Inline::Toml => " }",
        })
    }
}

impl Inline {
    /// In quotes. What must not reach a terminal is escaped, too: reading it back gives the same
    /// text.
    fn quoted(self, f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
        f.write_char('"')?;
        let mut rest = text;
        // Mostly there is nothing to escape, so it goes in one piece.
        while let Some(at) = rest.find(is_escaped) {
            let (plain, escaped) = rest.split_at(at);
            let mut letters = escaped.chars();
            f.write_str(plain)?;
            match letters.next() {
                Some(letter @ ('"' | '\\')) => write!(f, "\\{letter}")?,
                Some(letter) => self.escape(f, letter)?,
                None => {}
            }
            rest = letters.as_str();
        }
        f.write_str(rest)?;
        f.write_char('"')
    }

    /// The notations differ only in what has more than four digits.
    fn escape(self, f: &mut fmt::Formatter<'_>, letter: char) -> fmt::Result {
        match self {
            Inline::Toml if letter > '\u{ffff}' => write!(f, "\\U{:08x}", u32::from(letter)),
            _ => letter.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}")),
        }
    }
}

/// Could this character make a terminal do something, or a line look like another?
pub fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn is_escaped(letter: char) -> bool {
    matches!(letter, '"' | '\\') || is_unsafe(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_on_one_line() {
        let tunnel: Fields = vec![
            ("type", Scalar::text("gue")),
            ("port", 6080.into()),
            ("flags", Scalar::Texts(vec!["a".into(), "b".into()])),
        ];
        let table = Scalar::Table(tunnel);
        assert_eq!(Inline::Json.of(&table).to_string(), r#"{"type": "gue", "port": 6080, "flags": ["a", "b"]}"#);
        assert_eq!(Inline::Toml.of(&table).to_string(), r#"{ type = "gue", port = 6080, flags = ["a", "b"] }"#);
    }

    #[test]
    fn odd_names_are_escaped() {
        let text = Scalar::text("a\"\\\n\u{7f}é");
        assert_eq!(Inline::Json.of(&text).to_string(), r#""a\"\\\u000a\u007fé""#);
        let text = Scalar::text("\u{9b}\u{202e}\u{e0041}");
        assert_eq!(Inline::Json.of(&text).to_string(), r#""\u009b\u202e\udb40\udc41""#);
        assert_eq!(Inline::Toml.of(&text).to_string(), r#""\u009b\u202e\U000e0041""#);
    }
}
