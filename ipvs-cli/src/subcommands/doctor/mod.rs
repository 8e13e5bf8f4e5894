//! `doctor`: what keeps packets from being balanced here, and the commands that mend it.
//!
//! `gather` reads facts from the kernel; `director`, `sync_daemons` and `real_server` judge them.

mod args;
mod director;
mod gather;
mod machine;
mod real_server;
mod rtnetlink;
mod sync_daemons;

use std::path::Path;

use fwmark::{Backend, BackendError, Owner};
use ipvs::{Daemon, Error};

use self::director::Director;
use self::real_server::Role;
use crate::change::offline::File;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::subcommands::findings::marks as check;
use crate::subcommands::findings::{Finding, Level, write_json};

pub(super) use args::Doctor;

pub(super) fn run(doctor: &Doctor, session: &mut Session<'_, '_>) -> Exit {
    let done = match doctor.real_server {
        Some(vip) => match doctor.role(vip) {
            Ok(role) => real_server(&role).map(|found| ("real-server", found)),
            Err(wrong) => Err(Trouble::Other(wrong.to_owned())),
        },
        None => director(doctor.peer.as_deref(), session).map(|found| ("director", found)),
    };
    let done = done.map(|(role, found)| report(doctor.json, role, &found, session));
    session.finish(done, Exit::Trouble)
}

/// Reports the findings. Returns the exit status.
fn report(is_json: bool, role: &'static str, found: &[Finding], session: &mut Session<'_, '_>) -> Exit {
    if is_json {
        session.display.end();
        // Errors of writing are reported at the end.
        let _ = write_json(session.environment.stdout, role, found);
    } else {
        found.iter().for_each(|finding| session.report(finding));
        if found.is_empty() {
            session.report("nothing was found");
        }
    }
    if found.iter().any(|finding| finding.level == Level::Problem) { Exit::No } else { Exit::Success }
}

fn real_server(role: &Role) -> Result<Vec<Finding>, Trouble> {
    let machine = gather::machine(real_server::asked(role)).map_err(unseen)?;
    Ok(sorted(real_server::judge(role, &machine)))
}

fn peer(file: &Path, session: &mut Session<'_, '_>) -> Result<Vec<Daemon>, Trouble> {
    let File { text, desired, table } = File::read(session, file, false)?;
    sync_daemons::of_peer(&table, desired.state.scope)
        .map_err(|wrong| Trouble::Other(format!("{}: {wrong}", text.name())))
}

fn director(other: Option<&Path>, session: &mut Session<'_, '_>) -> Result<Vec<Finding>, Trouble> {
    let peer = other.map(|file| peer(file, session)).transpose()?;
    session.progress("reading the director's table");
    let table = match session.director.table() {
        Ok(table) => table,
        Err(error @ Error::ModuleMissing) => return Ok(vec![director::no_ipvs(&error.to_string())]),
        Err(error) => return Err(Trouble::Kernel(error)),
    };
    session.progress("reading the rules of firewalls");
    let (rules, marks) =
        match Backend::detect(Owner::default()).and_then(|mut backend| check::look(&mut backend, Some(&table))) {
            Ok(looked) => (looked.rules, looked.wrong),
            Err(BackendError::Unavailable { .. }) => (Vec::new(), check::without_backend(&table)),
            // All the rest can still be looked at.
            Err(error) => (Vec::new(), vec![check::Wrong::Unread(error.to_string())]),
        };
    session.progress("looking at the network");
    let machine = gather::machine(director::asked(&table, &rules)).map_err(unseen)?;
    let director = Director { machine, table, schedulers: gather::schedulers(), rules, marks, peer };
    Ok(sorted(director::judge(&director)))
}

/// Problems first.
fn sorted(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| finding.level);
    found
}

fn unseen(error: std::io::Error) -> Trouble {
    Trouble::Other(format!("the network of this machine can't be read: {error}"))
}
