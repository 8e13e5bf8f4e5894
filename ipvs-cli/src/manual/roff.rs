//! The language of man, as far as these pages need it.
//!
//! Texts are written with `` `what is typed as it stands` ``, `<a value in its place>` and
//! `page(8)` or `page(1)`; an empty line begins a paragraph.

use std::fmt::Write;

/// What each page starts with: the mark of a file that this program wrote.
pub(super) const FIRST_LINE: &str = r#".\" Written by ipvs-cli from its own table of options."#;

/// A page that is being written.
///
/// ```
/// let pages = ipvs_cli::manual::pages("2026-11-30", &ipvs_cli::subcommands::command(), |roff| {
///     roff.section("BOOT").say("The package's `service` loads rules, as ipvs-cli(8) says.");
/// });
/// assert!(pages.iter().any(|page| page.name == "ipvs-cli" && page.text.contains(".SH BOOT")));
/// ```
#[derive(Debug)]
pub struct Roff {
    text: String,
}

impl Roff {
    /// Begins the page of a command, with its one-line description.
    pub(super) fn page(name: &str, description: &str, date: &str) -> Self {
        let mut text = format!("{FIRST_LINE}\n");
        let heading = plain(&name.to_uppercase());
        let version = env!("CARGO_PKG_VERSION");
        text += &format!(".TH {heading} 8 \"{date}\" \"ipvs-cli {version}\" \"System administration\"\n");
        text += ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.nh\n.ad l\n";
        let mut page = Self { text };
        page.section("NAME").raw(&format!("{} \\- {}", plain(name), plain(description)));
        page
    }

    /// Begins a section.
    pub fn section(&mut self, title: &str) -> &mut Self {
        self.raw(&format!(".SH {title}"))
    }

    /// Begins a part of a section.
    pub fn part(&mut self, title: &str) -> &mut Self {
        self.raw(&format!(".SS {title}"))
    }

    /// A paragraph, or several.
    pub fn say(&mut self, text: &str) -> &mut Self {
        for paragraph in text.split("\n\n") {
            self.raw(".PP").raw(&inline(paragraph));
        }
        self
    }

    /// A term and its description.
    pub fn item(&mut self, term: &str, text: &str) -> &mut Self {
        self.raw(".TP").raw(&inline(term));
        let mut paragraphs = text.split("\n\n");
        self.raw(&inline(paragraphs.next().unwrap_or_default()));
        for paragraph in paragraphs {
            self.raw(".IP").raw(&inline(paragraph));
        }
        self
    }

    /// Forms of a command line, each on a line of its own, or more if it is long.
    pub(super) fn forms<'a>(&mut self, program: &str, forms: impl IntoIterator<Item = &'a str>) -> &mut Self {
        for form in forms {
            self.raw(&format!(".SY {}", plain(program))).raw(&unbroken(form));
        }
        self.raw(".YS")
    }

    /// Lines of a terminal or a file, as they stand.
    pub fn example(&mut self, lines: &str) -> &mut Self {
        self.raw(".PP").raw(".in +4n").raw(".EX");
        for line in lines.lines() {
            self.raw(&plain(line));
        }
        self.raw(".EE").raw(".in")
    }

    /// The whole source.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn raw(&mut self, line: &str) -> &mut Self {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
        self
    }
}

/// Text without markup, in which nothing has a meaning for man.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            '\\' => plain.push_str("\\e"),
            '-' => plain.push_str("\\-"),
            '\'' => plain.push_str("\\*(Aq"),
            '`' => plain.push_str("\\`"),
            '^' => plain.push_str("\\(ha"),
            '~' => plain.push_str("\\(ti"),
            _ => plain.push(character),
        }
    }
    // At the beginning of a line a point is a request.
    if plain.starts_with('.') { format!("\\&{plain}") } else { plain }
}

/// A form of a command line: what stands in brackets stays on one line.
fn unbroken(form: &str) -> String {
    let mut depth = 0;
    let mut text = String::new();
    for piece in plain(form).split_inclusive(['[', ']', ' ']) {
        depth += piece.matches('[').count();
        depth -= piece.matches(']').count().min(depth);
        match piece.strip_suffix(' ') {
            Some(word) if depth > 0 => text += &format!("{word}\\ "),
            _ => text += piece,
        }
    }
    // An empty line would be one in the page.
    if text.is_empty() { "\\&".to_owned() } else { text }
}

/// Text with markup. Hyphens of words stay hyphens, where those of commands are what one types.
fn inline(text: &str) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '<']) {
        made += &words(&rest[..at]);
        let (end, font) = if rest[at..].starts_with('`') { ('`', 'B') } else { ('>', 'I') };
        let inner = &rest[at + 1..];
        let length = inner.find(end).unwrap_or(inner.len());
        // No hyphens but its own.
        made += &format!("\\f{font}\\%{}\\fR", plain(&inner[..length]));
        rest = inner.get(length + 1..).unwrap_or_default();
    }
    made += &words(rest);
    if made.starts_with('.') { format!("\\&{made}") } else { made }
}

/// Prose; the names of pages in it stand out.
fn words(text: &str) -> String {
    let prose = |text: &str| plain(text).replace("\\-", "-");
    let marked = text.split_inclusive(' ').map(|word| match word.find("(1)").or_else(|| word.find("(8)")) {
        Some(at) => format!("\\fB{}\\fR{}", plain(&word[..at]), prose(&word[at..])),
        None => prose(word),
    });
    marked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_with_a_meaning_in_roff_are_escaped() {
        assert_eq!(plain(".a 'b' \\c -d"), "\\&.a \\*(Aqb\\*(Aq \\ec \\-d");
        assert_eq!(inline("`-n`: a well-known <mask-name> of ipvs-cli(8)."), {
            "\\fB\\%\\-n\\fR: a well-known \\fI\\%mask\\-name\\fR of \\fBipvs\\-cli\\fR(8)."
        });
        assert_eq!(inline(".x and `unclosed"), "\\&.x and \\fB\\%unclosed\\fR");
    }

    #[test]
    fn brackets_are_not_torn_apart() {
        assert_eq!(unbroken("-A service [-p [timeout]] [-M mask] x"), {
            "\\-A service [\\-p\\ [timeout]] [\\-M\\ mask] x"
        });
        assert_eq!(unbroken("a] b"), "a] b");
        assert_eq!(unbroken(""), "\\&");
    }

    #[test]
    fn paragraphs_stay_apart() {
        let mut roff = Roff { text: String::new() };
        roff.item("`-p`", "one\n\ntwo").say("three\n\nfour");
        assert_eq!(roff.finish(), ".TP\n\\fB\\%\\-p\\fR\none\n.IP\ntwo\n.PP\nthree\n.PP\nfour\n");
    }
}
