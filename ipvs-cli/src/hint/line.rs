//! Changes of a line, and whether the parser takes the line then.

use std::ops::Range;

use ipvs::Command;
use ipvs_text::ipvsadm::grammar::{self, Item, Row, Takes};
use ipvs_text::ipvsadm::rules::Slot;
use ipvs_text::ipvsadm::{Invocation, Parser, Usage, Words};

use super::show;

/// The words of a line.
pub(super) type Text = Vec<Vec<u8>>;

/// Asks the parser about changed lines.
pub(super) struct Check<'c, 'n> {
    parser: &'c mut Parser<'n>,
    /// What is wrong with the line as it is.
    usage: &'c Usage,
    /// How many other faults may be left.
    others: u8,
    /// Is the line one to clear the table?
    clears: bool,
}

impl<'c, 'n> Check<'c, 'n> {
    pub(super) fn new(parser: &'c mut Parser<'n>, usage: &'c Usage, others: u8) -> Self {
        Check { parser, usage, others, clears: false }
    }

    /// Sees what the line as it is was to do.
    pub(super) fn look(&mut self, text: &Text) {
        self.clears =
            text.first().is_some_and(|word| matches!(word.as_slice(), [b'-', b'C', ..] | b"--clear" | b"clear"));
    }

    /// May other faults be left?
    pub(super) fn is_relaxed(&self) -> bool {
        self.others > 0
    }

    /// As [`mends`](Self::mends), with no other fault left.
    pub(super) fn mends_all(&mut self, text: &Text) -> bool {
        Check { parser: self.parser, others: 0, ..*self }.mends(text)
    }

    /// Does the change mend it? If other faults may be left, they must have a remedy, too, so that
    /// this one is none of them.
    pub(super) fn mends(&mut self, text: &Text) -> bool {
        let words: Words = text.iter().collect();
        // No words are a listing.
        if words.is_empty() {
            return false;
        }
        let parsed = self.parser.parse_at_once(&words);
        self.parser.warnings.clear();
        match parsed {
            // No hint makes a line one that clears the table.
            Some(Ok(Invocation::Change(Command::Flush))) => self.clears,
            Some(Ok(_)) => true,
            Some(Err(next)) if self.others > 0 && next != *self.usage => {
                super::usage::hint(text, &next, &mut Check::new(self.parser, &next, self.others - 1)).is_some()
            }
            _ => false,
        }
    }

    /// Those of these words that mend the line in the place of `range`.
    pub(super) fn instead<'w>(
        &mut self,
        text: &Text,
        range: &Range<usize>,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Vec<String> {
        let mends = |word: &&str| {
            let parts: Vec<&[u8]> = word.split(' ').map(str::as_bytes).collect();
            self.mends(&with(text, range.clone(), &parts))
        };
        words.into_iter().filter(mends).map(str::to_owned).collect()
    }
}

/// The text with other words in this place.
pub(super) fn with(text: &Text, place: Range<usize>, words: &[&[u8]]) -> Text {
    let mut text = text.clone();
    text.splice(place, words.iter().map(|word| word.to_vec()));
    text
}

/// The words in this place, in quotes.
pub(super) fn quoted(words: &[Vec<u8>]) -> String {
    format!("'{}'", show(&words.join(&b' ')))
}

/// `'a', 'b' or 'c'`
pub(super) fn either(words: &[String]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

/// The option of a word.
pub(super) fn row(word: &[u8]) -> Option<&'static Row> {
    match word {
        [b'-', b'-', name @ ..] => grammar::by_long(name.split(|byte| *byte == b'=').next()?),
        [b'-', letter, ..] => grammar::by_short(*letter),
        _ => None,
    }
}

/// What the option of a word fills.
pub(super) fn slot(word: &[u8]) -> Option<Slot> {
    match row(word)?.item {
        Item::Opt(_, slot) => slot,
        _ => None,
    }
}

/// The option as it is mostly written.
pub(super) fn spelled(row: &Row) -> String {
    row.letters.chars().next().map_or_else(|| format!("--{}", row.long), |letter| format!("-{letter}"))
}

/// The option at this place, with its value.
pub(super) fn with_value(text: &Text, at: usize) -> Range<usize> {
    let word = &text[at];
    let is_glued = if word.starts_with(b"--") { word.contains(&b'=') } else { word.len() > 2 };
    let has_value = match row(word).map(|row| row.takes) {
        _ if is_glued => false,
        Some(Takes::Value(_)) => true,
        Some(Takes::MaybeValue(_)) => text.get(at + 1).is_some_and(|next| next.first() != Some(&b'-')),
        _ => false,
    };
    at..(at + 1 + usize::from(has_value)).min(text.len())
}

/// The places of the options that fill this slot, with their values.
pub(super) fn options_of(text: &Text, name: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let range = with_value(text, at);
        if slot(&text[at]).is_some_and(|slot| slot.name() == name) {
            found.push(range.clone());
        }
        at = range.end;
    }
    found
}

/// Letters of a bundle as words of their own, so that one can be left out.
pub(super) fn unbundled(text: &Text) -> Text {
    let is_bundle = |word: &Vec<u8>| {
        word.len() > 2
            && word[0] == b'-'
            && word[1..].iter().all(|letter| grammar::by_short(*letter).is_some_and(|row| row.takes == Takes::Nothing))
    };
    text.iter()
        .flat_map(|word| {
            if is_bundle(word) {
                word[1..].iter().map(|letter| vec![b'-', *letter]).collect()
            } else {
                vec![word.clone()]
            }
        })
        .collect()
}

/// The parts of words that may be values: words, and what is glued to an option. `(word, start)`
pub(super) fn values(text: &Text) -> impl Iterator<Item = (usize, usize)> + '_ {
    text.iter().enumerate().flat_map(|(at, word)| {
        let glued = match word.as_slice() {
            [b'-', b'-', ..] => word.iter().position(|byte| *byte == b'=').map(|equal| equal + 1),
            [b'-', _, b'=', ..] => Some(3),
            [b'-', _, _, ..] => Some(2),
            _ => None,
        };
        glued.map(|start| (at, start)).into_iter().chain((at > 0).then_some((at, 0)))
    })
}

/// The text with another value at a place that [`values`] gave.
pub(super) fn with_other_value(text: &Text, (at, start): (usize, usize), value: &[u8]) -> Text {
    let word = [&text[at][..start], value].concat();
    with(text, at..at + 1, &[&word])
}
