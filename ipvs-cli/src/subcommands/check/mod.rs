//! `check`: is a file right?

mod args;

use crate::change::offline::File;
use crate::change::summary::counted;
use crate::exit::Exit;
use crate::session::Session;

pub(super) use args::Check;

pub(super) fn run(check: &Check, session: &mut Session<'_, '_>) -> Exit {
    let done = File::read(session, &check.file, false).map(|file| {
        let destinations = file.table.services().map(|entry| entry.destinations().len()).sum();
        let services = counted(file.table.services().len(), "service");
        session.report(format_args!("{}: {services}, {}", file.text.name(), counted(destinations, "destination")));
        Exit::Success
    });
    session.finish(done, Exit::No)
}
