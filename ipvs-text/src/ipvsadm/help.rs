//! The texts of `-h` and `-v`: the first from the rows of the grammar.

use std::io::{self, Write};

use super::grammar::{ROWS, Row, Section, Takes};

/// What `-v` prints, a constant: the interface that ipvsadm was made for, not what the kernel says.
const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";

/// Writes what `-v` prints; under a name of its own the program then says what it really is.
///
/// # Errors
/// Those of `out`.
pub fn write_version(out: &mut dyn Write, program: &[u8]) -> io::Result<()> {
    out.write_all(VERSION.as_bytes())?;
    if has_its_own_name(program) {
        writeln!(out, "spoken by ipvs-cli v{}", env!("CARGO_PKG_VERSION"))?;
    }
    Ok(())
}

fn has_its_own_name(program: &[u8]) -> bool {
    let name = program.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    !name.starts_with(b"ipvsadm")
}

/// The forms of a command line, without the program's name.
pub const FORMS: [&str; 13] = [
    "-A|E virtual-service [-s scheduler] [-p [timeout]] [-M netmask] [--pe persistence_engine] [-b sched-flags]",
    "-D virtual-service",
    "-C",
    "-R",
    "-S [-n]",
    "-a|e virtual-service -r server-address [options]",
    "-d virtual-service -r server-address",
    "-L|l [virtual-service] [options]",
    "-Z [virtual-service]",
    "--set tcp tcpfin udp",
    "--start-daemon {master|backup} [daemon-options]",
    "--stop-daemon {master|backup}",
    "-h",
];

/// Writes what `-h` prints.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, program: &[u8]) -> io::Result<()> {
    out.write_all(VERSION.as_bytes())?;
    out.write_all(b"Usage:\n")?;
    for form in FORMS {
        out.write_all(b"  ")?;
        out.write_all(program)?;
        writeln!(out, " {form}")?;
    }
    out.write_all(b"\nCommands:\nEither long or short options are allowed.\n")?;
    section(out, Section::Commands)?;
    out.write_all(b"\nvirtual-service:\n")?;
    section(out, Section::VirtualService)?;
    out.write_all(b"\nOptions:\n")?;
    section(out, Section::Options)?;
    out.write_all(b"Daemon Options:\n")?;
    section(out, Section::Daemon)?;
    if has_its_own_name(program) {
        out.write_all(
            b"\nipvs-cli also has subcommands (apply, diff, show, conns, top and others): `ipvs-cli help'.\n",
        )?;
    }
    Ok(())
}

fn section(out: &mut dyn Write, section: Section) -> io::Result<()> {
    ROWS.iter().filter(|row| row.section == section).try_for_each(|row| entry(out, row))
}

/// A row's lines: its forms to the left, what it does to the right.
fn entry(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    let (width, forms) = forms(row);
    let mut left = forms.as_str();
    for line in row.help {
        writeln!(out, "  {left:<width$}{line}")?;
        left = "";
    }
    Ok(())
}

/// How wide the left column is, and what stands in it.
fn forms(row: &Row) -> (usize, String) {
    let long = format!("--{}", row.long);
    let short = row.letters.chars().map(|letter| format!("-{letter}")).collect::<Vec<_>>().join("|");
    let value = match row.takes {
        Takes::Nothing => String::new(),
        Takes::Value(name) | Takes::Words(name) => name.to_owned(),
        Takes::MaybeValue(name) => format!("[{name}]"),
    };
    match row.section {
        Section::Commands if short.is_empty() => (28, format!("{long} {value}")),
        Section::Commands | Section::Unlisted => (28, format!("{long:<17} {short}")),
        Section::VirtualService if short.is_empty() => (36, format!("{long:<17} {value}")),
        Section::VirtualService => (36, format!("{:<17} {value}", format!("{long}|{short}"))),
        Section::Options if short.is_empty() => (36, format!("{long:<15} {value}")),
        Section::Options => (36, format!("{long:<14} {short} {value}")),
        Section::Daemon => (36, format!("{long} {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let mut text = Vec::new();
        write(&mut text, b"ipvsadm").unwrap();
        String::from_utf8(text).unwrap()
    }

    /// The whole text of ipvsadm 1.31.
    #[test]
    fn the_help_text_equals_ipvsadms() {
        assert_eq!(text(), include_str!("help.txt"));
    }

    #[test]
    fn every_row_is_mentioned() {
        let text = text();
        for row in ROWS.iter().filter(|row| row.section != Section::Unlisted) {
            assert!(text.contains(&format!("\n  --{}", row.long)), "{}", row.long);
            assert!(row.letters.chars().all(|letter| text.contains(&format!("-{letter}"))), "{}", row.letters);
        }
    }
}
