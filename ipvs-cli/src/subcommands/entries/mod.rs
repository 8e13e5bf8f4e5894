//! Entries of the connection table, for the subcommands that show, save, change or compare them.
//!
//! `filter` selects, `order` sorts, `row` writes, `saved` is the file, and `services` finds what an
//! entry belongs to. `change` ends and moves them through [`Injector`]. `whole` reads the kernel's
//! table where no entry may be missing.

mod change;
mod filter;
pub(super) mod order;
pub(super) mod row;
pub(super) mod saved;
pub(super) mod services;
mod whole;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use ipvs::Report;
use ipvs::proc::{Connection, Connections, ConnectionsError};
use ipvs_text::escape;

use crate::director::injection::{self, Injector};
use crate::session::{Session, Trouble};

pub(super) use change::{Count, Deed, Done, Task};
pub(super) use filter::{Wanted, protocol_of};
pub(super) use whole::Whole;

/// How much is read at a time.
pub(super) const CHUNK: usize = 64 << 10;

/// A table, or a file of one.
pub(super) fn open(path: &Path, is_kernels: bool) -> Result<BufReader<File>, Trouble> {
    let file = File::open(path).map_err(|error| unreadable(path, is_kernels, &error))?;
    Ok(BufReader::with_capacity(CHUNK, file))
}

/// The kernel's table, without a gap.
pub(super) fn whole(path: &Path) -> Result<Whole<File>, Trouble> {
    Whole::open(path).map_err(|error| unreadable(path, true, &error))
}

/// Each entry of the kernel's table that is understood.
pub(super) fn each(session: &Session<'_, '_>, mut act: impl FnMut(Connection)) -> Result<(), Trouble> {
    let path = session.environment.connections;
    for connection in Connections::new(whole(path)?) {
        match connection {
            Ok(connection) => act(connection),
            Err(ConnectionsError::Line { .. }) => {}
            Err(error) => return Err(Trouble::Other(format!("{}: {}", escape::path(path), Report::new(&error)))),
        }
    }
    Ok(())
}

fn unreadable(path: &Path, is_kernels: bool, error: &io::Error) -> Trouble {
    if is_kernels && error.kind() == io::ErrorKind::NotFound {
        return Trouble::Kernel(ipvs::Error::ModuleMissing);
    }
    Trouble::Other(format!("{}: {error}", escape::path(path)))
}

/// Finds out whether entries can be brought into the table.
pub(super) fn check(session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    Ok(injection::check(session.director.client()?)?)
}

/// Starts the daemon by which entries come into the table.
pub(super) fn start(session: &mut Session<'_, '_>) -> Result<Injector, Trouble> {
    let (Some(directory), Some(proc)) = (session.environment.state_directory, session.environment.proc) else {
        return Err(Trouble::Other("only the connections of this machine's kernel can be changed".to_owned()));
    };
    Ok(Injector::start(session.director.client()?, directory, proc)?)
}
