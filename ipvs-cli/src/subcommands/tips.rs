//! What was meant by a word that is no subcommand, or by a letter that is no option.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Words that other programs have, and the subcommand for it.
const SUBCOMMANDS: [(&str, &[&str]); 16] = [
    ("show", &["list", "ls", "status", "stat", "get", "dump", "print", "table"]),
    ("show", &["save", "backup", "export", "config"]),
    ("restore", &["load", "import"]),
    ("apply", &["reload"]),
    ("conns", &["connections", "connection", "conn", "conntrack", "sessions"]),
    ("diff", &["plan", "compare", "changes"]),
    ("check", &["validate", "lint", "configtest"]),
    ("convert", &["format", "fmt", "translate"]),
    ("monitor", &["events", "log", "audit", "trace"]),
    ("metrics", &["exporter", "prometheus"]),
    ("drain", &["disable", "quiesce"]),
    ("undrain", &["enable", "resume"]),
    ("doctor", &["diagnose", "debug", "troubleshoot", "health"]),
    ("top", &["dashboard", "live"]),
    ("mark", &["marks", "fwmark", "firewall"]),
    ("completions", &["completion", "complete"]),
];

/// Letters that other programs have, and the option for it.
const OPTIONS: [(char, &str); 14] = [
    ('n', "dry-run"),
    // Of watch(1).
    ('n', "interval"),
    ('q', "quiet"),
    ('j', "json"),
    ('y', "yes"),
    ('f', "force"),
    ('i', "interval"),
    ('c', "count"),
    ('s', "sort"),
    ('r', "reverse"),
    ('o', "output"),
    ('a', "all"),
    ('w', "wait"),
    ('l', "limit"),
];

/// Subcommands that show addresses and ports as numbers, without an option for that.
const NUMERIC: [&str; 4] = ["show", "conns", "diff", "monitor"];

/// Adds a tip to an error that has none, if the word is known.
pub(super) fn add(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let is_known = |kind| error.get(kind).is_some();
    let has_tip = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::Suggested];
    if has_tip.into_iter().any(is_known) && error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return error };
            let meant = SUBCOMMANDS.iter().find(|(_, words)| words.contains(&typed.as_str()));
            if let Some((meant, _)) = meant {
                let meant = ContextValue::Strings(vec![(*meant).to_owned()]);
                error.insert(ContextKind::SuggestedSubcommand, meant);
            }
        }
        ErrorKind::UnknownArgument => {
            let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return error };
            let (Some(tip), None) = (tip(typed, arguments), error.get(ContextKind::SuggestedArg)) else { return error };
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
        }
        _ => {}
    }
    error
}

/// What was meant by an option, in the subcommand that the arguments name.
fn tip(typed: &str, arguments: &[OsString]) -> Option<String> {
    let mut command = super::command();
    command.build();
    let mut found = &command;
    for word in arguments.iter().filter_map(|word| word.to_str()) {
        found = found.find_subcommand(word).unwrap_or(found);
    }
    let mut letters = typed.strip_prefix('-')?.chars();
    let (letter, None) = (letters.next()?, letters.next()) else { return None };
    if letter == 'n' && NUMERIC.contains(&found.get_name()) {
        return Some("addresses and ports are always shown as numbers: leave out '-n'".to_owned());
    }
    let has = |long: &str| found.get_arguments().any(|argument| argument.get_long() == Some(long));
    let (_, long) = OPTIONS.iter().find(|(short, long)| *short == letter && has(long))?;
    Some(format!("write '--{long}' instead of '{typed}'"))
}
