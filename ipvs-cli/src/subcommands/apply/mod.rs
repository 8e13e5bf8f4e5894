//! `apply`: brings the director to a desired state.

mod args;

use crate::change::apply::change;
use crate::change::prepare::Text;
use crate::exit::Exit;
use crate::session::Session;

pub(super) use args::Apply;

pub(super) fn run(apply: &Apply, session: &mut Session<'_, '_>) -> Exit {
    let done = Text::read(session, &apply.wanted.file)
        .and_then(|text| change("apply", session, text, &apply.wanted.restrictions, &apply.manner));
    session.finish(done, Exit::No)
}
