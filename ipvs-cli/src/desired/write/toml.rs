//! TOML: a table with a header for each service and each destination, as people write it.

use std::io::{self, Write};

use ipvs::{Table, TableEntry};

use super::Shown;
use super::fields;
use super::scalar::{Fields, Inline};
use crate::desired::typed::keys::VERSION;

pub(super) fn write(out: &mut dyn Write, table: &Table, shown: Shown<'_>) -> io::Result<()> {
    let services = shown.services(table);
    writeln!(out, "version = {VERSION}")?;
    // That there are none stands before the first header, or it would belong to that.
    if shown.only.is_none() && table.daemons().is_empty() {
        out.write_all(b"daemons = []\n")?;
    }
    if services.is_empty() {
        out.write_all(b"services = []\n")?;
    }
    if shown.only.is_none() {
        section(out, "[timeouts]", fields::timeouts(table.timeouts()))?;
        for daemon in table.daemons() {
            section(out, "[[daemons]]", fields::daemon(daemon))?;
        }
    }
    services.into_iter().try_for_each(|entry| service(out, entry, shown))
}

fn service(out: &mut dyn Write, entry: &TableEntry, shown: Shown<'_>) -> io::Result<()> {
    section(out, "[[services]]", fields::service(entry.service()))?;
    let mut group = shown.group(entry.service().key()).into_iter();
    group.try_for_each(|member| section(out, "[[services.group]]", member))?;
    let mut states: Vec<_> = entry.destinations().collect();
    states.sort_by_key(|state| state.destination.address);
    for state in states {
        section(out, "[[services.destinations]]", fields::destination(&state.destination))?;
        if let Some(weight) = shown.weight_before(entry.service().key(), state.destination.address) {
            writeln!(out, "# drained: its weight was {weight}")?;
        }
    }
    Ok(())
}

fn section(out: &mut dyn Write, header: &str, fields: Fields) -> io::Result<()> {
    writeln!(out, "\n{header}")?;
    fields.iter().try_for_each(|(key, value)| writeln!(out, "{key} = {}", Inline::Toml.of(value)))
}
