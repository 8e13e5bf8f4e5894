//! JSON: a line for each service and each destination, so that two of them can be compared by
//! lines.

use std::io::{self, Write};

use super::fields;
use super::scalar::{Fields, Inline, Scalar};
use super::{Beside, WriteOptions};
use crate::desired::reader::VERSION;
use crate::table::{Table, TableEntry};

pub(in crate::desired) fn write(out: &mut dyn Write, table: &Table, options: WriteOptions<'_>) -> io::Result<()> {
    write!(out, "{{\n  \"version\": {VERSION}")?;
    if options.statistics {
        entry(out, "kernel", fields::kernel(table))?;
    }
    if let Some(timeouts) = options.timeouts(table) {
        entry(out, "timeouts", timeouts)?;
    }
    if let Some(daemons) = options.daemons(table) {
        list(out, "daemons", daemons, |out, daemon| {
            write!(out, "    {}", Inline::Json.of(&Scalar::Table(fields::daemon(daemon))))
        })?;
    }
    if options.parts.services {
        let beside = Beside::of(options);
        list(out, "services", &options.services(table), |out, entry| service(out, entry, options.statistics, &beside))?;
    }
    out.write_all(b"\n}\n")
}

fn entry(out: &mut dyn Write, key: &str, fields: Fields) -> io::Result<()> {
    write!(out, ",\n  \"{key}\": {}", Inline::Json.of(&Scalar::Table(fields)))
}

fn list<T>(
    out: &mut dyn Write,
    key: &str,
    items: &[T],
    item: impl Fn(&mut dyn Write, &T) -> io::Result<()>,
) -> io::Result<()> {
    write!(out, ",\n  \"{key}\": [")?;
    for (index, value) in items.iter().enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        item(out, value)?;
    }
    out.write_all(if items.is_empty() { b"]" } else { b"\n  ]" })
}

fn service(out: &mut dyn Write, entry: &TableEntry, statistics: bool, beside: &Beside<'_>) -> io::Result<()> {
    let (service, state) = (entry.service(), entry.state());
    let fields = if statistics { fields::service_state(state) } else { fields::service(service) };
    out.write_all(b"    {")?;
    for (key, value) in &fields {
        write!(out, "\"{key}\": {}, ", Inline::Json.of(value))?;
    }
    let group: Vec<_> = beside.group(service.key()).map(Scalar::Table).collect();
    if !group.is_empty() {
        write!(out, "\"group\": {}, ", Inline::Json.of(&Scalar::List(group)))?;
    }
    out.write_all(b"\"destinations\": [")?;
    let mut states: Vec<_> = entry.destinations().collect();
    states.sort_unstable_by_key(|state| state.destination.address);
    for (index, state) in states.iter().enumerate() {
        let destination = &state.destination;
        let mut fields = if statistics { fields::destination_state(state) } else { fields::destination(destination) };
        let before = beside.weight_before(service.key(), destination.address);
        fields.extend(before.map(|weight| ("weight_before", weight.get().into())));
        out.write_all(if index == 0 { b"\n      " } else { b",\n      " })?;
        write!(out, "{}", Inline::Json.of(&Scalar::Table(fields)))?;
    }
    out.write_all(if states.is_empty() { b"]}" } else { b"\n    ]}" })
}
