//! The language of ipvsadm: from words to what they ask for.

mod addresses;
pub mod edit;
mod finish;
pub mod grammar;
pub mod help;
mod line;
mod lookup;
pub mod manual;
pub mod names;
pub mod parse;
#[cfg(test)]
mod parse_laws;
#[cfg(test)]
mod parse_tests;
pub mod pasted;
pub mod refused;
pub mod request;
pub mod rules;
mod scan;
#[cfg(test)]
mod testing;
pub mod usage;
pub mod value;
pub mod words;

pub use line::LONGEST_TIMEOUT;
pub use parse::{Invocation, Parser};
pub use scan::Posix;
pub use usage::Usage;
pub use words::Words;

/// Lends what looks names up by the system's resolver, and remembers them as long as it lives.
pub fn with_names<T>(work: impl FnOnce(&mut dyn value::Resolve) -> T) -> T {
    work(&mut lookup::Lookup::default())
}

/// As [`with_names`], with a parser around them.
pub fn with_parser<T>(work: impl FnOnce(&mut Parser<'_>) -> T) -> T {
    let mut lookup = lookup::Lookup::default();
    work(&mut Parser::new(&mut lookup, Posix::of_this_process()))
}
