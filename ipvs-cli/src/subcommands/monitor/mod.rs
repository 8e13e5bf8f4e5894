//! `monitor`: every change of the director as it happens, with who made it and what the kernel
//! answered.

mod args;
mod entry;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ipvs::Report;
use ipvs::monitor::{Monitor, MonitorBuilder, MonitorError};
use ipvs_text::escape;

pub(super) use self::args::Watched;
use self::entry::Entry;
use crate::env::broken_pipe;
use crate::env::signals::Signals;
use crate::exit::Exit;
use crate::session::{Session, Trouble};

/// A signal may come between the question whether there was one and the wait.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) fn run(watched: &Watched, session: &mut Session<'_, '_>) -> Exit {
    let (done, otherwise) = match &watched.replay {
        Some(file) => (replay(watched, file, session), Exit::No),
        None => (watch(watched, session), Exit::Trouble),
    };
    session.finish(done.map(|()| Exit::Success), otherwise)
}

fn watch(watched: &Watched, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    if !session.environment.owns_process {
        return Err(Trouble::Other("there is no kernel to watch here; --replay FILE prints a recording".to_owned()));
    }
    // Whichever ends it, the device is removed.
    broken_pipe::ignore_broken_pipe();
    let signals = Signals::note().map_err(|error| Trouble::Other(format!("cannot handle signals: {error}")))?;
    // Loads the module, and says what any subcommand says without it or without the right to it.
    session.director.client()?.info()?;
    let mut monitor = open(watched, session)?;
    let mut record = watched.record.as_deref().map(create).transpose()?;
    let mut count = 0;
    let mut is_waiting = false;
    while signals.received().is_none() && watched.count.is_none_or(|most| count < most) {
        // What has happened is printed in one piece.
        let until = if is_waiting { LOOK_AGAIN } else { Duration::ZERO };
        let event = match monitor.next_before(Instant::now() + until) {
            Ok(Some(event)) => event,
            Ok(None) if is_waiting => continue,
            Ok(None) => {
                is_waiting = true;
                if session.environment.stdout.flush().is_err() {
                    return Ok(());
                }
                continue;
            }
            Err(error) if error.is_transient() => {
                session.note(Report::new(&error));
                continue;
            }
            Err(error) => return Err(trouble(&error)),
        };
        is_waiting = false;
        let entry = Entry::of(&event);
        if let (Some(file), Some(path)) = (&mut record, &watched.record) {
            let written = writeln!(file, "{}", entry.json());
            written.map_err(|error| Trouble::Other(format!("{}: {error}", escape::path(path))))?;
        }
        if entry.is_asked_for(watched) {
            count += 1;
            if print(watched, &entry, &mut *session.environment.stdout).is_err() {
                // What is wrong with it is reported by the one who owns it; a closed pipe is no
                // fault.
                return Ok(());
            }
        }
    }
    let _ = session.environment.stdout.flush();
    Ok(())
}

/// Watches netlink; or polls, and says why, if that can't be had.
fn open(watched: &Watched, session: &mut Session<'_, '_>) -> Result<Monitor, Trouble> {
    let mut builder: MonitorBuilder = Monitor::builder().reads(watched.reads);
    builder = match watched.compare {
        Duration::ZERO => builder.without_comparison(),
        interval => builder.compare_every(interval),
    };
    if let Some(device) = watched.device {
        builder = builder.device(device);
    }
    match builder.clone().open() {
        Err(error @ (MonitorError::NlmonMissing | MonitorError::NotPermitted { .. })) => {
            session.note(format!(
                "{}; the table is compared at intervals instead, which shows neither who changes it nor what is refused",
                Report::new(&error)
            ));
            builder.open_polling().map_err(|error| trouble(&error))
        }
        opened => {
            let monitor = opened.map_err(|error| trouble(&error))?;
            if !monitor.proves_replies() {
                let why = match watched.device {
                    Some(_) => "a device that is not its own",
                    None => "no kernel modules sch_ingress and cls_bpf",
                };
                session.note(format!("with {why}, any user here can forge outcomes and senders"));
            }
            Ok(monitor)
        }
    }
}

fn trouble(error: &MonitorError) -> Trouble {
    Trouble::Other(Report::new(error).to_string())
}

/// A file that was not there, which only its owner may read: it shows what programs do.
fn create(path: &Path) -> Result<File, Trouble> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    created.map_err(|error| Trouble::Other(format!("{}: {error}", escape::path(path))))
}

fn print(watched: &Watched, entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    match entry.accepted_rule() {
        _ if watched.json => writeln!(out, "{}", entry.json())?,
        Some(rule) if watched.rules => writeln!(out, "{rule}")?,
        None if watched.rules => {}
        _ => writeln!(out, "{entry}")?,
    }
    Ok(())
}

fn replay(watched: &Watched, path: &Path, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    let fault = |error: io::Error| Trouble::Other(format!("{}: {error}", escape::path(path)));
    let mut opened;
    let source: &mut dyn Read = match path == Path::new("-") {
        true => &mut session.environment.stdin,
        false => {
            opened = File::open(path).map_err(fault)?;
            &mut opened
        }
    };
    let mut lines = BufReader::new(source);
    let mut text = Vec::new();
    let mut count = 0;
    for number in 1_u64.. {
        text.clear();
        if lines.read_until(b'\n', &mut text).map_err(fault)? == 0 || watched.count.is_some_and(|most| count >= most) {
            break;
        }
        let entry = std::str::from_utf8(&text).ok().and_then(|line| Entry::read(line.trim_end()));
        let Some(entry) = entry else {
            let place = format!("{}:{number}", escape::path(path));
            return Err(Trouble::Lines(format!("{place}: must be a line of `ipvs-cli monitor --record'\n")));
        };
        if entry.is_asked_for(watched) {
            count += 1;
            if print(watched, &entry, &mut *session.environment.stdout).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
