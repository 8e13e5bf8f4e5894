//! `check`: is a file right?

mod args;

use crate::change::offline::File;
use crate::change::summary::counted;
use crate::session::Session;

pub(super) use args::Check;

const WRONG: u8 = 1;

pub(super) fn run(check: &Check, session: &mut Session<'_, '_>) -> u8 {
    let done = File::read(session, &check.file, false).map(|file| {
        let destinations = file.table.services().map(|entry| entry.destinations().len()).sum();
        let services = counted(file.table.services().len(), "service");
        session.report(format_args!("{}: {services}, {}", file.text.name(), counted(destinations, "destination")));
        0
    });
    session.conclude(done, WRONG)
}
