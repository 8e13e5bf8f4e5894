//! `undrain`: gives drained destinations their weights back.

use std::net::SocketAddr;

use ipvs::{Command, ServiceKey, Weight};

use super::options::Undrain;
use super::report::named;
use super::targets::select;
use super::{PATIENCE, execute, memory_of};
use crate::operate::session::{Session, Trouble};
use crate::operate::{json, service_argument};

/// The exit status when one could not be given a weight.
const TROUBLE: u8 = 1;

/// What became of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It has this weight again.
    Restored(Weight),
    /// It has this one, which nobody has taken away.
    Unchanged(Weight),
    /// Nobody knows which one it had.
    Unknown,
}

pub(in crate::operate) fn run(undrain: &Undrain, session: &mut Session<'_, '_>) -> u8 {
    let done = give_back(undrain, session);
    session.conclude(done, TROUBLE)
}

fn give_back(undrain: &Undrain, session: &mut Session<'_, '_>) -> Result<u8, Trouble> {
    let memory = memory_of(session);
    let _turn = session.take_turn(Some(PATIENCE))?;
    let mut fates = Vec::new();
    let mut commands = Vec::new();
    for (service, state) in select(session, &undrain.servers)? {
        let (key, destination) = (service.service.key(), state.destination);
        let at = destination.address;
        let fate = match undrain.weight.or_else(|| memory.recall(key, at)) {
            _ if destination.weight != Weight::ZERO && undrain.weight.is_none() => Fate::Unchanged(destination.weight),
            Some(weight) => Fate::Restored(weight),
            None => Fate::Unknown,
        };
        if let Fate::Restored(weight) = fate {
            commands.push(Command::EditDestination(key, destination.with_weight(weight)));
        }
        fates.push((key, at, fate));
    }
    execute(&commands, session, &[])?;
    for &(key, at, fate) in &fates {
        if fate != Fate::Unknown {
            // It counts only for weight 0.
            let _ = memory.forget(key, at);
        }
        if undrain.json {
            session.print(object(key, at, fate));
        } else {
            tell(key, at, fate, session);
        }
    }
    Ok(if fates.iter().any(|(_, _, fate)| *fate == Fate::Unknown) { TROUBLE } else { 0 })
}

fn tell(key: ServiceKey, at: SocketAddr, fate: Fate, session: &mut Session<'_, '_>) {
    match fate {
        Fate::Restored(weight) => session.report(format!("{at} at {key}: weight {weight}")),
        Fate::Unchanged(weight) => session.report(format!("{at} at {key}: has weight {weight}")),
        Fate::Unknown => {
            let service = service_argument::word(&key);
            session.complain(format!(
                "{at} at {key}: nobody has noted its weight: `ipvs-cli undrain {service} {at} --weight WEIGHT'"
            ));
        }
    }
}

fn object(key: ServiceKey, at: SocketAddr, fate: Fate) -> impl std::fmt::Display {
    let (word, weight) = match fate {
        Fate::Restored(weight) => ("restored", weight),
        Fate::Unchanged(weight) => ("unchanged", weight),
        Fate::Unknown => ("unknown", Weight::ZERO),
    };
    let mut fields = named(key, at, word);
    fields.push(("weight", weight.get().into()));
    json::object(fields)
}
