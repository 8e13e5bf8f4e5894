//! Finding and running the programs of iptables.

use std::fmt;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use ipvs::Family;
use ipvs::netns::Namespace;

use crate::failure::BackendError;

/// How long another program may hold iptables' lock, in seconds.
const PATIENCE: u32 = 10;

/// The two variants of iptables. They keep their rules in different parts of the kernel: neither
/// sees those of the other.
///
/// ```
/// assert_eq!(fwmark::Variant::Legacy.to_string(), "iptables-legacy");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// The kernel's old tables. The programs take a lock.
    Legacy,
    /// The same rules, kept in nftables.
    Nft,
}

impl Variant {
    pub(crate) const ALL: [Variant; 2] = [Variant::Legacy, Variant::Nft];

    /// From the output of `--version`. Old programs, which don't name it, are legacy.
    fn of_version(said: &str) -> Self {
        if said.contains("nf_tables") { Variant::Nft } else { Variant::Legacy }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Variant::Legacy => "iptables-legacy",
            Variant::Nft => "iptables-nft",
        })
    }
}

/// A set of programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(super) variant: Variant,
    /// The part of a name after `iptables`: `-legacy`, `-nft` or nothing.
    infix: &'static str,
    /// The namespace in which they run.
    namespace: Namespace,
}

impl Programs {
    /// The programs named iptables.
    pub(crate) fn usual() -> Result<Self, BackendError> {
        Self::with_infix("")
    }

    /// The programs of this variant, whatever their names.
    pub(crate) fn of(variant: Variant) -> Result<Self, BackendError> {
        let infix = match variant {
            Variant::Legacy => "-legacy",
            Variant::Nft => "-nft",
        };
        match Self::with_infix(infix) {
            Err(BackendError::Unavailable { .. }) => {}
            result => return result,
        }
        let usual = Self::usual()?;
        if usual.variant == variant {
            return Ok(usual);
        }
        Err(unavailable(format!("there is no {variant}: iptables is {} here", usual.variant)))
    }

    fn with_infix(infix: &'static str) -> Result<Self, BackendError> {
        let namespace = Namespace::of_this_thread()?;
        let output = run(&namespace, &format!("iptables{infix}-restore"), &["--version"], "")?;
        Ok(Programs { variant: Variant::of_version(&output), infix, namespace })
    }

    /// All rules of a table, or of all tables that are in use.
    pub(super) fn save(&self, family: Family, table: Option<&str>) -> Result<String, BackendError> {
        let table: Vec<&str> = table.into_iter().flat_map(|table| ["-t", table]).collect();
        run(&self.namespace, &self.name(family, "save"), &table, "")
    }

    /// Makes all changes of a table, or none.
    pub(super) fn restore(&self, family: Family, changes: &str) -> Result<(), BackendError> {
        // The variant over nftables needs no lock and ignores the option.
        let wait = format!("--wait={PATIENCE}");
        run(&self.namespace, &self.name(family, "restore"), &["--noflush", &wait], changes).map(drop)
    }

    fn name(&self, family: Family, what: &str) -> String {
        let program = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        format!("{program}{}-{what}", self.infix)
    }
}

/// Runs a program in this network namespace to its end. Returns its standard output.
fn run(namespace: &Namespace, program: &str, arguments: &[&str], input: &str) -> Result<String, BackendError> {
    let not_run = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => unavailable(format!("there is no program {program}")),
        _ => BackendError::NotRun { program: program.to_owned(), error },
    };
    let is_here = Namespace::of_this_thread()? == *namespace;
    let output =
        if is_here { pipe(program, arguments, input) } else { namespace.within(|| pipe(program, arguments, input))? };
    let output = output.map_err(not_run)?;
    let said = in_one_line(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let lacks = ["can't initialize", "Cannot initialize", "does not exist", "not supported", "generation id: Invalid"];
    Err(if said.contains("must be root") || said.contains("Permission denied") {
        BackendError::NotPermitted
    } else if lacks.iter().any(|words| said.contains(words)) {
        unavailable(said)
    } else {
        BackendError::Program { program: program.to_owned(), status: output.status, said }
    })
}

fn pipe(program: &str, arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Some messages are compared below.
    let mut child = command.env("LC_ALL", "C").spawn()?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    match written {
        // A program that failed says why.
        Err(_) if !output.status.success() => Ok(output),
        written => written.map(|()| output),
    }
}

/// As a part of a sentence.
fn in_one_line(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

fn unavailable(why: String) -> BackendError {
    BackendError::Unavailable { what: "iptables", why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variant_is_what_the_program_says() {
        assert_eq!(Variant::of_version("iptables-restore v1.8.9 (nf_tables)"), Variant::Nft);
        assert_eq!(Variant::of_version("iptables-restore v1.8.9 (legacy)"), Variant::Legacy);
        assert_eq!(Variant::of_version("iptables-restore v1.6.1"), Variant::Legacy);
    }

    #[test]
    fn a_missing_program_is_unavailable() {
        let error = run(&Namespace::of_this_thread().unwrap(), "iptables-no-such", &[], "").unwrap_err();
        assert!(matches!(error, BackendError::Unavailable { .. }), "{error}");
    }

    #[test]
    fn the_error_has_the_programs_message() {
        let here = Namespace::of_this_thread().unwrap();
        let error =
            run(&here, "sh", &["-c", "cat > /dev/null; printf 'no\\n\\nnever\\n' >&2; exit 3"], "").unwrap_err();
        assert_eq!(error.to_string(), "sh failed (exit status: 3): no; never");
        assert_eq!(run(&here, "cat", &[], "text").unwrap(), "text");
    }

    #[test]
    fn a_namespace_that_cannot_be_entered_is_an_error() {
        let nowhere = Namespace::at("/dev/null").unwrap();
        let error = run(&nowhere, "cat", &[], "text").unwrap_err();
        assert!(matches!(error, BackendError::Namespace(_)), "{error}");
    }
}
