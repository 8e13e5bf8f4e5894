//! TOML: a table with a header for each service and each destination, as people write it.

use std::io::{self, Write};

use super::fields;
use super::scalar::{Fields, Inline};
use super::{Beside, WriteOptions};
use crate::desired::reader::VERSION;
use crate::table::{Table, TableEntry};

pub(in crate::desired) fn write(out: &mut dyn Write, table: &Table, options: WriteOptions<'_>) -> io::Result<()> {
    let (services, daemons) = (options.services(table), options.daemons(table));
    writeln!(out, "version = {VERSION}")?;
    // That there are none stands before the first header, or it would belong to that.
    if daemons.is_some_and(<[_]>::is_empty) {
        out.write_all(b"daemons = []\n")?;
    }
    if services.is_empty() && options.parts.services {
        out.write_all(b"services = []\n")?;
    }
    if let Some(timeouts) = options.timeouts(table) {
        section(out, "[timeouts]", timeouts)?;
    }
    for daemon in daemons.unwrap_or_default() {
        section(out, "[[daemons]]", fields::daemon(daemon))?;
    }
    if options.parts.services {
        let beside = Beside::of(options);
        services.into_iter().try_for_each(|entry| service(out, entry, &beside))?;
    }
    Ok(())
}

fn service(out: &mut dyn Write, entry: &TableEntry, beside: &Beside<'_>) -> io::Result<()> {
    section(out, "[[services]]", fields::service(entry.service()))?;
    beside.group(entry.service().key()).try_for_each(|member| section(out, "[[services.group]]", member))?;
    let mut states: Vec<_> = entry.destinations().collect();
    states.sort_unstable_by_key(|state| state.destination.address);
    for state in states {
        section(out, "[[services.destinations]]", fields::destination(&state.destination))?;
        if let Some(weight) = beside.weight_before(entry.service().key(), state.destination.address) {
            writeln!(out, "# drained: its weight was {weight}")?;
        }
    }
    Ok(())
}

fn section(out: &mut dyn Write, header: &str, fields: Fields) -> io::Result<()> {
    writeln!(out, "\n{header}")?;
    fields.iter().try_for_each(|(key, value)| writeln!(out, "{key} = {}", Inline::Toml.of(value)))
}
