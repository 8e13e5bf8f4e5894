//! `diff`: what `apply` would change.

mod args;

use std::env;

use ipvs::{Table, change::Plan};

use self::args::Color;
use crate::change::apply::show_drained;
use crate::change::difference::{Difference, Notation};
use crate::change::marks::MarkChange;
use crate::change::offline::{self, Comparison};
use crate::change::prepare;
use crate::change::summary::Summary;
use crate::exit::Exit;
use crate::session::{Session, Trouble};

pub(super) use args::Diff;

pub(super) fn run(diff: &Diff, session: &mut Session<'_, '_>) -> Exit {
    if let Some(new) = &diff.new {
        if [&diff.wanted.file, new].into_iter().all(|file| file.as_os_str() == "-") {
            let wrong = Trouble::Other("only one of FILE and NEW can be `-`".to_owned());
            return session.finish(Err(wrong), Exit::Trouble);
        }
        let compared = offline::compare(session, &diff.wanted.file, new, &diff.wanted.restrictions, &diff.foreign);
        let done = compared.map(|Comparison { before, plan, marks }| show(session, diff, &before, &plan, &marks));
        return session.finish(done, Exit::Trouble);
    }
    let done = prepare::prepare(session, &diff.wanted, &diff.foreign).map(|prepared| {
        let change = &prepared.change;
        let status = show(session, diff, change.before(), change.plan(), &prepared.marks);
        show_drained(session, &prepared.left_drained, diff.json);
        status
    });
    session.finish(done, Exit::Trouble)
}

/// Shows what the plan changes. Returns the exit status.
fn show(session: &mut Session<'_, '_>, diff: &Diff, before: &Table, plan: &Plan, marks: &MarkChange) -> Exit {
    if plan.is_empty() && marks.is_empty() {
        return Exit::Success;
    }
    session.display.end();
    let notation = match diff {
        Diff { json: true, .. } => Notation::Json,
        Diff { rules: true, .. } => Notation::Rules,
        _ => Notation::Changes,
    };
    // An error of writing is reported at the end of the run.
    let _ = Difference::new(before, plan).with_marks(marks).write(session.environment.stdout, notation);
    if notation == Notation::Changes {
        session.report(Summary::of(before, plan.commands()).with_marks(marks));
    }
    Exit::No
}

impl Diff {
    /// Are its lines in colours, on an output that may have them?
    pub(super) fn is_colored(&self, may_be: fn() -> bool) -> bool {
        match self.color {
            _ if self.json => false,
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: if it is set, and not to nothing.
            Color::Auto => env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && may_be(),
        }
    }
}
