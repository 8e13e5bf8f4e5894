//! One call: its name and first word select the program, which carries it out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::director::Director;
use crate::env::Environment;
use crate::escape::EscapingWriter;
use crate::exit::Exit;
use crate::{dropin, subcommands};

/// Carries a call out and returns its exit status.
///
/// The first argument is the program's name, and decides what the program is: `ipvsadm`, `ipvsadm-save` or
/// `ipvsadm-restore`. By any other name it has subcommands, and speaks the language of ipvsadm too.
pub fn run(argv: &[OsString], environment: &mut Environment<'_>, director: &mut Director) -> u8 {
    let (program, arguments) = match argv.split_first() {
        Some((program, arguments)) => (program.as_os_str(), arguments),
        None => (OsStr::new("ipvsadm"), argv),
    };
    // A script gets the bytes that ipvsadm writes.
    let stderr = &mut EscapingWriter::when(environment.hints, &mut *environment.stderr);
    let (stdin, stdout) = (&mut *environment.stdin, &mut *environment.stdout);
    let environment = &mut Environment { stdin, stdout, stderr, ..*environment };
    let exit = match file_name(program) {
        b"ipvsadm" => dropin::ipvsadm(program, arguments, environment, director),
        b"ipvsadm-save" => dropin::ipvsadm_save(arguments, environment, director),
        b"ipvsadm-restore" => dropin::ipvsadm_restore(environment, director),
        _ => ipvs_cli(program, arguments, environment, director),
    };
    exit.into()
}

/// What is behind the last slash.
fn file_name(path: &OsStr) -> &[u8] {
    let bytes = path.as_bytes();
    let start = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    &bytes[start..]
}

/// A subcommand if the first word is no option, ipvsadm's language otherwise; `--dry-run` may stand before both. `-h` is ipvsadm's.
fn ipvs_cli(
    program: &OsStr,
    arguments: &[OsString],
    environment: &mut Environment<'_>,
    director: &mut Director,
) -> Exit {
    match arguments {
        [] => subcommands::run(&["help".into()], environment, director),
        [help, ..] if help == "--help" => subcommands::run(&["help".into()], environment, director),
        [dry_run, subcommand, rest @ ..] if dry_run == subcommands::DRY_RUN && !is_option(subcommand) => {
            subcommands::run(&[&[subcommand.clone(), dry_run.clone()], rest].concat(), environment, director)
        }
        [dry_run, rest @ ..] if dry_run == subcommands::DRY_RUN => {
            dropin::dry_run(program, rest, environment, director)
        }
        [subcommand, ..] if !is_option(subcommand) || is_of_subcommands(subcommand) => {
            subcommands::run(arguments, environment, director)
        }
        _ => dropin::ipvsadm(program, arguments, environment, director),
    }
}

/// `--netns NAMESPACE` or `--netns=NAMESPACE`, which no ipvsadm has, or `--state-dir` in the same way.
fn is_of_subcommands(word: &OsStr) -> bool {
    [subcommands::NETNS, subcommands::STATE_DIR].iter().any(|option| {
        let behind = word.as_bytes().strip_prefix(option.as_bytes());
        behind.is_some_and(|value| value.is_empty() || value[0] == b'=')
    })
}

/// Every option starts with a dash, if perhaps with one of typography.
fn is_option(word: &OsStr) -> bool {
    word.as_bytes().first().is_none_or(|&first| first == b'-' || !first.is_ascii())
}
