//! A plan as lines of ipvsadm: `-` before what is removed, `+` before what is added, both for an
//! edit. Mark rules are lines of `ipvs-cli mark add`.

use std::io::{self, Write};
use std::net::SocketAddr;

use fwmark::MarkRule;
use ipvs::desired::parts::{self, Fields, Scalar};
use ipvs::{Command, Daemon, Destination, Service, ServiceKey, Table, Timeouts, change::Plan, rule};

use crate::arguments::packets::written;
use crate::change::marks::MarkChange;
use crate::desired::group::{self, service_of};
use crate::session::json;

/// What a plan changes, ordered by what it is about.
pub(crate) struct Difference<'p> {
    lines: Vec<(About, Line<'p>)>,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// As lines of ipvsadm.
    Rules,
    /// The same, but what is edited is one line, with its old values and its new ones.
    Changes,
    Json,
}

/// What a line is about: settings first, then each service before its destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Settings,
    Service(ServiceKey, Option<SocketAddr>),
}

/// A line of the difference.
struct Line<'p> {
    sign: u8,
    rule: Rule<'p>,
}

/// A rule of a table.
enum Rule<'p> {
    Service(&'p Service),
    Destination(ServiceKey, &'p Destination),
    Timeouts(Timeouts),
    Daemon(&'p Daemon),
    Mark(&'p MarkRule),
}

const REMOVED: u8 = b'-';
const ADDED: u8 = b'+';

impl<'p> Difference<'p> {
    /// `before` is the table that the plan was made for.
    pub(crate) fn new(before: &'p Table, plan: &'p Plan) -> Self {
        let mut difference = Difference { lines: Vec::with_capacity(2 * plan.commands().len()) };
        for command in plan.commands() {
            difference.add(before, command);
        }
        difference.sorted()
    }

    /// Adds the mark rules, each after the service that it is for.
    pub(crate) fn with_marks(mut self, marks: &'p MarkChange) -> Self {
        marks.removed().for_each(|rule| self.line(REMOVED, Rule::Mark(rule)));
        marks.added().for_each(|rule| self.line(ADDED, Rule::Mark(rule)));
        self.sorted()
    }

    fn sorted(mut self) -> Self {
        self.lines.sort_by_key(|(about, _)| *about);
        self
    }

    fn add(&mut self, before: &'p Table, command: &'p Command) {
        match command {
            Command::AddService(service) => self.line(ADDED, Rule::Service(service)),
            Command::EditService(service) => {
                self.old_service(before, &service.key());
                self.line(ADDED, Rule::Service(service));
            }
            Command::DeleteService(key) => {
                self.old_service(before, key);
                for state in before.service(key).into_iter().flat_map(|entry| entry.destinations()) {
                    self.line(REMOVED, Rule::Destination(*key, &state.destination));
                }
            }
            Command::AddDestination(key, destination) => self.line(ADDED, Rule::Destination(*key, destination)),
            Command::EditDestination(key, destination) => {
                self.old_destination(before, key, &destination.address);
                self.line(ADDED, Rule::Destination(*key, destination));
            }
            Command::DeleteDestination(key, at) => self.old_destination(before, key, at),
            Command::SetTimeouts(wanted) => {
                let old = before.timeouts();
                let new = Timeouts::new()
                    .with_tcp(wanted.tcp.or(old.tcp))
                    .with_tcp_fin(wanted.tcp_fin.or(old.tcp_fin))
                    .with_udp(wanted.udp.or(old.udp));
                self.line(REMOVED, Rule::Timeouts(old));
                self.line(ADDED, Rule::Timeouts(new));
            }
            Command::StartDaemon(daemon) => self.line(ADDED, Rule::Daemon(daemon)),
            Command::StopDaemon(role) => {
                for daemon in before.daemons().iter().filter(|daemon| daemon.role == *role) {
                    self.line(REMOVED, Rule::Daemon(daemon));
                }
            }
            // Plans do not contain others.
            _ => {}
        }
    }

    fn old_service(&mut self, before: &'p Table, key: &ServiceKey) {
        if let Some(entry) = before.service(key) {
            self.line(REMOVED, Rule::Service(entry.service()));
        }
    }

    fn old_destination(&mut self, before: &'p Table, key: &ServiceKey, at: &SocketAddr) {
        if let Some(state) = before.service(key).and_then(|entry| entry.destination(at)) {
            self.line(REMOVED, Rule::Destination(*key, &state.destination));
        }
    }

    fn line(&mut self, sign: u8, rule: Rule<'p>) {
        let about = match &rule {
            Rule::Service(service) => About::Service(service.key(), None),
            Rule::Destination(key, destination) => About::Service(*key, Some(destination.address)),
            Rule::Timeouts(_) | Rule::Daemon(_) => About::Settings,
            Rule::Mark(rule) => About::Service(service_of(rule), None),
        };
        self.lines.push((about, Line { sign, rule }));
    }

    pub(crate) fn write(&self, out: &mut dyn Write, notation: Notation) -> io::Result<()> {
        let mut text = Vec::new();
        let mut lines = self.lines.iter().peekable();
        while let Some((about, line)) = lines.next() {
            text.clear();
            match notation {
                Notation::Json => writeln!(text, "{}", json::object(line.fields(*about)))?,
                Notation::Rules => line.write(&mut text),
                Notation::Changes => match lines.next_if(|(of, next)| of == about && line.is_edited_to(next)) {
                    Some((_, new)) => writeln!(text, "~ {}", edit(&line.rule(), &new.rule()))?,
                    None => line.write(&mut text),
                },
            }
            out.write_all(&text)?;
        }
        Ok(())
    }
}

/// What is the same, then the options that differ: `-a -t … -r … -m: -w 3 -> 0`.
fn edit(old: &str, new: &str) -> String {
    let (old, new) = (options(old), options(new));
    let same: Vec<&str> = old.iter().filter(|option| new.contains(option)).copied().collect();
    let name = |option: &str| option.split(' ').next().unwrap_or_default().to_owned();
    let mut coming: Vec<&str> = new.into_iter().filter(|option| !same.contains(option)).collect();
    let mut changes = Vec::new();
    for gone in old.into_iter().filter(|option| !same.contains(option)) {
        let is_forwarding = |option: &str| ["-g", "-i", "-m"].contains(&option);
        let replaces = |new: &&str| name(new) == name(gone) || is_forwarding(new) && is_forwarding(gone);
        changes.push(match coming.iter().position(replaces) {
            None => format!("without {gone}"),
            Some(at) => {
                let new = coming.remove(at);
                let is_value = name(new) == name(gone);
                format!(
                    "{gone} -> {}",
                    if is_value { new.split_once(' ').map_or(new, |(_, value)| value) } else { new }
                )
            }
        });
    }
    changes.extend(coming.iter().map(|new| format!("with {new}")));
    let same = if same.is_empty() { String::new() } else { format!("{}: ", same.join(" ")) };
    format!("{same}{}", changes.join(", "))
}

/// The options of a rule, each with its value.
fn options(rule: &str) -> Vec<&str> {
    let starts = rule.match_indices('-').map(|(at, _)| at).filter(|&at| at == 0 || rule[..at].ends_with(' '));
    let starts: Vec<usize> = starts.collect();
    let ends = starts.iter().skip(1).copied().chain([rule.len()]);
    starts.iter().zip(ends).map(|(&start, end)| rule[start..end].trim_end()).collect()
}

impl Line<'_> {
    /// The JSON fields. The value has the keys of a desired state.
    fn fields(&self, about: About) -> Fields {
        let (of, value) = match self.rule {
            Rule::Service(service) => ("service", parts::service(service)),
            Rule::Destination(_, destination) => ("destination", parts::destination(destination)),
            Rule::Timeouts(timeouts) => ("timeouts", parts::timeouts(timeouts)),
            Rule::Daemon(daemon) => ("daemon", parts::daemon(daemon)),
            Rule::Mark(rule) => ("group", group::fields(rule)),
        };
        let change = if self.sign == REMOVED { "removed" } else { "added" };
        let mut fields = vec![("change", Scalar::text(change)), ("of", Scalar::text(of))];
        if let About::Service(key, server) = about {
            fields.push(("service", Scalar::text(key)));
            fields.extend(server.map(|server| ("server", Scalar::text(server))));
        }
        fields.push(("value", Scalar::Table(value)));
        fields
    }

    /// Does the other line replace what this one removes?
    fn is_edited_to(&self, new: &Line<'_>) -> bool {
        let same_kind = matches!(
            (&self.rule, &new.rule),
            (Rule::Service(_), Rule::Service(_))
                | (Rule::Destination(..), Rule::Destination(..))
                | (Rule::Timeouts(_), Rule::Timeouts(_))
        );
        self.sign == REMOVED && new.sign == ADDED && same_kind
    }

    fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&[self.sign, b' ']);
        text.extend_from_slice(self.rule().as_bytes());
        text.push(b'\n');
    }

    /// As ipvsadm or ipvs-cli reads it.
    fn rule(&self) -> String {
        let text = &mut Vec::new();
        match self.rule {
            Rule::Service(service) => rule::service(text, service),
            Rule::Destination(key, destination) => {
                rule::destination_start(text, &key);
                rule::destination_end(text, &key, destination);
            }
            Rule::Timeouts(timeouts) => rule::timeouts(text, &timeouts),
            Rule::Daemon(daemon) => rule::daemon(text, daemon),
            Rule::Mark(rule) => text.extend_from_slice(format!("mark add {}", written(rule)).as_bytes()),
        }
        String::from_utf8_lossy(text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(commands: &[&str]) -> Table {
        let mut names = ipvs_text::ipvsadm::value::NoNames;
        let mut parser = ipvs_text::ipvsadm::Parser::new(&mut names, ipvs_text::ipvsadm::Posix(false));
        let text = commands.join("\n").into_bytes();
        crate::desired::read("test", text, &mut parser).unwrap().state.table(&Table::new()).unwrap()
    }

    #[test]
    fn an_edit_can_be_one_line() {
        let edits = |old: &str, new: &str| edit(old, new);
        let server = "-a -t 192.0.2.1:80 -r 192.0.2.11:80";
        assert_eq!(
            edits(&format!("{server} -m -w 3"), &format!("{server} -m -w 0")),
            format!("{server} -m: -w 3 -> 0")
        );
        assert_eq!(
            edits(&format!("{server} -m -w 3"), &format!("{server} -i -w 3 --tun-type ipip")),
            format!("{server} -w 3: -m -> -i, with --tun-type ipip")
        );
        assert_eq!(
            edits("-A -f 1 -s rr -p 600 -o", "-A -f 1 -s wrr"),
            "-A -f 1: -s rr -> wrr, without -p 600, without -o"
        );
        assert_eq!(edits("--set 900 120 300", "--set 900 60 300"), "--set 900 120 300 -> 900 60 300");
    }

    #[test]
    fn an_edit_is_the_old_line_and_the_new_one() {
        let before = table(&[
            "-A -t 192.0.2.1:80 -s rr",
            "-a -t 192.0.2.1:80 -r 192.0.2.12 -m",
            "-a -t 192.0.2.1:80 -r 192.0.2.11 -m -w 5",
            "-A -f 1",
            "-a -f 1 -r 192.0.2.11",
        ]);
        let after = table(&[
            "-A -t 192.0.2.1:80 -s wrr",
            "-a -t 192.0.2.1:80 -r 192.0.2.13 -i",
            "-a -t 192.0.2.1:80 -r 192.0.2.11 -m -w 6",
            "-A -f 2 -6",
            "--set 0 60 0",
            "--start-daemon backup --mcast-interface lo --syncid 7",
        ]);
        let plan = ipvs::change::plan(&before, &after);
        let mut text = Vec::new();
        Difference::new(&before, &plan).write(&mut text, Notation::Rules).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "- --set 900 120 300
+ --set 900 60 300
+ --start-daemon backup --mcast-interface lo --syncid 7 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1 --sync-maxlen 65507
- -A -t 192.0.2.1:80 -s rr
+ -A -t 192.0.2.1:80 -s wrr
- -a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 5
+ -a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 6
- -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 1
+ -a -t 192.0.2.1:80 -r 192.0.2.13:80 -i -w 1 --tun-type ipip
- -A -f 1 -s wlc
- -a -f 1 -r 192.0.2.11:0 -g -w 1
+ -A -f 2 -6 -s wlc
"
        );
    }
}
