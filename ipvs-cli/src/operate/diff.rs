//! `diff`: what `apply` would change.

use std::env;

use super::apply::show_drained;
use super::cli::{Color, Diff};
use super::difference::{Difference, Notation};
use super::prepare;
use super::session::Session;

const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;

pub(super) fn run(diff: &Diff, session: &mut Session<'_, '_>) -> u8 {
    let done = prepare::prepare(session, &diff.wanted).map(|prepared| {
        let change = &prepared.change;
        if change.plan().is_empty() && prepared.marks.is_empty() {
            show_drained(session, &prepared.left_drained, diff.json);
            return 0;
        }
        session.display.end();
        let notation = match diff.json {
            true => Notation::Json,
            false => Notation::Rules,
        };
        // Of errors of writing it is told at the end.
        let difference = Difference::new(change.before(), change.plan()).with_marks(&prepared.marks);
        let _ = difference.write(session.streams.stdout, notation);
        show_drained(session, &prepared.left_drained, diff.json);
        DIFFERENT
    });
    session.conclude(done, TROUBLE)
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
