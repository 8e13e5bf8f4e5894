//! Whether what a subcommand prints gets to where it goes: a backup on a full disk must not look like one that was made.

use std::io::{self, ErrorKind, Write};

use super::cli::Subcommand;

/// Standard output, and the first error of writing to it.
pub(super) struct Heeded<'o> {
    out: &'o mut dyn Write,
    error: Option<io::Error>,
}

impl<'o> Heeded<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Heeded { out, error: None }
    }

    /// Why not all of it was written. That nobody reads it any more is none.
    pub(super) fn end(mut self) -> Option<io::Error> {
        let _ = self.flush();
        self.error.filter(|error| error.kind() != ErrorKind::BrokenPipe)
    }

    fn heed<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|error| {
            self.error.get_or_insert_with(|| {
                error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
            });
        })
    }
}

impl Write for Heeded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.heed(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.heed(flushed)
    }
}

/// The exit status if what it prints is lost; `None` of those that are for a change, which is made all the same.
pub(super) fn status_if_lost(subcommand: &Subcommand) -> Option<u8> {
    match subcommand {
        Subcommand::Show(_)
        | Subcommand::Conns(_)
        | Subcommand::Metrics(_)
        | Subcommand::Top(_)
        | Subcommand::Watch(_) => Some(1),
        // There, 1 means something else.
        Subcommand::Diff(_) | Subcommand::Doctor(_) | Subcommand::Mark(_) => Some(2),
        Subcommand::Apply(_)
        | Subcommand::Restore(_)
        | Subcommand::Drain(_)
        | Subcommand::Undrain(_)
        | Subcommand::Weight(_) => None,
    }
}
