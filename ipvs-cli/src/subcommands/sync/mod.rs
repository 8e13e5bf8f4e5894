//! `sync`: compares the tables of two directors, and shows what a master announces.

mod args;
mod listen;
mod verify;

use self::args::Task;
use crate::exit::Exit;
use crate::session::Session;

pub(super) use args::Sync;

pub(super) fn run(sync: &Sync, session: &mut Session<'_, '_>) -> Exit {
    match &sync.task {
        Task::Verify(options) => {
            let done = verify::verify(options, session);
            session.finish(done, Exit::No)
        }
        Task::Listen(options) => {
            let done = listen::listen(options, session);
            session.finish(done, Exit::Trouble)
        }
    }
}
