//! argv[0] and the first word select a program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use ipvs_text::escape::EscapingWriter;

use crate::director::Director;
use crate::env::Environment;
use crate::exit::Exit;
use crate::{dropin, subcommands};

/// Runs a command line and returns its exit status.
///
/// `argv[0]` selects `ipvsadm`, `ipvsadm-save` or `ipvsadm-restore`. With any other name the
/// program has subcommands, and accepts command lines of ipvsadm, too.
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
        b"ipvsadm-restore" => dropin::ipvsadm_restore(arguments, environment, director),
        _ => ipvs_cli(program, arguments, environment, director),
    };
    exit.into()
}

/// The part after the last slash.
fn file_name(path: &OsStr) -> &[u8] {
    let bytes = path.as_bytes();
    let start = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    &bytes[start..]
}

/// A subcommand if the first word is no option, otherwise a command line of ipvsadm, also after
/// `--dry-run`. `-h` is ipvsadm's.
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

/// `--netns` or `--state-dir`, which ipvsadm does not have, with or without `=`.
fn is_of_subcommands(word: &OsStr) -> bool {
    [subcommands::NETNS, subcommands::STATE_DIR].iter().any(|option| {
        let rest = word.as_bytes().strip_prefix(option.as_bytes());
        rest.is_some_and(|value| value.is_empty() || value[0] == b'=')
    })
}

/// Options start with `-`, or with a dash of a word processor.
fn is_option(word: &OsStr) -> bool {
    word.as_bytes().first().is_none_or(|&first| first == b'-' || !first.is_ascii())
}
