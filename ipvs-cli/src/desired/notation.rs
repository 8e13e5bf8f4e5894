//! Which notation a text is in.

/// How a text says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// ipvsadm's commands.
    Rules,
    /// The typed notation, in TOML.
    Toml,
    /// The typed notation, in JSON.
    Json,
    /// There are only blanks and comments.
    Nothing,
}

/// Tells the notation by the first words that are no comment.
pub(super) fn tell(text: &[u8]) -> Notation {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let Some(line) = lines.find(|line| !line.is_empty() && line[0] != b'#') else {
        return Notation::Nothing;
    };
    let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    match word {
        [b'{', ..] => Notation::Json,
        // A dash, be it one of typography.
        [b'-', ..] | [0xe2, 0x80, 0x90..=0x95, ..] | [0xe2, 0x88, 0x92, ..] | b"ipvsadm" => Notation::Rules,
        _ => Notation::Toml,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_tell() {
        for (text, is) in [
            ("", Notation::Nothing),
            ("\n # only\n\t\n", Notation::Nothing),
            ("{}", Notation::Json),
            ("\n\t {\"version\": 1}", Notation::Json),
            ("-A -f 1", Notation::Rules),
            ("# saved\n\n  -C", Notation::Rules),
            ("ipvsadm -A -f 1", Notation::Rules),
            ("\u{2013}A -f 1", Notation::Rules),
            ("\u{2212}A -f 1", Notation::Rules),
            ("--set 1 2 3", Notation::Rules),
            ("version = 1", Notation::Toml),
            ("# shop\n[[services]]", Notation::Toml),
            ("ipvsadmin = 1", Notation::Toml),
            ("<xml/>", Notation::Toml),
        ] {
            assert_eq!(tell(text.as_bytes()), is, "{text:?}");
        }
    }
}
