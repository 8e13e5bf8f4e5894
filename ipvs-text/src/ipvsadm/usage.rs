//! What can be wrong with a command line: the parts, and the one place that puts them into words.

use std::fmt;
use std::io::{self, Write};

use super::rules::Slot;

/// Why a command line cannot be carried out.
///
/// Words of the line are bytes: they come back as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// No command where there must be one.
    NoCommand,
    /// No such option.
    UnknownOption(Vec<u8>),
    /// The line ends where the option's value should be.
    NoValue(Vec<u8>),
    /// A `=` after an option without value.
    UnwantedValue(Vec<u8>),
    /// A second command.
    SecondCommand(Vec<u8>),
    /// An option that stands twice, or two that exclude each other.
    Multiple(Slot),
    /// A word that belongs to no option.
    UnexpectedWord(Vec<u8>),
    /// A value that is not what its option takes.
    Illegal(&'static str),
    /// The same, where the message shows the value.
    Invalid(&'static str, Vec<u8>),
    /// An address that is none.
    Address(Role, Vec<u8>),
    /// No IPv4 or IPv6 multicast address.
    Group(&'static str, Vec<u8>),
    /// A scheduler flag that does not exist (`invalid`) or belongs to another scheduler
    /// (`incompatible`).
    Flag(&'static str, Vec<u8>),
    /// `-6` without a firewall mark before it.
    Ipv6BeforeMark,
    /// `--set` with fewer than three values.
    TooFewTimeouts,
    /// A missing option.
    Needed {
        /// Its name.
        option: &'static str,
        /// What needs it.
        by: &'static str,
    },
    /// An option that the command does not take.
    NotAllowed {
        /// Its name.
        option: &'static str,
        /// What does not take it.
        by: &'static str,
    },
    /// Two options of which the command takes one.
    Conflict {
        /// The name of one.
        option: &'static str,
        /// The name of the other.
        other: &'static str,
        /// What takes only one.
        by: &'static str,
    },
    /// Port 0 without persistence.
    ZeroPort,
    /// `-o` for something else than UDP or a firewall mark.
    OnePacketNotUdp,
    /// A server of the other address family without a tunnel.
    MixedFamilies,
    /// Options of tunnels without `-i`.
    NotATunnel,
    /// Options of `-L` that exclude each other.
    ListConflict,
}

/// What an address was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `-t`, `-u`, `--sctp-service`.
    Virtual,
    /// `-r`.
    Real,
}

impl Usage {
    /// ipvsadm's exit status: 255, as for a refusal of the kernel, or 2.
    pub fn exit_status(&self) -> u8 {
        if self.is_scan_error() || *self == Usage::NoCommand { 255 } else { 2 }
    }

    /// Does `-R` end with this line? After what the scanner finds it goes on.
    pub fn ends_restore(&self) -> bool {
        !self.is_scan_error()
    }

    fn is_scan_error(&self) -> bool {
        matches!(self, Usage::UnknownOption(_) | Usage::NoValue(_) | Usage::UnwantedValue(_))
    }

    /// Writes the message, with its newline. `program` is how the program was called.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write, program: &[u8]) -> io::Result<()> {
        match self {
            Usage::NoCommand => {
                concat(out, &[b"Try `", program, b" -h' or '", program, b" --help' for more information."])
            }
            Usage::UnknownOption(word) => concat(out, &[word, b": unknown option"]),
            Usage::NoValue(word) => concat(out, &[word, b": missing argument"]),
            Usage::UnwantedValue(word) => concat(out, &[word, b": option does not take an argument"]),
            Usage::SecondCommand(word) => concat(out, &[b"invalid option `", word, b"'"]),
            Usage::Multiple(slot) => write!(out, "multiple '{}' options specified", slot.name()),
            Usage::UnexpectedWord(word) => concat(out, &[b"unexpected argument ", word]),
            Usage::Illegal(what) => write!(out, "illegal {what} specified"),
            Usage::Invalid(what, value) => {
                concat(out, &[b"invalid ", what.as_bytes(), b" value `", value, b"' specified"])
            }
            Usage::Address(Role::Virtual, _) => out.write_all(b"illegal virtual server address[:port] specified"),
            Usage::Address(Role::Real, _) => out.write_all(b"illegal real server address[:port] specified"),
            Usage::Group(family, value) => {
                concat(out, &[b"invalid ", family.as_bytes(), b" mcast-group `", value, b"'"])
            }
            Usage::Flag(how, flag) => concat(out, &[how.as_bytes(), b" scheduler flag `", flag, b"'"]),
            // Followed by an empty line, as in ipvsadm.
            Usage::Ipv6BeforeMark => out.write_all(b"-6 used before -f\n"),
            Usage::TooFewTimeouts => out.write_all(b"--set option requires 3 timeout values"),
            Usage::Needed { option, by } => write!(out, "You need to supply the '{option}' option for the {by}"),
            Usage::NotAllowed { option, by } => write!(out, "Illegal '{option}' option with the {by}"),
            Usage::Conflict { option, other, by } => {
                write!(out, "The option '{option}' conflicts with the '{other}' option in the {by}")
            }
            Usage::ZeroPort => out.write_all(b"Zero port specified for non-persistent service"),
            Usage::OnePacketNotUdp => out.write_all(b"One-Packet Scheduling is only for UDP virtual services"),
            Usage::MixedFamilies => out.write_all(b"Different address family is allowed only for tunneling servers"),
            Usage::NotATunnel => out.write_all(b"Tunnel options conflict with forward method"),
            Usage::ListConflict => out.write_all(b"options conflicts in the list command"),
        }?;
        out.write_all(b"\n")
    }
}

fn concat(out: &mut dyn Write, parts: &[&[u8]]) -> io::Result<()> {
    parts.iter().try_for_each(|part| out.write_all(part))
}

impl fmt::Display for Usage {
    /// The message without its last newline; bytes that are not UTF-8 are shown as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text, b"ipvsadm").map_err(|_| fmt::Error)?;
        text.pop();
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl std::error::Error for Usage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_typed() {
        let mut text = Vec::new();
        Usage::UnexpectedWord(vec![0xff, b'x']).write(&mut text, b"p").unwrap();
        assert_eq!(text, b"unexpected argument \xffx\n");
    }

    #[test]
    fn the_program_is_named_as_called() {
        let mut text = Vec::new();
        Usage::NoCommand.write(&mut text, b"./a b").unwrap();
        assert_eq!(text, b"Try `./a b -h' or './a b --help' for more information.\n");
    }

    #[test]
    fn restore_goes_on_after_what_the_scanner_finds() {
        assert!(!Usage::UnknownOption(b"-Q".to_vec()).ends_restore());
        assert!(Usage::NoCommand.ends_restore());
        assert!(Usage::ZeroPort.ends_restore());
        assert_eq!([Usage::NoCommand.exit_status(), Usage::ZeroPort.exit_status()], [255, 2]);
    }
}
