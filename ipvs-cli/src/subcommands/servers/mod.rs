//! What `drain`, `undrain` and `weight` share: selecting real servers and changing them.

mod args;
pub(super) mod scheduler;
mod select;

use std::net::SocketAddr;

use ipvs::desired::parts::{Fields, Scalar};
use ipvs::{Command, DestinationState, Errno, Error, Report, ServiceKey, Weight};

use crate::change::claims::StoredLedger;
use crate::change::keep;
use crate::exit::Exit;
use crate::session::journal::{LogOutcome, Logging, Record};
use crate::session::{Session, Trouble};
use crate::state::hold::Hold;
use crate::state::lock::Lock;

pub(super) use args::Servers;
pub(super) use select::{Reading, Selected, select};

/// One line in the system's log: what became of each destination, or why the kernel failed.
pub(super) fn log(
    subcommand: &str,
    done: &Result<(Exit, String), Trouble>,
    logging: &Logging,
    session: &Session<'_, '_>,
) {
    let (outcome, detail) = match done {
        Ok((Exit::Success, what)) => (LogOutcome::Done, what.clone()),
        Ok((_, what)) => (LogOutcome::Failed, what.clone()),
        Err(trouble @ Trouble::Kernel(_)) => (LogOutcome::Failed, trouble.text()),
        Err(_) => return,
    };
    session.log(logging, &Record { subcommand, file: None, outcome, detail: &detail });
}

/// The services that would refuse all new clients without these destinations.
fn left_without_servers(selected: &[Selected]) -> Vec<ServiceKey> {
    let is_last = |one: &&Selected| !one.has_others && one.state.destination.weight != Weight::ZERO;
    let mut keys: Vec<_> = selected.iter().filter(is_last).map(|one| one.service.service.key()).collect();
    keys.dedup();
    keys
}

/// Refuses weight 0 where new clients would be refused by it.
pub(super) fn check_zero(selected: &[Selected], otherwise: &str) -> Result<(), Trouble> {
    let mut reasons = scheduler::reasons(selected);
    reasons.extend(
        left_without_servers(selected)
            .iter()
            .map(|key| format!("{key}: no other real server of it has a weight, so its new clients would be refused")),
    );
    let lines = reasons.iter().map(|reason| format!("{reason}; --force {otherwise}; nothing was changed"));
    let lines = lines.collect::<Vec<_>>().join("\nipvs-cli: ");
    if lines.is_empty() { Ok(()) } else { Err(Trouble::Other(lines)) }
}

/// Names the services that refuse all new clients now, after `--force`.
pub(super) fn note_refusing_services(selected: &[Selected], session: &mut Session<'_, '_>) {
    for key in left_without_servers(selected) {
        session.note(format!("{key} has no other real server with a weight: its new clients are refused"));
    }
}

/// Names the followers that put back what was changed of these services, unless a person holds
/// them.
pub(super) fn note_followers(services: &[ServiceKey], is_weight: bool, session: &mut Session<'_, '_>) {
    let Some(directory) = session.environment.state_directory else { return };
    let followers = if services.is_empty() { Vec::new() } else { Lock::holders(directory, keep::FOLLOW) };
    if followers.is_empty() || matches!(Hold::read(directory), Ok(Some(_))) {
        return;
    }
    let owners = StoredLedger::unchecked(session).map(|stored| stored.ledger).unwrap_or_default();
    for (owner, follower) in followers {
        let is_its = |key: &ServiceKey| owners.owner(key).map_or("", |owner| owner.as_str()) == owner;
        let keeps_weights = is_weight && follower.to_string().contains(" --keep-weights");
        if services.iter().any(is_its) && !keeps_weights {
            session.note(format!(
                "ipvs-follow puts it back: {follower} follows a source here; change the source, or `ipvs-follow hold` \
                 it first"
            ));
        }
    }
}

/// The kernel's errors for a destination or service that has gone meanwhile.
const GONE: &[Errno] = &[Errno::ENOENT, Errno::ESRCH];

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// Why it was not carried out.
    Refused(String),
    /// The reply was lost, and why the director can't be read.
    Unconfirmed(String),
}

impl Answer {
    /// The status of a run with these answers.
    pub(super) fn status(answers: &[Answer]) -> Exit {
        let any = |is: fn(&Answer) -> bool| answers.iter().any(is);
        match () {
            () if any(|answer| matches!(answer, Answer::Unconfirmed(_))) => Exit::Between,
            () if any(|answer| matches!(answer, Answer::Refused(_))) => Exit::No,
            () => Exit::Success,
        }
    }
}

/// Executes the commands. If replies are lost, the trouble says so, and the director is read to
/// find out what was done.
///
/// # Errors
/// Nothing was changed.
pub(super) fn execute(
    commands: &[Command],
    session: &mut Session<'_, '_>,
) -> Result<(Vec<Answer>, Option<Trouble>), Trouble> {
    let client = session.director.client()?;
    let answered = |(command, outcome): (&Command, ipvs::Outcome)| match (command, outcome) {
        (_, Ok(())) => Answer::Done,
        // Another program has deleted it.
        (Command::DeleteDestination(..), Err(refusal)) if GONE.contains(&refusal.errno) => Answer::Done,
        (_, Err(refusal)) => Answer::Refused(refusal.to_string()),
    };
    let (known, error) = match client.execute_all(commands) {
        Ok(outcomes) => return Ok((commands.iter().zip(outcomes).map(answered).collect(), None)),
        Err(Error::OutcomeUnknown { known, source }) => (known, source),
        Err(error) => return Err(error.into()),
    };
    let mut answers: Vec<_> = commands.iter().zip(known.clone()).map(answered).collect();
    let unanswered = &commands[answers.len()..];
    for of_service in unanswered.chunk_by(|one, next| one.service_key() == next.service_key()) {
        let states = of_service[0].service_key().map_or(Ok(Vec::new()), |key| client.destinations(&key));
        let states = match states {
            Err(error) if error.errno().is_some_and(|errno| GONE.contains(&errno)) => Ok(Vec::new()),
            states => states,
        };
        answers.extend(of_service.iter().map(|command| match &states {
            Ok(states) if is_done(command, states) => Answer::Done,
            Ok(_) => Answer::Refused(Report::new(&error).to_string()),
            Err(unread) => Answer::Unconfirmed(format!("{}; then: {}", Report::new(&error), Report::new(unread))),
        }));
    }
    let is_known = !answers.iter().any(|answer| matches!(answer, Answer::Unconfirmed(_)));
    let trouble = if is_known { *error } else { Error::OutcomeUnknown { known, source: error } };
    Ok((answers, Some(trouble.into())))
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

/// The fields that name a destination and its outcome.
pub(super) fn named(service: ServiceKey, server: SocketAddr, outcome: &str) -> Fields {
    vec![("service", Scalar::text(service)), ("server", Scalar::text(server)), ("outcome", Scalar::text(outcome))]
}
