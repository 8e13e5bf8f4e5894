//! The language of ipvsadm: from words to what they ask for.

mod addresses;
mod finish;
pub mod grammar;
pub mod help;
mod line;
pub mod manual;
pub mod names;
pub mod parse;
#[cfg(test)]
mod parse_laws;
#[cfg(test)]
mod parse_tests;
pub mod pasted;
pub mod rules;
mod scan;
#[cfg(test)]
pub(crate) mod testing;
pub mod usage;
pub mod value;
pub mod words;

pub(crate) use line::LONGEST_TIMEOUT;
pub use parse::{Invocation, Parser};
pub use scan::Posix;
pub use usage::Usage;
pub use words::Words;
