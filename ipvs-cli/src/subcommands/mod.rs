//! The subcommands of `ipvs-cli`.
//!
//! Each has a folder, which imports no other one. `args`, `entries`, `findings`, `live` and
//! `servers` have what several need.

mod apply;
mod args;
mod check;
mod cli;
mod completions;
mod conns;
mod convert;
mod diff;
mod doctor;
mod drain;
mod entries;
mod findings;
mod live;
mod man;
mod mark;
mod metrics;
mod monitor;
mod output;
mod owners;
mod report;
mod restore;
mod servers;
mod show;
mod sync;
mod tips;
mod top;
mod undrain;
mod watch;
mod weight;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use ipvs::Report;
use ipvs::netns::Namespace;
use ipvs_text::escape::{self, EscapingWriter};

use self::args::Notation;
use self::cli::{Cli, OFFLINE, Subcommand};
use self::output::{ColoredLines, ErrorTrackingWriter};
use crate::arguments::service;
use crate::director::Director;
use crate::env::Environment;
use crate::env::broken_pipe;
use crate::exit::Exit;
use crate::session::Session;
use crate::state::file::StateDirectory;

/// A door for fuzzing: reads a frame as `doctor --probe` does.
#[cfg(fuzzing)]
pub fn read_frame(frame: &[u8]) {
    doctor::fuzz(frame);
}

/// The option that may also stand before a subcommand.
pub(crate) const NETNS: &str = "--netns";

/// As that one.
pub(crate) const STATE_DIR: &str = "--state-dir";

/// The option that may also stand before ipvsadm's.
pub(crate) const DRY_RUN: &str = "--dry-run";

/// The subcommands and their options, for a manual page or a shell's completions.
///
/// ```
/// let mut command = ipvs_cli::subcommands::command();
/// assert!(command.find_subcommand("apply").is_some());
/// assert!(command.render_long_help().to_string().contains("apply"));
/// ```
pub fn command() -> clap::Command {
    let command = Cli::command();
    // Where the options of all subcommands have no effect, they are refused with the reason, and
    // not shown.
    let general: Vec<_> = command.get_arguments().filter(|argument| argument.is_global_set()).cloned().collect();
    let hidden: Vec<_> = general.into_iter().map(|argument| argument.hide(true)).collect();
    OFFLINE
        .iter()
        .fold(command, |command, name| command.mut_subcommand(name, |offline| offline.args(hidden.iter().cloned())))
}

/// Runs a subcommand; `arguments` are those after the program's name. Returns the exit status.
pub(crate) fn run(arguments: &[OsString], environment: &mut Environment<'_>, director: &mut Director) -> Exit {
    if environment.owns_process {
        broken_pipe::die_on_broken_pipe();
    }
    let mut arguments = service::joined(arguments);
    if arguments.first().is_some_and(|word| word == "help") {
        // clap's `help` takes the names of subcommands only.
        arguments.retain(|word| word != "--help" && word != "-h");
    }
    let words = std::iter::once(OsStr::new("ipvs-cli")).chain(arguments.iter().map(OsString::as_os_str));
    let parsed = command().try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches));
    let namespaces = arguments.iter().filter(|word| is_netns(word)).count();
    let is_change = parsed.as_ref().is_ok_and(|cli| output::is_change(&cli.subcommand));
    let mut out = ErrorTrackingWriter::new(&mut *environment.stdout);
    let status = {
        let mut colored;
        let written: &mut dyn Write = match &parsed {
            Ok(Cli { subcommand: Subcommand::Diff(diff), .. }) if diff.is_colored(environment.colors) => {
                colored = ColoredLines::new(&mut out, output::color_of_difference);
                &mut colored
            }
            Ok(Cli { subcommand: Subcommand::Monitor(watched), .. }) if watched.is_colored(environment.colors) => {
                colored = ColoredLines::new(&mut out, output::color_of_event);
                &mut colored
            }
            _ => &mut out,
        };
        // Rules in a file are to be read back, whatever name the kernel's scheduler has.
        let escapes = match &parsed {
            Ok(Cli { subcommand: Subcommand::Show(show), .. }) if show.notation.get() == Some(Notation::Rules) => {
                environment.colors
            }
            _ => || true,
        };
        let mut shown = EscapingWriter::when(escapes, written);
        let mut messages = EscapingWriter::new(&mut *environment.stderr);
        let mut safe =
            Environment { stdin: &mut *environment.stdin, stdout: &mut shown, stderr: &mut messages, ..*environment };
        match parsed {
            Ok(cli) => run_in(cli, namespaces, &mut safe, director),
            Err(error) if error.kind() == ErrorKind::UnknownArgument && is_of_ipvsadm(&arguments) => {
                let _ = safe.stderr.write_all(NOT_OF_IPVSADM.as_bytes());
                Exit::Trouble
            }
            Err(error) => help_or_usage(tips::add(error, &arguments), &mut safe),
        }
    };
    let Some(error) = out.end() else { return status };
    // If standard error fails, too, nothing is left to report it.
    let _ = writeln!(environment.stderr, "ipvs-cli: standard output: {error}");
    if is_change { status } else { Exit::Trouble }
}

const NOT_OF_IPVSADM: &str = "ipvs-cli: only subcommands have --netns and --state-dir; `ip netns exec` runs \
    any other command in a network namespace\n";

/// Does an option that is no subcommand's follow those that are before each subcommand?
fn is_of_ipvsadm(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().map(|word| word.to_str().unwrap_or_default());
    while let Some(word) = words.next() {
        match word.split_once('=').map_or(word, |(option, _)| option) {
            NETNS | STATE_DIR if word.contains('=') => {}
            NETNS | STATE_DIR => _ = words.next(),
            option => return option.starts_with('-'),
        }
    }
    false
}

/// The help that was asked for, or what is wrong with the command line.
fn help_or_usage(error: clap::Error, environment: &mut Environment<'_>) -> Exit {
    let error = in_one_line(error);
    let out = if error.use_stderr() { &mut *environment.stderr } else { &mut *environment.stdout };
    // An error of writing to stdout is reported at the end of the run.
    let _ = out.write_all(error.render().to_string().as_bytes());
    if error.use_stderr() { Exit::Trouble } else { Exit::Success }
}

/// The same error, with no line ended by a word that it quotes.
fn in_one_line(mut error: clap::Error) -> clap::Error {
    let quoted: Vec<(ContextKind, String)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(word) if word.chars().any(escape::is_unsafe) => Some((kind, word.clone())),
            _ => None,
        })
        .collect();
    for (kind, word) in quoted {
        error.insert(kind, ContextValue::String(escape::text(&word).to_string()));
    }
    error
}

/// Is it that option, with or without `=`?
fn is_netns(word: &OsStr) -> bool {
    let rest = word.as_encoded_bytes().strip_prefix(NETNS.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'=')
}

/// Runs it in the network namespace that is asked for, and returns this thread to its own.
/// `namespaces` is how often one is named.
fn run_in(cli: Cli, namespaces: usize, environment: &mut Environment<'_>, director: &mut Director) -> Exit {
    let mut refuse = |message: &dyn Display| {
        // If standard error is closed, the status is all that is left.
        let _ = writeln!(environment.stderr, "ipvs-cli: {message}");
        Exit::Trouble
    };
    for (option, is_given) in [(NETNS, !cli.netns.is_empty()), (STATE_DIR, cli.state_dir.is_some())] {
        if is_given && !cli.subcommand.uses_director() {
            return refuse(&format_args!("{option} has no effect here, as no director is asked: leave it out"));
        }
    }
    if !matches!(cli.subcommand, Subcommand::Metrics(_)) {
        if cli.netns.len() > 1 {
            return refuse(&format_args!("{NETNS} may be given once: only `metrics` reads several directors"));
        }
    } else if namespaces > cli.netns.len() {
        // clap forgets those before the subcommand where there are some behind it.
        return refuse(&format_args!("give each {NETNS} after `metrics`"));
    }
    if let Some(directory) = &cli.state_dir {
        // In a new directory no owner is known, so that a misspelt one would have their services
        // deleted: it must exist.
        let is_change = output::is_change(&cli.subcommand);
        if let Err(error) = StateDirectory::check(directory, is_change) {
            let end = if is_change { "; nothing was changed" } else { "" };
            return refuse(&format_args!("{STATE_DIR} {error}{end}"));
        }
    }
    let state_directory = cli.state_dir.clone();
    let state_directory = state_directory.as_deref().or(environment.state_directory);
    let environment = &mut Environment { state_directory, ..environment.reborrow() };
    // `metrics` listens in this one, whichever it reads.
    let entered = cli.netns.first().filter(|_| !matches!(cli.subcommand, Subcommand::Metrics(_)));
    let Some(name) = entered.cloned() else { return dispatch(cli, environment, director) };
    match name.parse::<Namespace>().and_then(|namespace| namespace.within(|| dispatch(cli, environment, director))) {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(environment.stderr, "ipvs-cli: {}", Report::new(&error));
            Exit::Trouble
        }
    }
}

fn dispatch(cli: Cli, environment: &mut Environment<'_>, director: &mut Director) -> Exit {
    match cli.subcommand {
        Subcommand::Apply(apply) => {
            apply::run(&apply, &mut Session::new(environment, director, apply.manner.common.quiet))
        }
        Subcommand::Diff(diff) => diff::run(&diff, &mut Session::new(environment, director, false)),
        Subcommand::Check(check) => check::run(&check, &mut Session::new(environment, director, check.quiet)),
        Subcommand::Convert(convert) => convert::run(&convert, &mut Session::new(environment, director, false)),
        Subcommand::Show(show) => show::run(&show, environment, director),
        Subcommand::Conns(conns) => conns::run(&conns, &mut Session::new(environment, director, conns.common.quiet)),
        Subcommand::Drain(drain) => drain::run(&drain, &mut Session::new(environment, director, drain.common.quiet)),
        Subcommand::Undrain(undrain) => {
            undrain::run(&undrain, &mut Session::new(environment, director, undrain.common.quiet))
        }
        Subcommand::Weight(weight) => {
            weight::run(&weight, &mut Session::new(environment, director, weight.common.quiet))
        }
        Subcommand::Metrics(metrics) => {
            metrics::run(&metrics, &cli.netns, &mut Session::new(environment, director, false))
        }
        Subcommand::Monitor(watched) => monitor::run(&watched, &mut Session::new(environment, director, false)),
        Subcommand::Sync(sync) => sync::run(&sync, &mut Session::new(environment, director, false)),
        Subcommand::Top(top) => top::run(&top, &mut Session::new(environment, director, false)),
        Subcommand::Watch(watch) => watch::run(&watch, &mut Session::new(environment, director, false)),
        Subcommand::Restore(restore) => restore::run(&restore, environment, director),
        Subcommand::Report(report) => report::run(&report, &mut Session::new(environment, director, false), run),
        Subcommand::Doctor(doctor) => doctor::run(&doctor, &mut Session::new(environment, director, false)),
        Subcommand::Owners(owners) => owners::run(&owners, &mut Session::new(environment, director, false)),
        Subcommand::Completions(completions) => {
            completions::run(&completions, &command(), &mut Session::new(environment, director, false))
        }
        Subcommand::Man(man) => man::run(&man, &command(), &mut Session::new(environment, director, false)),
        Subcommand::Mark(marks) => mark::run(&marks, &mut Session::new(environment, director, marks.is_quiet())),
    }
}
