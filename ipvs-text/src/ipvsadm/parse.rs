//! The words of a line to what it asks for.

use ipvs::Command;

use super::addresses::Addresses;
use super::grammar::Item;
use super::line::Line;
use super::pasted::Warning;
use super::scan::{Posix, Scanner};
use super::usage::Usage;
use super::value::Resolve;
use super::words::Words;
use crate::ipvsadm::edit::Typed;
use crate::ipvsadm::request::ListRequest;

/// What a command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// A change.
    Change(Command),
    /// A listing.
    List(ListRequest),
    /// The command lines that would make the present services (`-S`).
    Save {
        /// With numbers instead of names.
        numeric: bool,
    },
    /// The command lines of standard input (`-R`).
    Restore,
    /// The help text.
    Help,
    /// The version.
    Version,
}

/// Turns command lines into what they ask for.
#[derive(Debug)]
pub struct Parser<'r> {
    addresses: Addresses<'r>,
    posix: Posix,
    /// What was understood although it is not quite right, in the order of the words. For the
    /// caller to empty.
    pub warnings: Vec<Warning>,
    /// What was typed of the line that was parsed last, if it was understood.
    pub typed: Typed,
}

impl<'r> Parser<'r> {
    /// A parser that looks hosts and ports up with `names`.
    pub fn new(names: &'r mut dyn Resolve, posix: Posix) -> Self {
        Parser { addresses: Addresses::new(names), posix, warnings: Vec::new(), typed: Typed::default() }
    }

    /// As [`parse`](Self::parse), but nothing if a name would have to be looked up first, which may
    /// take long.
    ///
    /// # Errors
    /// What is wrong with them.
    // Inlined into its caller, it would be compiled for size as that is.
    #[inline(never)]
    pub fn parse_at_once(&mut self, words: &Words) -> Option<Result<Invocation, Usage>> {
        self.addresses.names.set_hasty(true);
        let parsed = Some(self.parse(words));
        if self.addresses.names.set_hasty(false) {
            self.warnings.clear();
            return None;
        }
        parsed
    }

    /// Had names to be looked up? They are remembered now.
    pub fn remembers_names(&self) -> bool {
        self.addresses.names.remembers()
    }

    /// Names are to be looked up anew.
    pub fn forget_names(&mut self) {
        self.addresses.forget();
    }

    /// Parses the words after the program's name. No words mean the listing.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(&mut self, words: &Words) -> Result<Invocation, Usage> {
        if words.is_empty() {
            return Ok(Invocation::List(ListRequest::ALL));
        }
        let mut scanner = Scanner::new(words, self.posix);
        // ipvsadm reports any other first word as a missing command.
        let Ok(Some((row, value))) = scanner.next(&mut self.warnings) else {
            return Err(Usage::NoCommand);
        };
        let verb = match row.item {
            Item::Help => return Ok(Invocation::Help),
            Item::Version => return Ok(Invocation::Version),
            Item::Opt(..) => return Err(Usage::NoCommand),
            Item::Verb(verb) => verb,
        };
        let mut line = Line::new(verb, value.as_deref())?;
        // Values are checked in their order, so that of several faults the first one is reported.
        while let Some((row, value)) = scanner.next(&mut self.warnings)? {
            match row.item {
                Item::Opt(opt, slot) => line.take(opt, slot, value.as_deref(), &mut self.addresses)?,
                _ => return Err(Usage::SecondCommand(scanner.last_word())),
            }
        }
        self.typed = Typed { given: line.given, server: line.server };
        line.finish(scanner.plain())
    }
}
