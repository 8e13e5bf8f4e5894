//! Errors of writing to standard output: a backup on a full disk must not look like a good one.

use std::io::{self, ErrorKind, Write};

use crate::subcommands::cli::Subcommand;

/// Standard output, and the first error of writing to it.
pub(super) struct ErrorTrackingWriter<'o> {
    out: &'o mut dyn Write,
    error: Option<io::Error>,
}

impl<'o> ErrorTrackingWriter<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        ErrorTrackingWriter { out, error: None }
    }

    /// The first error of writing. A closed pipe does not count.
    pub(super) fn end(mut self) -> Option<io::Error> {
        let _ = self.flush();
        self.error.filter(|error| error.kind() != ErrorKind::BrokenPipe)
    }

    fn track<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|error| {
            self.error.get_or_insert_with(|| {
                error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
            });
        })
    }
}

impl Write for ErrorTrackingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.track(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.track(flushed)
    }
}

const RED: &[u8] = b"\x1b[31m";
const GREEN: &[u8] = b"\x1b[32m";
const YELLOW: &[u8] = b"\x1b[33m";

/// `diff`: removed lines red, added ones green.
pub(super) fn color_of_difference(first: u8) -> Option<&'static [u8]> {
    match first {
        b'-' => Some(RED),
        b'+' => Some(GREEN),
        _ => None,
    }
}

/// `monitor`: refused changes red, unknown ones yellow.
pub(super) fn color_of_event(first: u8) -> Option<&'static [u8]> {
    match first {
        b'!' => Some(RED),
        b'?' => Some(YELLOW),
        _ => None,
    }
}

/// Colours lines by their first character. The lines are escaped before they get here, so their
/// text can't set a colour.
pub(super) struct ColoredLines<'o> {
    out: &'o mut dyn Write,
    color: fn(u8) -> Option<&'static [u8]>,
    at_start: bool,
    is_colored: bool,
}

impl<'o> ColoredLines<'o> {
    pub(super) fn new(out: &'o mut dyn Write, color: fn(u8) -> Option<&'static [u8]>) -> Self {
        ColoredLines { out, color, at_start: true, is_colored: false }
    }
}

impl Write for ColoredLines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let color = line.first().and_then(|first| (self.color)(*first));
            if let Some(color) = color.filter(|_| self.at_start) {
                self.out.write_all(color)?;
                self.is_colored = true;
            }
            let (text, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |text| (text, b"\n"));
            self.out.write_all(text)?;
            self.at_start = !end.is_empty();
            if self.at_start && std::mem::take(&mut self.is_colored) {
                self.out.write_all(b"\x1b[m")?;
            }
            self.out.write_all(end)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether it changes something: such a change counts even if its output is lost.
pub(super) fn is_change(subcommand: &Subcommand) -> bool {
    match subcommand {
        Subcommand::Apply(apply) => !apply.manner.dry_run,
        Subcommand::Restore(restore) => !restore.manner.dry_run,
        Subcommand::Conns(conns) => conns.is_change(),
        Subcommand::Drain(drain) => !drain.dry_run,
        Subcommand::Undrain(_) | Subcommand::Weight(_) => true,
        Subcommand::Mark(marks) => marks.is_change(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::subcommands::cli::Cli;

    #[test]
    fn lines_are_coloured_by_their_sign_however_they_are_written() {
        let text = b"- -A -f 1 -s wlc\n+ -A -f 2 -s wlc\n1 added - 1 removed\n";
        let expected = "\x1b[31m- -A -f 1 -s wlc\x1b[m\n\x1b[32m+ -A -f 2 -s wlc\x1b[m\n1 added - 1 removed\n";
        for size in [1, 7, text.len()] {
            let mut out = Vec::new();
            let mut colored = ColoredLines::new(&mut out, color_of_difference);
            text.chunks(size).for_each(|chunk| colored.write_all(chunk).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    /// A full disk must not look like a change that was not made.
    #[test]
    fn every_subcommand_that_changes_something_is_a_change() {
        let is_change = |line: &str| {
            let words = ["ipvs-cli"].into_iter().chain(line.split(' '));
            super::is_change(&Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).subcommand)
        };
        for line in [
            "apply -",
            "restore",
            "drain --all 192.0.2.1",
            "undrain --all 192.0.2.1",
            "weight --all 192.0.2.1 5",
            "mark add auto tcp:192.0.2.1:80",
            "mark delete --all",
        ] {
            assert!(is_change(line), "{line}");
        }
        for line in [
            "apply --dry-run -",
            "restore --dry-run",
            "diff -",
            "show",
            "mark list",
            "mark check",
            "drain --dry-run --all 192.0.2.1",
            "sync verify -",
        ] {
            assert!(!is_change(line), "{line}");
        }
    }
}
