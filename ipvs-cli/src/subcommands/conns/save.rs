//! `--save`: the connection table in a file, to be brought back by `--load`.

use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use ipvs::proc::{Connections, ConnectionsError};
use ipvs_text::escape;

use super::Damage;
use super::args::Conns;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::state::file;
use crate::subcommands::entries::saved::{Header, Writer};
use crate::subcommands::entries::{CHUNK, whole};

/// This number of entries has the same age: the kernel writes some hundred at a time.
const OF_ONE_AGE: u64 = 128;

pub(super) fn save(conns: &Conns, to: &Path, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let table = session.environment.connections.to_owned();
    let mut input = whole(&table)?;
    let mut damage = Damage::default();
    let saved = if to.as_os_str() == "-" {
        match write(conns, &mut input, &mut *session.environment.stdout, &mut damage) {
            // An error of writing is reported at the end of the run. That of the table has a text.
            Err(error) if error.get_ref().is_none() => return Ok(Exit::No),
            written => written.map_err(|error| Trouble::Other(error.to_string()))?,
        }
    } else {
        let mut saved = 0;
        // Who may read it learns who the clients are.
        file::write_with(to, 0o600, |file| {
            saved = write(conns, &mut input, &mut BufWriter::with_capacity(CHUNK, file), &mut damage)?;
            Ok(())
        })
        .map_err(|error| Trouble::Other(error.to_string()))?;
        saved
    };
    if to.as_os_str() != "-" {
        session.report(format!("saved {saved} entries to {}", escape::path(to)));
    }
    damage.report(&table, session)
}

fn write(conns: &Conns, input: &mut dyn BufRead, output: &mut dyn Write, damage: &mut Damage) -> io::Result<u64> {
    let started = Instant::now();
    let mut writer = Writer::new(output, &Header::now()?)?;
    let mut passed = 0;
    let mut number = 0u64;
    for connection in Connections::new(input) {
        let connection = match connection {
            Ok(connection) if conns.wanted.has(&connection) => connection,
            Ok(_) => continue,
            // What is missing would be lost: no file rather than a part of one.
            Err(ConnectionsError::Read { source, .. }) => {
                return Err(io::Error::new(source.kind(), format!("the connection table can't be read: {source}")));
            }
            Err(error) => {
                damage.note(error);
                continue;
            }
        };
        if number.is_multiple_of(OF_ONE_AGE) {
            passed = u32::try_from(started.elapsed().as_secs()).unwrap_or(u32::MAX);
        }
        number += 1;
        writer.entry(&connection, connection.expires.saturating_add(passed))?;
    }
    writer.finish()
}
