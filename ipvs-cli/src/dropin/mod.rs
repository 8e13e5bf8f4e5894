//! ipvsadm, ipvsadm-save and ipvsadm-restore, byte for byte.

mod dry_run;
mod failure;
pub(crate) mod listing;
mod restore;
mod script;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use ipvs::{Client, Command};
use ipvs_text::escape::{self, EscapingWriter};
use ipvs_text::ipvsadm::edit::{self, Typed};
use ipvs_text::ipvsadm::names::Names;
use ipvs_text::ipvsadm::request::{ListRequest, Listed};
use ipvs_text::ipvsadm::{Invocation, Parser, Usage, help, with_parser};

use self::failure::Failure;
use self::restore::{Source, restore};
use crate::director::Director;
use crate::env::Environment;
use crate::exit::Exit;
use crate::state::lock::Lock;
use crate::state::notes::{self, Notes};

pub(crate) use dry_run::{ipvsadm as dry_run, try_out};

/// The language of ipvsadm.
pub(crate) fn ipvsadm(
    program: &OsStr,
    arguments: &[OsString],
    environment: &mut Environment<'_>,
    director: &mut Director,
) -> Exit {
    let program = program.as_bytes();
    let words = arguments.iter().map(|argument| argument.as_bytes()).collect();
    with_parser(|parser| {
        let parsed = parser.parse(&words);
        print_warnings(parser, environment);
        let result = match parsed {
            Ok(Invocation::Restore) => {
                let done = restore(program, Source::Plain, environment, director, parser);
                review_notes(environment, director);
                done
            }
            Ok(Invocation::Change(command)) => {
                change(program, &command, parser.typed, environment, director).map(|()| Exit::Success)
            }
            Ok(invocation) => {
                perform(program, &invocation, environment, director, &mut Names::default()).map(|()| Exit::Success)
            }
            // Without IPVS, ipvsadm reports that instead.
            Err(usage) => match director.client().and_then(Client::info) {
                Ok(_) => Err(Failure::usage(usage, &words, parser, environment.hints)),
                Err(error) => Err(Failure::Unavailable(error)),
            },
        };
        result.unwrap_or_else(|failure| failure.report(None, program, environment))
    })
}

/// Makes a change. On a terminal, hints follow if it also changed what was not asked.
fn change(
    program: &[u8],
    command: &Command,
    typed: Typed,
    environment: &mut Environment<'_>,
    director: &mut Director,
) -> Result<(), Failure> {
    let may_hint = edit::may_follow(command, typed) && (environment.hints)();
    let before = if may_hint { director.client().ok().and_then(|client| edit::before(command, client)) } else { None };
    perform(program, &Invocation::Change(*command), environment, director, &mut Names::default())?;
    if may_hint {
        for hint in edit::after(before, command, typed) {
            let _ = environment.stderr.write_all(format!("hint: {hint}\n").as_bytes());
        }
    }
    Ok(())
}

/// `ipvsadm-save` is a shell script in ipvsadm: it knows `-n` and ignores words.
pub(crate) fn ipvsadm_save(arguments: &[OsString], environment: &mut Environment<'_>, director: &mut Director) -> Exit {
    let mut numeric = false;
    warn_of_unread("ipvsadm-save writes to standard output and ignores words", arguments, environment);
    for argument in arguments.iter().map(|argument| argument.as_bytes()) {
        numeric |= argument == b"-n" || !argument.is_ascii() && is_pasted_numeric(argument, environment);
        if argument.first() == Some(&b'-') && argument != b"-n" {
            let _ = environment.stderr.write_all(SAVE_HELP);
            return Exit::No;
        }
    }
    let invocation = Invocation::Save { numeric };
    match perform(SCRIPTS_PROGRAM, &invocation, environment, director, &mut Names::default()) {
        Ok(()) => Exit::Success,
        Err(failure) => failure.report(None, SCRIPTS_PROGRAM, environment),
    }
}

/// `–n`, with the dash of a word processor, is read as elsewhere.
fn is_pasted_numeric(argument: &[u8], environment: &mut Environment<'_>) -> bool {
    with_parser(|parser| {
        let is_numeric =
            parser.parse(&[b"-S", argument].into_iter().collect()) == Ok(Invocation::Save { numeric: true });
        if is_numeric {
            print_warnings(parser, environment);
        }
        is_numeric
    })
}

/// Warns of arguments that the scripts ignore, as those of ipvsadm do, but that were meant to be
/// read: names of files, and what a shell would have taken. systemd's `ExecStart` has no shell.
fn warn_of_unread(what: &str, arguments: &[OsString], environment: &mut Environment<'_>) {
    let is_meant =
        |argument: &&OsString| matches!(argument.as_bytes(), [b'<' | b'>' | b'|', ..]) || Path::new(argument).is_file();
    let unread: Vec<_> =
        arguments.iter().filter(is_meant).map(|word| format!("'{}'", escape::bytes(word.as_bytes()))).collect();
    if !unread.is_empty() {
        let text = format!("warning: {what}: {} has no effect\n", unread.join(" "));
        let _ = environment.stderr.write_all(text.as_bytes());
    }
}

const SAVE_HELP: &[u8] = b"ipvsadm-save: Script to save the IPVS table to stdout.
   With the -n option, prints out the table in numeric format.
";

/// `ipvsadm-restore` ignores its arguments.
pub(crate) fn ipvsadm_restore(
    arguments: &[OsString],
    environment: &mut Environment<'_>,
    director: &mut Director,
) -> Exit {
    warn_of_unread("ipvsadm-restore reads standard input and ignores words", arguments, environment);
    with_parser(|parser| {
        let result = script::restore(SCRIPTS_PROGRAM, environment, director, parser);
        review_notes(environment, director);
        result.unwrap_or_else(|failure| failure.report(None, SCRIPTS_PROGRAM, environment))
    })
}

/// The program that the scripts call.
const SCRIPTS_PROGRAM: &[u8] = b"ipvsadm";

/// Executes any command except `-R`, which `-R` can't contain.
pub(crate) fn perform(
    program: &[u8],
    invocation: &Invocation,
    environment: &mut Environment<'_>,
    director: &mut Director,
    names: &mut Names,
) -> Result<(), Failure> {
    // A file gets the bytes that ipvsadm writes.
    let mut shown;
    let stdout: &mut dyn Write = match invocation {
        Invocation::List(_) | Invocation::Save { .. } if (environment.colors)() => {
            shown = EscapingWriter::new(&mut *environment.stdout);
            &mut shown
        }
        _ => &mut *environment.stdout,
    };
    let result = match invocation {
        Invocation::Change(command) => {
            let done = director.client().and_then(|client| client.execute(command)).map_err(Failure::change);
            if done.is_ok() {
                drop_void_notes(command, environment.state_directory);
            }
            done
        }
        Invocation::List(request) => listing::list(director, environment.connections, stdout, request, names),
        Invocation::Save { numeric } => listing::save(director, stdout, *numeric, names),
        Invocation::Restore => Err(Failure::Usage { usage: Usage::NoCommand, hint: None }),
        // As everywhere, errors of writing are ignored.
        Invocation::Help => help::write(stdout, program).or(Ok(())),
        Invocation::Version => help::write_version(stdout, program).or(Ok(())),
    };
    if matches!(invocation, Invocation::Save { numeric: false }) && result.is_ok() && (environment.hints)() {
        hint_at_names(names, environment);
    }
    result.map_err(|failure| explained(failure, invocation, director, environment.hints))
}

/// What was saved with names that mean something else when they are read.
fn hint_at_names(names: &Names, environment: &mut Environment<'_>) {
    // The saved lines come first; an error of writing is ignored, as everywhere.
    let _ = environment.stdout.flush();
    for reason in names.unrestorable() {
        let hint = format!("hint: this makes another table when it is restored: {reason}; `-S -n` writes numbers\n");
        let _ = environment.stderr.write_all(hint.as_bytes());
    }
}

/// Drops the notes of `drain` that this edit or deletion has made void. Not for additions: `-a`
/// would need more system calls.
fn drop_void_notes(command: &Command, state_directory: Option<&Path>) {
    let takes_away = matches!(
        command,
        Command::EditDestination(..) | Command::DeleteDestination(..) | Command::DeleteService(_) | Command::Flush
    );
    if let Some(directory) = state_directory.filter(|_| takes_away) {
        notes::drop_void(directory, command);
    }
}

/// Drops the notes that the director's state has made void, after many commands.
///
/// As [`notes::drop_void`], it does not wait. Without notes, the director is not read.
fn review_notes(environment: &Environment<'_>, director: &mut Director) {
    let Some(directory) = environment.state_directory else { return };
    let read = || Notes::read(Some(directory)).unwrap_or_default();
    if read().is_empty() {
        return;
    }
    let Ok(_turn) = Lock::take(directory, Some(Instant::now()), &mut |_| false) else { return };
    let (mut notes, Ok(table)) = (read(), director.table_without_statistics()) else { return };
    notes.review_all(&table);
    // The user did not ask for notes, so an error is not reported.
    let _ = notes.save();
}

/// Adds the cause, if a person reads the messages.
fn explained(failure: Failure, invocation: &Invocation, director: &mut Director, hints: fn() -> bool) -> Failure {
    let command = match invocation {
        Invocation::Change(command) => *command,
        // The kernel refuses to zero a service that is missing.
        Invocation::List(ListRequest { what: Listed::Service(key), .. }) => Command::Zero(Some(*key)),
        _ => return failure,
    };
    match failure.refused() {
        Some(errno) if hints() => {
            let cause = director.client().and_then(|client| client.explain(&command, errno));
            // Without a cause the failure is reported as it is.
            failure.because(cause.ok().flatten())
        }
        _ => failure,
    }
}

pub(crate) fn print_warnings(parser: &mut Parser<'_>, environment: &mut Environment<'_>) {
    for warning in parser.warnings.drain(..) {
        let mut text = Vec::new();
        // An error of standard error can't be reported.
        let _ = warning.write(&mut text);
        let _ = environment.stderr.write_all(&text);
    }
}
