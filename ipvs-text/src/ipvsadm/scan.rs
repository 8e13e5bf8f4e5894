//! Words to options, as popt 1.19 does it: bundles, glued values, `=`, and the order in which
//! things go wrong.

use std::borrow::Cow;

use super::grammar::{self, Row, Takes};
use super::pasted::{self, Lead, Warning};
use super::usage::Usage;
use super::words::Words;

/// A word that is no option ends the options, when this is set (`POSIXLY_CORRECT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posix(pub bool);

impl Posix {
    /// As the environment of this process says.
    pub fn of_this_process() -> Self {
        Posix(["POSIXLY_CORRECT", "POSIX_ME_HARDER"].into_iter().any(|name| std::env::var_os(name).is_some()))
    }
}

/// An option of the line, with its value if it takes one.
pub(super) type Found<'w> = (&'static Row, Option<Cow<'w, [u8]>>);

/// Goes through the words of one line.
pub(super) struct Scanner<'w> {
    words: &'w Words,
    /// The next word.
    next: usize,
    /// What is left of a bundle of letters; empty between words.
    bundle: &'w [u8],
    /// Only plain words follow.
    options_ended: bool,
    posix: Posix,
    plain: Plain<'w>,
    /// Words that stand in the place of [`PLACEHOLDER`], so they are not plain words any more.
    used: Vec<usize>,
    /// The word that was warned of, counted from 1.
    warned: usize,
}

/// The words that belong to no option. More than four need not be known: `--set` uses three.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plain<'w> {
    words: [Option<&'w [u8]>; 4],
}

impl<'w> Plain<'w> {
    fn push(&mut self, word: &'w [u8]) {
        if let Some(free) = self.words.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(word);
        }
    }

    /// The word at this place, counted from 0.
    pub(super) fn get(&self, index: usize) -> Option<&'w [u8]> {
        self.words.get(index).copied().flatten()
    }
}

/// In a value: replaced by the next word that is no option.
const PLACEHOLDER: &[u8] = b"!#:+";

impl<'w> Scanner<'w> {
    pub(super) fn new(words: &'w Words, posix: Posix) -> Self {
        Scanner {
            words,
            next: 0,
            bundle: &[],
            options_ended: false,
            posix,
            plain: Plain::default(),
            used: Vec::new(),
            warned: 0,
        }
    }

    /// The word that was taken last: what messages show.
    pub(super) fn last_word(&self) -> Vec<u8> {
        self.words.get(self.next.wrapping_sub(1)).unwrap_or_default().to_owned()
    }

    /// The plain words met so far.
    pub(super) fn plain(&self) -> Plain<'w> {
        self.plain
    }

    /// The next option; none when the words are at their end.
    #[inline]
    pub(super) fn next(&mut self, warnings: &mut Vec<Warning>) -> Result<Option<Found<'w>>, Usage> {
        match self.lone_letter() {
            None => self.next_of_any_kind(warnings),
            found => Ok(found),
        }
    }

    /// A letter that is a word of its own, and its value another, as nearly all are; none where
    /// there is more to think of.
    #[inline]
    fn lone_letter(&mut self) -> Option<Found<'w>> {
        let [b'-', letter] = *self.words.get(self.next)? else { return None };
        if !self.bundle.is_empty() || self.options_ended || self.words.has_bangs() {
            return None;
        }
        let row = grammar::by_short(letter)?;
        let value = match row.takes {
            Takes::Nothing | Takes::Words(_) => None,
            Takes::Value(_) => Some(self.words.get(self.next + 1)?),
            Takes::MaybeValue(_) => return None,
        };
        self.next += 1 + usize::from(value.is_some());
        Some((row, value.map(Cow::Borrowed)))
    }

    fn next_of_any_kind(&mut self, warnings: &mut Vec<Warning>) -> Result<Option<Found<'w>>, Usage> {
        if self.bundle.is_empty() {
            match self.next_option_word(warnings) {
                None => return Ok(None),
                Some(Lead::Long(text)) => return self.long(text).map(Some),
                Some(Lead::Bundle(letters)) => self.bundle = letters,
            }
        }
        self.letter(warnings).map(Some)
    }

    /// Skips, and keeps, plain words.
    fn next_option_word(&mut self, warnings: &mut Vec<Warning>) -> Option<Lead<'w>> {
        loop {
            let word = self.words.get(self.next)?;
            self.next += 1;
            if self.used.contains(&(self.next - 1)) {
                continue;
            }
            match word {
                _ if self.options_ended => self.plain.push(word),
                b"--" => self.options_ended = true,
                [b'-', b'-', name @ ..] if !is_typeset(name) => return Some(Lead::Long(name)),
                [b'-', letters @ ..] if !letters.is_empty() && !is_typeset(letters) => {
                    return Some(Lead::Bundle(letters));
                }
                _ => match pasted::option_behind_dashes(word) {
                    Some(lead) => {
                        warnings.push(Warning::dash(word, lead));
                        return Some(lead);
                    }
                    None => match word {
                        [b'-', b'-', name @ ..] => return Some(Lead::Long(name)),
                        [b'-', letters @ ..] if !letters.is_empty() => return Some(Lead::Bundle(letters)),
                        _ => self.plain_word(word),
                    },
                },
            }
        }
    }

    fn plain_word(&mut self, word: &'w [u8]) {
        self.plain.push(word);
        self.options_ended = self.posix.0;
    }

    /// `--name`, `--name=value`, `--name value`.
    fn long(&mut self, text: &'w [u8]) -> Result<Found<'w>, Usage> {
        let (name, value) = match text.iter().position(|&byte| byte == b'=') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let row = grammar::by_long(name).ok_or_else(|| Usage::UnknownOption(self.last_word()))?;
        let value = match (row.takes, value) {
            (Takes::Nothing | Takes::Words(_), Some(_)) => return Err(Usage::UnwantedValue(self.last_word())),
            (Takes::Nothing | Takes::Words(_), None) => None,
            (Takes::Value(_) | Takes::MaybeValue(_), Some(value)) => Some(self.fill_in(value)),
            (Takes::Value(_), None) => Some(self.value_word()?),
            (Takes::MaybeValue(_), None) => self.maybe_value_word(),
        };
        Ok((row, value))
    }

    /// The first letter of the bundle, and what belongs to it.
    fn letter(&mut self, warnings: &mut Vec<Warning>) -> Result<Found<'w>, Usage> {
        self.skip_glue(warnings);
        let (&letter, rest) = self.bundle.split_first().unwrap_or((&b'-', &[]));
        let row = grammar::by_short(letter).ok_or_else(|| Usage::UnknownOption(self.last_word()))?;
        self.bundle = &[];
        let value = match row.takes {
            Takes::Nothing | Takes::Words(_) if rest.first() == Some(&b'=') => {
                return Err(Usage::UnwantedValue(self.last_word()));
            }
            Takes::Nothing | Takes::Words(_) => {
                self.bundle = rest;
                None
            }
            _ if !rest.is_empty() => Some(self.fill_in(rest.strip_prefix(b"=").unwrap_or(rest))),
            Takes::Value(_) => Some(self.value_word()?),
            Takes::MaybeValue(_) => self.maybe_value_word(),
        };
        Ok((row, value))
    }

    /// `-g-w`: a space is missing before the second dash.
    fn skip_glue(&mut self, warnings: &mut Vec<Warning>) {
        if !pasted::is_glued(self.bundle) {
            return;
        }
        self.bundle = &self.bundle[1..];
        if self.warned != self.next {
            self.warned = self.next;
            warnings.push(Warning::glued(&self.last_word()));
        }
    }

    #[inline]
    fn value_word(&mut self) -> Result<Cow<'w, [u8]>, Usage> {
        let Some(value) = self.words.get(self.next) else { return Err(Usage::NoValue(self.last_word())) };
        self.next += 1;
        Ok(self.fill_in(value))
    }

    fn maybe_value_word(&mut self) -> Option<Cow<'w, [u8]>> {
        let word = self.words.get(self.next)?;
        if word.first() == Some(&b'-') || pasted::option_behind_dashes(word).is_some() {
            return None;
        }
        self.value_word().ok()
    }

    /// The value with its placeholders replaced, all by the same word.
    fn fill_in(&mut self, value: &'w [u8]) -> Cow<'w, [u8]> {
        if self.words.has_bangs() && value.windows(PLACEHOLDER.len()).any(|part| part == PLACEHOLDER) {
            self.replace_placeholders(value)
        } else {
            Cow::Borrowed(value)
        }
    }

    #[cold]
    fn replace_placeholders(&mut self, value: &'w [u8]) -> Cow<'w, [u8]> {
        let Some(word) = self.take_plain_word() else {
            return Cow::Borrowed(value);
        };
        let mut filled = Vec::new();
        let mut rest = value;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match rest.strip_prefix(PLACEHOLDER) {
                Some(after) => {
                    filled.extend_from_slice(word);
                    after
                }
                None => {
                    filled.push(byte);
                    after
                }
            };
        }
        Cow::Owned(filled)
    }

    fn take_plain_word(&mut self) -> Option<&'w [u8]> {
        let words = self.words;
        let is_free = |place: &usize| {
            !self.used.contains(place) && words.get(*place).is_some_and(|word| word.first() != Some(&b'-'))
        };
        let place = (self.next..words.len()).find(is_free)?;
        self.used.push(place);
        words.get(place)
    }
}

/// Another kind of dash after ASCII ones. popt knows no such option, but it may be a pasted one.
fn is_typeset(behind_dashes: &[u8]) -> bool {
    behind_dashes.first().is_some_and(|byte| !byte.is_ascii())
}
