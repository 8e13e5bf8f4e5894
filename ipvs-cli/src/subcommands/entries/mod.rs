//! Entries of the connection table, for the subcommands that show, save, change or compare them.
//!
//! `filter` selects, `row` writes, `saved` is the file, and `services` finds what an entry belongs
//! to. `change` ends and moves them through [`Injector`].

mod change;
mod filter;
pub(super) mod row;
pub(super) mod saved;
pub(super) mod services;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use ipvs::proc::{Connection, Connections};
use ipvs_text::escape;

use crate::director::injection::{self, Injector};
use crate::session::{Session, Trouble};

pub(super) use change::{Count, Deed, Done, Task};
pub(super) use filter::{Wanted, protocol_of};

/// How much is read at a time.
pub(super) const CHUNK: usize = 64 << 10;

/// A table, or a file of one.
pub(super) fn open(path: &Path, is_kernels: bool) -> Result<BufReader<File>, Trouble> {
    let file = File::open(path).map_err(|error| unreadable(path, is_kernels, &error))?;
    Ok(BufReader::with_capacity(CHUNK, file))
}

/// The entries of the kernel's table, as far as they are understood.
pub(super) fn connections(session: &Session<'_, '_>) -> Result<impl Iterator<Item = Connection> + use<>, Trouble> {
    Ok(Connections::new(open(session.environment.connections, true)?).filter_map(Result::ok))
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
