//! Rules: ipvsadm's own commands, one a line, read as `ipvsadm-restore` reads them.

use ipvs::desired::{Desired, Located, Problems, Source};
use ipvs::{Command, DaemonRole, Table, TableEntry};
use ipvs_text::ipvsadm::{Invocation, Parser, Usage, Words};

use super::same;
use crate::hint;

/// Services that the text has exactly as the director would save them are not parsed.
pub(super) fn read(source: &Source, director: &Table, parser: &mut Parser<'_>, problems: &mut Problems) -> Desired {
    let mut found = Problems::default();
    let mut desired = read_all(source, same::Wording::for_services_of(director), parser, &mut found);
    if same::are_about(&desired.commands, &desired.same) {
        found = Problems::default();
        desired = read_all(source, same::Wording::default(), parser, &mut found);
    }
    desired.add_refusals(&mut found, |_| false);
    *problems = found;
    desired
}

fn read_all(source: &Source, mut same: same::Wording<'_>, parser: &mut Parser<'_>, problems: &mut Problems) -> Desired {
    let warnings = Problems::default();
    let mut reader = RulesReader { source, desired: Desired::default(), running: Vec::new(), warnings };
    reader.desired.commands.reserve(source.text().len() / SHORT_RULE);
    let mut words = Words::default();
    let (text, mut start) = (source.text(), 0);
    while start <= text.len() && !problems.is_full() {
        if let Some((entry, len)) = same.take(&text[start..]) {
            reader.desired.scope.services = true;
            reader.desired.same.push(entry.clone());
            start += len;
            continue;
        }
        if let Some((entry, len)) = in_other_words(&text[start..], &mut same, &mut words, parser) {
            reader.desired.scope.services = true;
            reader.desired.same.push(entry.clone());
            start += len;
            continue;
        }
        let line = first_line(&text[start..]);
        if line.first() != Some(&b'#') {
            words.split_line(line);
            if let Err(reason) = reader.line(start, &words, parser) {
                problems.add(source.line(start), reason);
            }
        }
        start += line.len() + 1;
    }
    reader.desired.warnings = reader.warnings.into();
    reader.desired
}

fn first_line(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())]
}

/// The service of the director that the text starts with, in other words than `-S -n` has, and the
/// length of its lines. Whatever else there is to say of a line is said when it is read by itself.
fn in_other_words<'d>(
    text: &[u8],
    same: &mut same::Wording<'d>,
    words: &mut Words,
    parser: &mut Parser<'_>,
) -> Option<(&'d TableEntry, usize)> {
    let mut command = |line: &[u8]| {
        words.split_line(line);
        let parsed = parser.parse(words);
        match (parsed, parser.warnings.drain(..).count()) {
            (Ok(Invocation::Change(command)), 0) => Some(command),
            _ => None,
        }
    };
    if !text.starts_with(b"-A") || same.is_empty() {
        return None;
    }
    let line = first_line(text);
    let Command::AddService(service) = command(line)? else { return None };
    let (mut found, key) = (same.find(&service)?, service.key());
    let mut end = line.len() + 1;
    while let Some(rest) = text.get(end..).filter(|rest| rest.starts_with(b"-a")) {
        let line = first_line(rest);
        match command(line)? {
            Command::AddDestination(of, destination) if of == key && found.is_next(&destination) => {}
            // Of another service, or the same one made different.
            _ => return None,
        }
        end += line.len() + 1;
    }
    if !found.is_whole() {
        return None;
    }
    same.remove(&found);
    Some((found.entry, end))
}

/// Few rules are shorter, in bytes: a service is named in each.
const SHORT_RULE: usize = 32;

struct RulesReader<'s> {
    source: &'s Source,
    desired: Desired,
    /// The daemons that earlier lines have started.
    running: Vec<DaemonRole>,
    warnings: Problems,
}

impl RulesReader<'_> {
    fn line(&mut self, start: usize, words: &Words, parser: &mut Parser<'_>) -> Result<(), String> {
        if words.is_empty() {
            return Ok(());
        }
        let parsed = parser.parse(words);
        for warning in parser.warnings.drain(..) {
            self.warnings.add(self.source.line(start), warning.to_string());
        }
        match parsed {
            Ok(Invocation::Change(command)) => self.change(start, command),
            Ok(other) => Err(no_change(&other)),
            Err(usage) => Err(describe(&usage, words, parser)),
        }
    }

    fn change(&mut self, start: usize, command: Command) -> Result<(), String> {
        let scope = &mut self.desired.scope;
        match &command {
            // Nothing is there yet.
            Command::Flush if self.desired.commands.is_empty() && self.desired.same.is_empty() => {
                scope.services = true;
                return Ok(());
            }
            Command::Zero(_) => return Err(format!("-Z zeroes counters, {NO_PART}")),
            Command::SetTimeouts(_) => scope.timeouts = true,
            Command::StartDaemon(daemon) => {
                scope.add_daemon(daemon.role);
                self.running.push(daemon.role);
            }
            Command::StopDaemon(role) => {
                scope.add_daemon(*role);
                let Some(at) = self.running.iter().position(|running| running == role) else {
                    // No command is needed: on an empty director none runs.
                    return Ok(());
                };
                self.running.remove(at);
            }
            _ => scope.services = true,
        }
        self.desired.commands.push(Located { place: self.source.line(start), command });
        Ok(())
    }
}

/// ipvsadm's message and the hint.
fn describe(usage: &Usage, words: &Words, parser: &mut Parser<'_>) -> String {
    let first = words.get(0).unwrap_or_default();
    let sentence = match usage {
        Usage::NoCommand if first.starts_with(b"#") => {
            return "a comment must have its '#' at the beginning of the line".to_owned();
        }
        Usage::NoCommand => {
            let first = String::from_utf8_lossy(first);
            format!("'{first}' is not a command of ipvsadm: a line must start with one, {COMMANDS}")
        }
        usage => usage.to_string(),
    };
    match hint::usage(words, usage, parser) {
        Some(hint) => format!("{}; {hint}", sentence.trim_end()),
        None => sentence.trim_end().to_owned(),
    }
}

const NO_PART: &str = "which are not part of a desired state";

fn no_change(invocation: &Invocation) -> String {
    let command = match invocation {
        Invocation::List(_) => "-L lists",
        Invocation::Save { .. } => "-S lists",
        Invocation::Restore => "-R reads other rules",
        Invocation::Help => "-h shows the help",
        Invocation::Version | Invocation::Change(_) => "-v shows the version",
    };
    format!("{command}: a desired state must have only commands that change something, {COMMANDS}")
}

const COMMANDS: &str = "such as -A, -a, -C, --set or --start-daemon";
