//! Desired states without a director: `check`, `convert`, and `diff` of two files. Nothing here asks the kernel.

use std::io::Write;
use std::path::Path;

use ipvs::desired::{Problem, Scope, WriteOptions, write_json, write_toml};
use ipvs::{
    Cause, Command, DaemonRole, Table, Timeouts,
    change::{Plan, plan},
};

use super::cli::{Check, Convert, Restrictions};
use super::mark_change::MarkChange;
use super::prepare::{Text, empty_director, planner};
use super::session::{Session, Trouble};
use super::show::write_rules;
use super::summary::counted;
use crate::desired::{Desired, groups_of};
use crate::run;

const WRONG: u8 = 1;

pub(super) fn check(check: &Check, session: &mut Session<'_, '_>) -> u8 {
    let done = File::read(session, &check.file, false).map(|file| {
        let destinations = file.table.services().map(|entry| entry.destinations().len()).sum();
        let services = counted(file.table.services().len(), "service");
        session.report(format_args!("{}: {services}, {}", file.text.name(), counted(destinations, "destination")));
        0
    });
    session.conclude(done, WRONG)
}

pub(super) fn convert(convert: &Convert, session: &mut Session<'_, '_>) -> u8 {
    let done = File::read(session, &convert.file, convert.services_only).and_then(|file| {
        let text = file.written(convert)?;
        session.display.end();
        // An error of writing is reported at the end of the run.
        let _ = session.streams.stdout.write_all(&text);
        Ok(0)
    });
    session.conclude(done, WRONG)
}

/// What differs between two files.
pub(super) struct Comparison {
    pub(super) before: Table,
    pub(super) plan: Plan,
    pub(super) marks: MarkChange,
}

/// What `apply` of the new file would change on a director that holds what the old one says.
pub(super) fn compare(
    session: &mut Session<'_, '_>,
    old: &Path,
    new: &Path,
    restrictions: &Restrictions,
) -> Result<Comparison, Trouble> {
    let old = File::read(session, old, false)?;
    let text = Text::read(session, new)?;
    let mut desired = run::with_parser(|parser| text.understand(&old.table, parser))?;
    if restrictions.services_only {
        desired.keep_services_only();
    }
    session.warn(&desired.state.warnings);
    let after = desired.state.table(&old.table)?;
    let plan = planner(&desired, restrictions).plan(&old.table, &after);
    let rules = old.desired.groups.into_iter().flat_map(|group| group.rules).collect();
    let marks = MarkChange::new(rules, &desired, &plan, restrictions);
    Ok(Comparison { before: old.table, plan, marks })
}

/// A file, and the director that it makes of an empty one.
struct File {
    text: Text,
    desired: Desired,
    table: Table,
}

impl File {
    fn read(session: &mut Session<'_, '_>, file: &Path, services_only: bool) -> Result<Self, Trouble> {
        let text = Text::read(session, file)?;
        let mut desired = run::with_parser(|parser| text.understand(&empty_director(), parser))?;
        if services_only {
            desired.keep_services_only();
        }
        let unknown = unknown_modules(&desired);
        desired.state.warnings.extend(unknown);
        session.warn(&desired.state.warnings);
        let table = desired.state.table(&empty_director())?;
        Ok(File { text, desired, table })
    }

    /// In another notation: refused if that can't say the same.
    fn written(&self, convert: &Convert) -> Result<Vec<u8>, Trouble> {
        let without_place = |reason: &str, groups: fn(usize) -> bool| {
            let groups = self.desired.groups.iter().filter(|group| groups(group.rules.len()));
            groups.map(|group| Problem { place: group.place.clone(), reason: reason.to_owned() }).collect()
        };
        let problems: Vec<Problem> = match convert.rules {
            true => without_place("rules of ipvsadm have no place for `group`", |_| true),
            false => without_place("an empty `group` can't be written in another notation", |rules| rules == 0),
        };
        if !problems.is_empty() {
            return Err(Trouble::Problems(problems));
        }
        let groups = self.desired.groups.iter().flat_map(|group| groups_of(&group.rules)).collect::<Vec<_>>();
        let mut options = WriteOptions::default();
        (options.parts, options.timeouts, options.groups) = (self.desired.state.scope, Some(self.timeouts()), &groups);
        let mut text = Vec::new();
        let written = match convert {
            Convert { json: true, .. } => write_json(&mut text, &self.table, options),
            Convert { toml: true, .. } => write_toml(&mut text, &self.table, options),
            _ => self.write_rules(&mut text),
        };
        // Into memory.
        written.map_err(|error| Trouble::Other(error.to_string()))?;
        if self.is_said_by(&text) {
            return Ok(text);
        }
        let reason = "it can't be written in this notation without saying something else; \
            a list of sync daemons, for example, is complete in TOML and JSON: see --services-only";
        Err(Trouble::Other(format!("{}: {reason}", self.text.name())))
    }

    /// Does the text make the same of every director? Of mark rules only TOML and JSON speak.
    fn is_said_by(&self, text: &[u8]) -> bool {
        let read = run::with_parser(|parser| crate::desired::read("converted", text.to_vec(), parser));
        let Ok(desired) = read else { return false };
        let scope = Scope { marks: self.desired.state.scope.marks, ..desired.state.scope };
        let table = desired.state.table(&empty_director());
        scope == self.desired.state.scope && table.is_ok_and(|table| plan(&self.table, &table).is_empty())
    }

    /// Those that the file sets.
    fn timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        for located in &self.desired.state.commands {
            if let Command::SetTimeouts(set) = &located.command {
                timeouts.tcp = set.tcp.or(timeouts.tcp);
                timeouts.tcp_fin = set.tcp_fin.or(timeouts.tcp_fin);
                timeouts.udp = set.udp.or(timeouts.udp);
            }
        }
        timeouts
    }

    fn write_rules(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        if self.desired.state.scope.services {
            out.extend_from_slice(b"-C\n");
        }
        if self.desired.state.scope.timeouts {
            writeln!(out, "{}", Command::SetTimeouts(self.timeouts()))?;
        }
        for role in
            [DaemonRole::Master, DaemonRole::Backup].into_iter().filter(|role| self.desired.state.scope.daemon(*role))
        {
            let running = self.table.daemons().iter().find(|daemon| daemon.role == role);
            writeln!(out, "{}", running.map_or(Command::StopDaemon(role), |daemon| Command::StartDaemon(*daemon)))?;
        }
        write_rules(out, &self.table, None)
    }
}

/// A warning for each scheduler and engine that is not in the Linux tree.
fn unknown_modules(desired: &Desired) -> Vec<Problem> {
    let tree = Table::new();
    let unknown = desired.state.commands.iter().filter_map(|located| {
        let name = match tree.explain(&located.command)? {
            Cause::NoSuchScheduler(scheduler) => format!("scheduler {scheduler}"),
            Cause::NoSuchEngine(engine) => format!("persistence engine {engine}"),
            Cause::NoSuchSchedulerOrEngine(scheduler, engine) => {
                format!("scheduler {scheduler} or no persistence engine {engine}")
            }
            _ => return None,
        };
        let reason = format!("Linux has no {name}; only a director knows if its kernel has been given one");
        Some(Problem { place: located.place.clone(), reason })
    });
    unknown.collect()
}
