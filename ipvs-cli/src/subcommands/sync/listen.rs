//! `sync listen`: prints what master daemons send.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use ipvs::desired::parts::Scalar;
use ipvs::proc::Connection;
use ipvs::sync::{Entry, EntryFlags, ReceiveError, Received, Receiver};
use ipvs::{Daemon, DaemonRole, Report};

use super::args::Listen;
use crate::env::broken_pipe;
use crate::env::signals::Signals;
use crate::exit::Exit;
use crate::session::json;
use crate::session::{Session, Trouble};
use crate::subcommands::entries::row;

/// A signal may come between the question whether there was one and the wait.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) fn listen(options: &Listen, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    if !session.environment.owns_process {
        return Err(Trouble::Other("there is no network to listen on here".to_owned()));
    }
    let daemon = daemon(options, session)?;
    let refused = |error: io::Error| Trouble::Other(format!("{}: {error}", daemon.interface));
    let mut receiver = Receiver::open(&daemon).map_err(refused)?;
    receiver.set_timeout(Some(LOOK_AGAIN)).map_err(refused)?;
    broken_pipe::ignore_broken_pipe();
    let signals = Signals::note().map_err(|error| Trouble::Other(format!("cannot handle signals: {error}")))?;
    let mut count = 0;
    while signals.received().is_none() && options.count.is_none_or(|most| count < most) {
        let received = match receiver.receive() {
            Ok(received) => received,
            Err(ReceiveError::Io(error)) if is_passing(error.kind()) => continue,
            Err(error @ ReceiveError::Decode { .. }) => {
                session.error(Report::new(&error));
                continue;
            }
            Err(error) => return Err(Trouble::Other(Report::new(&error).to_string())),
        };
        count += 1;
        if print(options, &received, session).is_err() {
            // What is wrong with the output is reported by the one who owns it; a closed pipe is no
            // fault.
            break;
        }
    }
    Ok(Exit::Success)
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// What to listen to.
fn daemon(options: &Listen, session: &mut Session<'_, '_>) -> Result<Daemon, Trouble> {
    let Some(interface) = options.interface else {
        let daemons = session.director.client()?.daemons()?;
        let backup = daemons.into_iter().find(|daemon| daemon.role == DaemonRole::Backup);
        let none =
            "this director has no backup sync daemon, whose settings would be taken: --interface names an interface";
        return backup.ok_or_else(|| Trouble::Other(none.to_owned()));
    };
    let daemon = Daemon::new(DaemonRole::Backup, interface).with_sync_id(options.sync_id.unwrap_or(0));
    Ok(daemon.with_group(options.group).with_port(options.port))
}

fn print(options: &Listen, received: &Received, session: &mut Session<'_, '_>) -> io::Result<()> {
    let (from, sync_id) = (received.from.ip(), received.message.sync_id);
    for entry in &received.message.entries {
        let connection = match Connection::try_from(entry) {
            Ok(connection) => connection,
            Err(error) => {
                session.error(format!("an entry from {from}: {error}"));
                continue;
            }
        };
        let out = &mut *session.environment.stdout;
        if options.json {
            let mut fields = row::fields(&connection);
            fields.insert(0, ("from", Scalar::text(from)));
            fields.insert(1, ("sync_id", u32::from(sync_id).into()));
            fields.extend(entry.mark.map(|mark| ("mark", mark.get().into())));
            fields.push(("active", Scalar::Boolean(is_active(entry))));
            writeln!(out, "{}", json::object(fields))?;
        } else {
            let mut line = format!("{from} {sync_id} ").into_bytes();
            row::text(&mut line, &connection);
            if let Some(mark) = entry.mark {
                write!(line, " mark {mark}")?;
            }
            line.push(b'\n');
            out.write_all(&line)?;
        }
    }
    session.environment.stdout.flush()
}

/// Does it count in the active connections of its real server?
fn is_active(entry: &Entry) -> bool {
    !entry.flags.intersects(EntryFlags::INACTIVE | EntryFlags::TEMPLATE)
}
