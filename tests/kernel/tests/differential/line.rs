//! A command line before it is typed: options as rows of the grammar, each with its value and its
//! spelling.

use ipvs_cli::ipvsadm::grammar::{self, Row, Takes};

/// An option with its value, or a word that belongs to none.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Option { row: &'static Row, value: Option<Vec<u8>> },
    Word(Vec<u8>),
}

/// How an option is typed; the default is the simplest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spelling {
    /// By its long name, even if it has a letter.
    pub(crate) long: bool,
    /// Its letter glued to the letters before it, if they take no value.
    pub(crate) bundled: bool,
    /// What stands between it and its value.
    pub(crate) between: Between,
}

/// What stands between an option and its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Between {
    #[default]
    Blank,
    Nothing,
    Equals,
}

/// The options of a profile such as `--persistent=60 --netmask=64`.
///
/// # Panics
/// When it names one that does not exist.
pub(crate) fn items(profile: &str) -> Vec<Item> {
    profile.split("--").filter(|part| !part.is_empty()).map(|part| item(part.trim_end())).collect()
}

fn item(text: &str) -> Item {
    let (long, value) = text.split_once('=').map_or((text, None), |(long, value)| (long, Some(value.into())));
    Item::Option { row: row(long), value }
}

/// The row of a long name.
///
/// # Panics
/// When there is none.
pub(crate) fn row(long: &str) -> &'static Row {
    grammar::by_long(long.as_bytes()).unwrap_or_else(|| panic!("no option is called --{long}"))
}

/// The words of a line, without the program.
pub(crate) fn words(items: &[Item], spellings: &[Spelling]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut open = false;
    for (at, item) in items.iter().enumerate() {
        let spelling = if spellings.is_empty() { Spelling::default() } else { spellings[at % spellings.len()] };
        match item {
            Item::Word(word) => {
                words.push(word.clone());
                open = false;
            }
            Item::Option { row, value } => open = push(&mut words, row, value.as_deref(), spelling, open),
        }
    }
    words
}

/// Appends an option. Says whether a letter may be glued to it.
fn push(words: &mut Vec<Vec<u8>>, row: &Row, value: Option<&[u8]>, spelling: Spelling, open: bool) -> bool {
    let letter = row.letters.bytes().chain(row.quiet_letters.bytes()).next_back();
    match letter {
        Some(letter) if !spelling.long => match words.last_mut() {
            Some(last) if open && spelling.bundled => last.push(letter),
            _ => words.push(vec![b'-', letter]),
        },
        _ => words.push([b"--", row.long.as_bytes()].concat()),
    }
    let long = words.last().is_some_and(|word| word.starts_with(b"--"));
    let Some(value) = value else { return !long && matches!(row.takes, Takes::Nothing | Takes::Words(_)) };
    let flag = matches!(row.takes, Takes::Nothing | Takes::Words(_));
    let between = match spelling.between {
        // A flag can be given a value in one way only, and is refused then.
        _ if flag => Between::Equals,
        Between::Nothing if long || value.is_empty() => Between::Equals,
        Between::Blank if matches!(row.takes, Takes::MaybeValue(_)) && value.starts_with(b"-") => Between::Equals,
        between => between,
    };
    let last = words.last_mut().expect("the option was pushed");
    match between {
        Between::Blank => words.push(value.to_vec()),
        Between::Nothing => last.extend_from_slice(value),
        Between::Equals => {
            last.push(b'=');
            last.extend_from_slice(value);
        }
    }
    false
}
