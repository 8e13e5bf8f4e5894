//! `undrain`: gives drained destinations their weights back.

mod args;

use std::net::SocketAddr;

use ipvs::{Command, ServiceKey, Weight};

use crate::arguments::service;
use crate::exit::Exit;
use crate::session::json;
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::servers::{Answer, execute, log, named, select};
use ipvs::desired::parts::Scalar;

pub(super) use args::Undrain;

/// What became of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It has this weight again.
    Restored(Weight),
    /// It has this weight, which was not taken away.
    Unchanged(Weight),
    /// The weight that it had is not known.
    Unknown,
    /// Why it has not got its weight.
    Refused(String),
    /// Why it is unknown whether it has.
    Unconfirmed(String),
}

pub(super) fn run(undrain: &Undrain, session: &mut Session<'_, '_>) -> Exit {
    let done = give_back(undrain, session);
    log("undrain", &done, &undrain.common.logging, session);
    session.finish(done.map(|(status, _)| status), Exit::No)
}

fn give_back(undrain: &Undrain, session: &mut Session<'_, '_>) -> Result<(Exit, String), Trouble> {
    let mut guard = session.guard(&Wait::new(undrain.common.wait))?;
    let mut notes = session.notes();
    let mut fates = Vec::new();
    let mut commands = Vec::new();
    for found in select(session, &undrain.servers, &mut |key, states| notes.review(key, states))? {
        let (key, destination) = (found.service.service.key(), found.state.destination);
        let at = destination.address;
        let fate = match undrain.weight.or_else(|| notes.weight(key, at)) {
            _ if destination.weight != Weight::ZERO && undrain.weight.is_none() => Fate::Unchanged(destination.weight),
            Some(weight) => Fate::Restored(weight),
            None => Fate::Unknown,
        };
        if let Fate::Restored(weight) = fate {
            commands.push(Command::EditDestination(key, destination.with_weight(weight)));
        }
        fates.push((key, at, fate));
    }
    guard.protect(session.environment);
    let (answers, trouble) = execute(&commands, session)?;
    let restored = fates.iter_mut().filter(|(_, _, fate)| matches!(fate, Fate::Restored(_)));
    for (((_, _, fate), command), answer) in restored.zip(&commands).zip(answers) {
        match answer {
            Answer::Done => notes.follow(command),
            Answer::Refused(reason) => *fate = Fate::Refused(reason),
            Answer::Unconfirmed(reason) => *fate = Fate::Unconfirmed(reason),
        }
    }
    session.save(&mut notes);
    let mut logged = Vec::new();
    for (key, at, fate) in &fates {
        logged.push(match fate {
            Fate::Restored(weight) => format!("{at} at {key} weight {weight}"),
            Fate::Unchanged(_) => format!("{at} at {key} unchanged"),
            Fate::Unknown => format!("{at} at {key} unknown"),
            Fate::Refused(reason) => format!("{at} at {key} refused: {reason}"),
            Fate::Unconfirmed(reason) => format!("{at} at {key} unconfirmed: {reason}"),
        });
        if undrain.json {
            session.print(object(*key, *at, fate));
        } else {
            report(*key, *at, fate, session);
        }
    }
    if let Some(trouble) = trouble {
        session.finish(Err(trouble), Exit::No);
    }
    let any = |is: fn(&Fate) -> bool| fates.iter().any(|(_, _, fate)| is(fate));
    let status = match () {
        () if any(|fate| matches!(fate, Fate::Unconfirmed(_))) => Exit::Between,
        () if any(|fate| matches!(fate, Fate::Unknown | Fate::Refused(_))) => Exit::No,
        () => Exit::Success,
    };
    Ok((status, logged.join("; ")))
}

fn report(key: ServiceKey, at: SocketAddr, fate: &Fate, session: &mut Session<'_, '_>) {
    match fate {
        Fate::Restored(weight) => session.report(format!("{at} at {key}: weight {weight}")),
        Fate::Unchanged(weight) => session.report(format!("{at} at {key}: has weight {weight}")),
        Fate::Refused(reason) => session.error(format!("{at} at {key}: not changed: {reason}")),
        Fate::Unconfirmed(reason) => {
            session.error(format!("{at} at {key}: it is unknown whether it was changed: {reason}"));
        }
        Fate::Unknown => {
            let service = service::word(&key);
            session.error(format!(
                "{at} at {key}: its weight is not noted: `ipvs-cli undrain {service} {at} --weight WEIGHT`"
            ));
        }
    }
}

fn object(key: ServiceKey, at: SocketAddr, fate: &Fate) -> impl std::fmt::Display {
    let (word, weight) = match fate {
        Fate::Restored(weight) => ("restored", Ok(*weight)),
        Fate::Unchanged(weight) => ("unchanged", Ok(*weight)),
        Fate::Unknown => ("unknown", Ok(Weight::ZERO)),
        Fate::Refused(reason) => ("refused", Err(reason)),
        Fate::Unconfirmed(reason) => ("unconfirmed", Err(reason)),
    };
    let mut fields = named(key, at, word);
    fields.push(match weight {
        Ok(weight) => ("weight", weight.get().into()),
        Err(reason) => ("reason", Scalar::text(reason)),
    });
    json::object(fields)
}
