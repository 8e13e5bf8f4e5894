//! One call of the program: which of the programs it is, and from its arguments to its exit status.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use ipvs::{Client, Command};

use crate::escape::EscapingWriter;
use crate::failure::Failure;
use crate::hint::edit::{self, Typed};
use crate::io::Streams;
use crate::ipvsadm::names::Names;
use crate::ipvsadm::{Invocation, Parser, Posix, Usage, help};
use crate::kernel::Kernel;
use crate::lookup::Lookup;
use crate::request::{ListRequest, Listed};
use crate::restore::{Source, restore};
use crate::{listing, operate, script};

/// Carries a call out and returns its exit status.
///
/// The first argument is the program's name, and decides what the program is: `ipvsadm`, `ipvsadm-save` or
/// `ipvsadm-restore`. By any other name it has subcommands, and speaks the language of ipvsadm too.
pub fn run(argv: &[OsString], streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    let (program, arguments) = match argv.split_first() {
        Some((program, arguments)) => (program.as_os_str(), arguments),
        None => (OsStr::new("ipvsadm"), argv),
    };
    let Streams { stdin, stdout, stderr, hints, colors } = streams.reborrow();
    // A script gets the bytes that ipvsadm writes.
    let stderr = &mut EscapingWriter::when(hints, stderr);
    let streams = &mut Streams { stdin, stdout, stderr, hints, colors };
    match file_name(program) {
        b"ipvsadm" => ipvsadm(program, arguments, streams, kernel),
        b"ipvsadm-save" => ipvsadm_save(arguments, streams, kernel),
        b"ipvsadm-restore" => ipvsadm_restore(streams, kernel),
        _ => by_its_own_name(program, arguments, streams, kernel),
    }
}

/// What is behind the last slash.
fn file_name(path: &OsStr) -> &[u8] {
    let bytes = path.as_bytes();
    let start = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    &bytes[start..]
}

/// A subcommand if the first word is no option, ipvsadm's language otherwise; `--dry-run` may stand before both.
fn by_its_own_name(program: &OsStr, arguments: &[OsString], streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    match arguments {
        [dry_run, subcommand, rest @ ..] if dry_run == operate::DRY_RUN && !is_option(subcommand) => {
            operate::run(&[&[subcommand.clone(), dry_run.clone()], rest].concat(), streams, kernel)
        }
        [dry_run, rest @ ..] if dry_run == operate::DRY_RUN => operate::dry_run(program, rest, streams, kernel),
        [subcommand, ..] if !is_option(subcommand) || is_of_subcommands(subcommand) => {
            operate::run(arguments, streams, kernel)
        }
        _ => ipvsadm(program, arguments, streams, kernel),
    }
}

/// `--netns NAMESPACE` or `--netns=NAMESPACE`, which no ipvsadm has, or `--state-dir` in the same way.
fn is_of_subcommands(word: &OsStr) -> bool {
    [operate::NETNS, operate::STATE_DIR].iter().any(|option| {
        let behind = word.as_bytes().strip_prefix(option.as_bytes());
        behind.is_some_and(|value| value.is_empty() || value[0] == b'=')
    })
}

/// The language of ipvsadm.
pub(crate) fn ipvsadm(program: &OsStr, arguments: &[OsString], streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    let program = program.as_bytes();
    let words = arguments.iter().map(|argument| argument.as_bytes()).collect();
    with_parser(|parser| {
        let parsed = parser.parse(&words);
        tell_warnings(parser, streams);
        let result = match parsed {
            Ok(Invocation::Restore) => {
                let done = restore(program, Source::Plain, streams, kernel, parser);
                operate::review_notes(kernel);
                done
            }
            Ok(Invocation::Change(command)) => change(program, &command, parser.typed, streams, kernel).map(|()| 0),
            Ok(invocation) => perform(program, &invocation, streams, kernel, &mut Names::default()).map(|()| 0),
            Err(usage) => Err(misunderstood(usage, kernel)),
        };
        result.unwrap_or_else(|failure| failure.tell(program, streams))
    })
}

/// Carries a change out. On a terminal hints follow it, if it has changed what was not asked.
fn change(
    program: &[u8],
    command: &Command,
    typed: Typed,
    streams: &mut Streams<'_>,
    kernel: &mut Kernel,
) -> Result<(), Failure> {
    let may_hint = edit::may_follow(command, typed) && (streams.hints)();
    let before = if may_hint { kernel.client().ok().and_then(|client| edit::before(command, client)) } else { None };
    perform(program, &Invocation::Change(*command), streams, kernel, &mut Names::default())?;
    if may_hint {
        for hint in edit::after(before, command, typed) {
            let _ = streams.stderr.write_all(format!("hint: {hint}\n").as_bytes());
        }
    }
    Ok(())
}

/// `ipvsadm-save` is a script to ipvsadm: it looks for `-n` and takes words for nothing.
fn ipvsadm_save(arguments: &[OsString], streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    let mut numeric = false;
    for argument in arguments.iter().map(|argument| argument.as_bytes()) {
        numeric |= argument == b"-n";
        if argument.first() == Some(&b'-') && argument != b"-n" {
            let _ = streams.stderr.write_all(SAVE_HELP);
            return 1;
        }
    }
    let invocation = Invocation::Save { numeric };
    match perform(SCRIPTS_PROGRAM, &invocation, streams, kernel, &mut Names::default()) {
        Ok(()) => 0,
        Err(failure) => failure.tell(SCRIPTS_PROGRAM, streams),
    }
}

const SAVE_HELP: &[u8] = b"ipvsadm-save: Script to save the IPVS table to stdout.
   With the -n option, prints out the table in numeric format.
";

/// `ipvsadm-restore` takes arguments, too, but does not look at them.
pub(crate) fn ipvsadm_restore(streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    with_parser(|parser| {
        let result = script::restore(SCRIPTS_PROGRAM, streams, kernel, parser);
        operate::review_notes(kernel);
        result.unwrap_or_else(|failure| failure.tell(SCRIPTS_PROGRAM, streams))
    })
}

/// What the scripts call.
const SCRIPTS_PROGRAM: &[u8] = b"ipvsadm";

pub(crate) fn with_parser<T>(work: impl FnOnce(&mut Parser<'_>) -> T) -> T {
    let posix = ["POSIXLY_CORRECT", "POSIX_ME_HARDER"].into_iter().any(|name| std::env::var_os(name).is_some());
    let mut lookup = Lookup::default();
    work(&mut Parser::new(&mut lookup, Posix(posix)))
}

/// Carries out everything but `-R`, which has no place inside of `-R`.
pub(crate) fn perform(
    program: &[u8],
    invocation: &Invocation,
    streams: &mut Streams<'_>,
    kernel: &mut Kernel,
    names: &mut Names,
) -> Result<(), Failure> {
    // Into a file goes what ipvsadm writes.
    let mut shown;
    let stdout: &mut dyn Write = match invocation {
        Invocation::List(_) | Invocation::Save { .. } if (streams.colors)() => {
            shown = EscapingWriter::new(&mut *streams.stdout);
            &mut shown
        }
        _ => &mut *streams.stdout,
    };
    let result = match invocation {
        Invocation::Change(command) => {
            let done = kernel.client().and_then(|client| client.execute(command)).map_err(Failure::change);
            if done.is_ok() {
                drop_void_notes(command, kernel);
            }
            done
        }
        Invocation::List(request) => listing::list(kernel, stdout, request, names),
        Invocation::Save { numeric } => listing::save(kernel, stdout, *numeric, names),
        Invocation::Restore => Err(Failure::Usage(Usage::NoCommand)),
        // As everywhere, errors of writing are ignored.
        Invocation::Help => help::write(stdout, program).or(Ok(())),
        Invocation::Version => help::write_version(stdout, program).or(Ok(())),
    };
    result.map_err(|failure| explained(failure, invocation, kernel, streams.hints))
}

/// Notes of `drain` that this edit or deletion has made void. An addition is passed over: it would cost each `-a` a few calls.
fn drop_void_notes(command: &Command, kernel: &Kernel) {
    let takes_away = matches!(
        command,
        Command::EditDestination(..) | Command::DeleteDestination(..) | Command::DeleteService(_) | Command::Flush
    );
    if let Some(directory) = takes_away.then(|| kernel.state_directory()).flatten() {
        operate::drop_void_notes(&directory, command);
    }
}

/// The failure with its cause, if somebody is there to read it.
fn explained(failure: Failure, invocation: &Invocation, kernel: &mut Kernel, hints: fn() -> bool) -> Failure {
    let command = match invocation {
        Invocation::Change(command) => *command,
        // What is not there can't be zeroed either.
        Invocation::List(ListRequest { what: Listed::Service(key), .. }) => Command::Zero(Some(*key)),
        _ => return failure,
    };
    match failure.refused() {
        Some(errno) if hints() => {
            let cause = kernel.client().and_then(|client| client.explain(&command, errno));
            // That it is not known is no failure of its own.
            failure.because(cause.ok().flatten())
        }
        _ => failure,
    }
}

/// Where there is no IPVS, that is told first.
fn misunderstood(usage: Usage, kernel: &mut Kernel) -> Failure {
    match kernel.client().and_then(Client::info) {
        Ok(_) => Failure::Usage(usage),
        Err(error) => Failure::Unavailable(error),
    }
}

pub(crate) fn tell_warnings(parser: &mut Parser<'_>, streams: &mut Streams<'_>) {
    for warning in parser.warnings.drain(..) {
        let mut text = Vec::new();
        // Into memory, and to where nothing could be said about it.
        let _ = warning.write(&mut text);
        let _ = streams.stderr.write_all(&text);
    }
}

/// Every option starts with a dash, if perhaps with one of typography.
fn is_option(word: &OsStr) -> bool {
    word.as_bytes().first().is_none_or(|&first| first == b'-' || !first.is_ascii())
}
