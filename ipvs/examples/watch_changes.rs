//! Watches what other programs change on this machine's director. Needs root and the module nlmon.

use std::error::Error;
use std::io::{self, Write};

use ipvs::monitor::{Event, EventKind, Monitor, MonitorError};

fn main() -> Result<(), Box<dyn Error>> {
    // Without nlmon, differences between readings are all that can be seen.
    let monitor = match Monitor::open() {
        Err(MonitorError::NlmonMissing) => Monitor::builder().open_polling(),
        opened => opened,
    };
    run(monitor?, &mut io::stdout())
}

/// Writes a line for each change.
pub(crate) fn run(
    events: impl IntoIterator<Item = Result<Event, MonitorError>>,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    for event in events {
        match event {
            Ok(event) => match event.kind {
                EventKind::Request { sender, action, outcome } => {
                    let Some(command) = action.command() else { continue };
                    writeln!(out, "{sender}: {command}: {outcome}")?;
                }
                EventKind::Found(command) => writeln!(out, "unknown program: {command}")?,
                EventKind::Lost { packets } => writeln!(out, "{packets} packets were lost")?,
                other => writeln!(out, "{other:?}")?,
            },
            Err(error) if error.is_transient() => eprintln!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
