//! Desired states without a director. Nothing here asks the kernel.

use std::path::Path;

use ipvs::desired::Problem;
use ipvs::{Cause, Table, change::Plan};
use ipvs_text::ipvsadm::with_parser;

use crate::change::args::{ForeignArgs, Restrictions};
use crate::change::marks::MarkChange;
use crate::change::prepare::{Text, check_selection, empty_director, planner};
use crate::desired::Desired;
use crate::session::{Session, Trouble};

/// What differs between two files.
pub(crate) struct Comparison {
    pub(crate) before: Table,
    pub(crate) plan: Plan,
    pub(crate) marks: MarkChange,
}

/// What `apply NEW` would change on a director that holds the state of `old`.
pub(crate) fn compare(
    session: &mut Session<'_, '_>,
    old: &Path,
    new: &Path,
    restrictions: &Restrictions,
    foreign: &ForeignArgs,
) -> Result<Comparison, Trouble> {
    let old = Text::read_from(session, old, foreign)?;
    let old = File::of(session, old, false)?;
    let text = Text::read(session, new)?;
    let mut desired = with_parser(|parser| text.understand(&old.table, parser))?;
    if restrictions.services_only {
        desired.keep_services_only();
    }
    session.warnings(&desired.state.warnings);
    let after = desired.state.table(&old.table)?;
    check_selection(restrictions, [&old.table, &after], session.program(), "in either file")?;
    let plan = planner(&desired, restrictions).plan(&old.table, &after);
    let rules = old.desired.groups.into_iter().flat_map(|group| group.rules).collect();
    let marks = MarkChange::new(rules, &desired, &plan, restrictions);
    Ok(Comparison { before: old.table, plan, marks })
}

/// A file, and the table that it gives on an empty director.
pub(crate) struct File {
    pub(crate) text: Text,
    pub(crate) desired: Desired,
    pub(crate) table: Table,
}

impl File {
    pub(crate) fn read(session: &mut Session<'_, '_>, file: &Path, services_only: bool) -> Result<Self, Trouble> {
        let text = Text::read(session, file)?;
        Self::of(session, text, services_only)
    }

    pub(crate) fn of(session: &mut Session<'_, '_>, text: Text, services_only: bool) -> Result<Self, Trouble> {
        let mut desired = with_parser(|parser| text.understand(&empty_director(), parser))?;
        if services_only {
            desired.keep_services_only();
        }
        let unknown = unknown_modules(&desired);
        desired.state.warnings.extend(unknown);
        session.warnings(&desired.state.warnings);
        let table = desired.state.table(&empty_director())?;
        Ok(File { text, desired, table })
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
