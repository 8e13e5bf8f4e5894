//! `apply`: brings the director to a desired state.

mod args;

use crate::change::apply::change;
use crate::change::prepare::Text;
use crate::session::Session;

pub(super) use args::Apply;

/// The exit status where nothing was changed.
const AS_IT_WAS: u8 = 1;

pub(super) fn run(apply: &Apply, session: &mut Session<'_, '_>) -> u8 {
    let done = Text::read(session, &apply.wanted.file)
        .and_then(|text| change("apply", session, text, &apply.wanted.restrictions, &apply.manner));
    session.conclude(done, AS_IT_WAS)
}
