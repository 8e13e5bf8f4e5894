//! What `drain`, `undrain` and `weight` share: which real servers are meant, and changing them one by one.

mod args;
pub(super) mod scheduler;
mod select;

use std::net::SocketAddr;
use std::time::Duration;

use ipvs::desired::parts::{Fields, Scalar};
use ipvs::{Command, DestinationState, Errno, Report, ServiceKey, Weight};

use crate::exit::Exit;
use crate::session::journal::{Logging, Outcome as Logged, Record};
use crate::session::{Session, Trouble};

pub(super) use args::Servers;
pub(super) use select::{Reading, Selected, select};

/// How long another ipvs-cli is waited for without --wait: most changes are over sooner.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What is so without the lock, and what to do.
pub(super) const UNCHANGED: &str = "nothing was changed; --wait waits for it";

/// One line in the system's log: what became of each destination, or that the kernel failed. Wrong names change nothing.
pub(super) fn log(
    subcommand: &str,
    done: &Result<(Exit, String), Trouble>,
    logging: &Logging,
    session: &Session<'_, '_>,
) {
    let (outcome, detail) = match done {
        Ok((Exit::Success, what)) => (Logged::Done, what.clone()),
        Ok((_, what)) => (Logged::Failed, what.clone()),
        Err(trouble @ Trouble::Kernel(_)) => (Logged::Failed, trouble.text()),
        Err(_) => return,
    };
    session.log(logging, &Record { subcommand, file: None, outcome, detail: &detail });
}

/// Of services that will refuse all new clients, as no other server has a weight.
pub(super) fn note_last_servers(selected: &[Selected], session: &mut Session<'_, '_>) {
    let is_last = |one: &&Selected| !one.has_others && one.state.destination.weight != Weight::ZERO;
    let mut keys: Vec<_> = selected.iter().filter(is_last).map(|one| one.service.service.key()).collect();
    keys.dedup();
    for key in keys {
        session.note(format!("{key} has no other real server with a weight: its new clients are refused"));
    }
}

/// What a command on a destination or service is answered that has gone meanwhile.
const GONE: &[Errno] = &[Errno::ENOENT, Errno::ESRCH];

/// What became of each command; for one that was not carried out, why.
pub(super) type Answers = Vec<Result<(), String>>;

/// Carries them out. The trouble is that of sending or receiving: then the director is read, and a command whose work is not there
/// counts as not carried out.
pub(super) fn execute(
    commands: &[Command],
    session: &mut Session<'_, '_>,
) -> Result<(Answers, Option<Trouble>), Trouble> {
    let client = session.director.client()?;
    let error = match client.execute_all(commands) {
        Ok(outcomes) => {
            let answer = |(command, outcome): (&Command, ipvs::Outcome)| match (command, outcome) {
                // Another program has deleted it.
                (Command::DeleteDestination(..), Err(refusal)) if GONE.contains(&refusal.errno) => Ok(()),
                (_, outcome) => outcome.map_err(|refusal| refusal.to_string()),
            };
            return Ok((commands.iter().zip(outcomes).map(answer).collect(), None));
        }
        Err(error) => error,
    };
    let mut answers = Vec::new();
    for command in commands {
        let (Command::EditDestination(key, _) | Command::DeleteDestination(key, _)) = command else { continue };
        // Unread, it is unknown what was carried out, and the error says so.
        let Ok(states) = client.destinations(key) else { return Err(error.into()) };
        answers.push(if is_done(command, &states) { Ok(()) } else { Err(Report::new(&error).to_string()) });
    }
    Ok((answers, Some(error.into())))
}

/// Do these destinations of the command's service show that it was carried out?
fn is_done(command: &Command, states: &[DestinationState]) -> bool {
    let weight = |at| states.iter().map(|state| state.destination).find(|one| one.address == at).map(|one| one.weight);
    match command {
        Command::EditDestination(_, destination) => weight(destination.address) == Some(destination.weight),
        Command::DeleteDestination(_, at) => weight(*at).is_none(),
        _ => false,
    }
}

/// Which destination, and what became of it.
pub(super) fn named(service: ServiceKey, server: SocketAddr, outcome: &str) -> Fields {
    vec![("service", Scalar::text(service)), ("server", Scalar::text(server)), ("outcome", Scalar::text(outcome))]
}
