//! What happened, as it is printed, recorded and read back.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::time::SystemTime;

use ipvs::desired::parts::{Fields, Scalar, flat};
use ipvs::monitor::{Action, Event, EventKind, Outcome, Sender};
use ipvs::{Command, CommandKind, Errno, Refusal};
use ipvs_text::escape;

use super::args::Watched;
use crate::session::json::object;
use crate::subcommands::live::utc_with_milliseconds;

/// A line. Its fields are those of the JSON object, in their order; those without a value are
/// missing there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    time: String,
    event: String,
    rule: Option<String>,
    service: Option<String>,
    server: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    process: Option<String>,
    pid: Option<u64>,
    parent: Option<String>,
    login_uid: Option<u64>,
    port: Option<u64>,
    packets: Option<u64>,
}

const CHANGE: &str = "change";
const FOUND: &str = "found";
const ACCEPTED: &str = "accepted";
const REFUSED: &str = "refused";

impl Entry {
    pub(super) fn of(event: &Event) -> Self {
        let since_epoch = event.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let entry = Entry { time: utc_with_milliseconds(since_epoch), ..Entry::default() };
        let named = |event: &str| Entry { event: event.to_owned(), ..entry.clone() };
        match &event.kind {
            EventKind::Request { sender, action, outcome } => {
                let (what, refused) = match action {
                    Action::Change(command) => (named(CHANGE).about(command), Some(command.kind())),
                    Action::Read { what, service } => {
                        let service = service.as_ref().map(ToString::to_string);
                        (Entry { rule: Some(what.to_string()), service, ..named("reading") }, Some(*what))
                    }
                    Action::Other { number, .. } => {
                        (Entry { rule: Some(format!("IPVS command {number}")), ..named("unreadable") }, None)
                    }
                    _ => (named("unknown"), None),
                };
                what.by(sender).with(*outcome, refused)
            }
            EventKind::Found(command) => named(FOUND).about(command),
            EventKind::Lost { packets } => Entry { packets: Some(u64::from(*packets)), ..named("lost") },
            EventKind::ModuleUnloaded => named("module unloaded"),
            EventKind::ModuleLoaded => named("module loaded"),
            _ => named("unknown"),
        }
    }

    fn about(self, command: &Command) -> Self {
        let server = match command {
            Command::AddDestination(_, server) | Command::EditDestination(_, server) => Some(server.address),
            Command::DeleteDestination(_, at) => Some(*at),
            _ => None,
        };
        Entry {
            rule: Some(command.to_string()),
            service: command.service_key().map(|key| key.to_string()),
            server: server.map(|at| at.to_string()),
            ..self
        }
    }

    fn by(self, sender: &Sender) -> Self {
        let process = sender.process.as_ref();
        Entry {
            process: process.map(|process| process.name.clone()),
            pid: process.map(|process| process.pid.into()),
            parent: process.and_then(|process| process.parent.clone()),
            login_uid: process.and_then(|process| process.login_uid).map(u64::from),
            port: sender.port.map(u64::from),
            ..self
        }
    }

    fn with(self, outcome: Outcome, refused: Option<CommandKind>) -> Self {
        let reason = |errno: Errno| {
            refused.map_or_else(|| errno.to_string(), |command| Refusal::new(command, errno).to_string())
        };
        let (outcome, reason) = match outcome {
            Outcome::Accepted => (ACCEPTED, None),
            Outcome::Refused(errno) => (REFUSED, Some(reason(errno))),
            _ => ("unknown", None),
        };
        Entry { outcome: Some(outcome.to_owned()), reason, ..self }
    }

    /// From a line of a recording.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut entry = Entry::default();
        for (key, value) in flat(line)? {
            match (&*key, value) {
                ("time", Scalar::Text(text)) => entry.time = text,
                ("event", Scalar::Text(text)) => entry.event = text,
                ("rule", Scalar::Text(text)) => entry.rule = Some(text),
                ("service", Scalar::Text(text)) => entry.service = Some(text),
                ("server", Scalar::Text(text)) => entry.server = Some(text),
                ("outcome", Scalar::Text(text)) => entry.outcome = Some(text),
                ("reason", Scalar::Text(text)) => entry.reason = Some(text),
                ("process", Scalar::Text(text)) => entry.process = Some(text),
                ("pid", Scalar::Integer(number)) => entry.pid = Some(number),
                ("parent", Scalar::Text(text)) => entry.parent = Some(text),
                ("login_uid", Scalar::Integer(number)) => entry.login_uid = Some(number),
                ("port", Scalar::Integer(number)) => entry.port = Some(number),
                ("packets", Scalar::Integer(number)) => entry.packets = Some(number),
                // Of a later version.
                _ => {}
            }
        }
        (!entry.time.is_empty() && !entry.event.is_empty()).then_some(entry)
    }

    /// The object on one line.
    pub(super) fn json(&self) -> impl Display {
        let mut fields: Fields = vec![("time", Scalar::text(&self.time)), ("event", Scalar::text(&self.event))];
        let texts = [
            ("rule", &self.rule),
            ("service", &self.service),
            ("server", &self.server),
            ("outcome", &self.outcome),
            ("reason", &self.reason),
            ("process", &self.process),
            ("parent", &self.parent),
        ];
        let numbers =
            [("pid", self.pid), ("login_uid", self.login_uid), ("port", self.port), ("packets", self.packets)];
        fields.extend(texts.into_iter().filter_map(|(key, text)| Some((key, Scalar::Text(text.clone()?)))));
        fields.extend(numbers.into_iter().filter_map(|(key, number)| Some((key, Scalar::Integer(number?)))));
        object(fields)
    }

    /// The rule, if it was carried out.
    pub(super) fn accepted_rule(&self) -> Option<&str> {
        let is_done = self.event == FOUND || self.event == CHANGE && self.outcome.as_deref() == Some(ACCEPTED);
        self.rule.as_deref().filter(|_| is_done)
    }

    /// Is it one that was asked for?
    pub(super) fn is_asked_for(&self, watched: &Watched) -> bool {
        // It concerns all of them.
        if self.rule.is_none() {
            return true;
        }
        let is_flush = self.rule.as_deref() == Some("-C");
        let has_service = |key: &ipvs::ServiceKey| self.service.as_deref() == Some(&*key.to_string());
        let server: Option<SocketAddr> = self.server.as_deref().and_then(|server| server.parse().ok());
        (watched.services.is_empty() || is_flush || watched.services.iter().any(has_service))
            && watched.server.is_none_or(|wanted| server.is_some_and(|server| wanted.contains(server)))
            && watched.who.as_deref().is_none_or(|who| self.is_by(who))
    }

    fn is_by(&self, who: &str) -> bool {
        let numbers = [self.pid, self.port, self.login_uid].into_iter().flatten();
        let names = [&self.process, &self.parent].into_iter().flatten();
        numbers.map(|number| number.to_string()).any(|number| number == who)
            || names.into_iter().any(|name| name == who)
    }
}

/// A line for people. Its first letter says whether it is worth a second look.
impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_certain = self.outcome.as_deref() == Some(ACCEPTED);
        let sign = match self.outcome.as_deref() {
            Some(REFUSED) => '!',
            _ if is_certain && self.event != "unreadable" => ' ',
            _ => '?',
        };
        write!(f, "{sign} {} ", self.time)?;
        let rule = self.rule.as_deref().unwrap_or_default();
        match &*self.event {
            FOUND => return write!(f, "found by comparing: {}", escape::text(rule)),
            "lost" => {
                let packets = self.packets.unwrap_or_default();
                return write!(f, "{packets} packets were lost: what they changed follows as found by comparing");
            }
            _ if self.rule.is_none() => return f.write_str(&self.event),
            _ => {}
        }
        match (&self.process, self.pid, self.port) {
            (Some(name), Some(pid), _) => write!(f, "{}[{pid}]", escape::text(name))?,
            (_, _, Some(port)) => write!(f, "port {port}")?,
            _ => f.write_str("unknown sender")?,
        }
        let parent = self.parent.as_ref().map(|parent| escape::text(parent).to_string());
        let login = self.login_uid.map(|uid| format!("login {uid}"));
        let more: Vec<String> = parent.into_iter().chain(login).collect();
        if !more.is_empty() {
            write!(f, " ({})", more.join(", "))?;
        }
        write!(f, ": {}", escape::text(rule))?;
        if let (Some("reading"), Some(service)) = (Some(&*self.event), &self.service) {
            write!(f, " {service}")?;
        }
        match (self.outcome.as_deref(), &self.reason) {
            (Some(REFUSED), Some(reason)) => write!(f, " - refused: {reason}"),
            (Some(ACCEPTED), _) => Ok(()),
            _ => f.write_str(" - outcome unknown"),
        }
    }
}
