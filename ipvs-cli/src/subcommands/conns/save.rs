//! `--save`: the connection table in a file, to be brought back by `--load`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use ipvs::proc::Connections;
use ipvs_text::escape;

use super::Damage;
use super::args::Conns;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::state::file;
use crate::subcommands::entries::saved::{Header, Writer};
use crate::subcommands::entries::{CHUNK, open};

/// This number of entries has the same age: the kernel writes some hundred at a time.
const OF_ONE_AGE: u64 = 128;

pub(super) fn save(conns: &Conns, to: &Path, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let table = session.environment.connections.to_owned();
    let mut input = open(&table, true)?;
    let mut damage = Damage::default();
    let saved = if to.as_os_str() == "-" {
        write(conns, &mut input, &mut *session.environment.stdout, &mut damage)
            .map_err(|error| Trouble::Other(format!("standard output: {error}")))?
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

fn write(
    conns: &Conns,
    input: &mut io::BufReader<File>,
    output: &mut dyn Write,
    damage: &mut Damage,
) -> io::Result<u64> {
    let started = Instant::now();
    let mut writer = Writer::new(output, &Header::now()?)?;
    let mut passed = 0;
    let entries = Connections::new(input).filter_map(|entry| entry.map_err(|error| damage.note(error)).ok());
    for (number, connection) in (0u64..).zip(entries.filter(|connection| conns.wanted.has(connection))) {
        if number.is_multiple_of(OF_ONE_AGE) {
            passed = u32::try_from(started.elapsed().as_secs()).unwrap_or(u32::MAX);
        }
        writer.entry(&connection, connection.expires.saturating_add(passed))?;
    }
    writer.finish()
}
