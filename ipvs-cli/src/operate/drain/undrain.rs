//! `undrain`: gives drained destinations their weights back.

use ipvs::{Command, Weight};

use super::options::Undrain;
use super::targets::select;
use super::{PATIENCE, execute, memory_of};
use crate::operate::service_argument;
use crate::operate::session::{Session, Trouble};

/// The exit status when one could not be given a weight.
const TROUBLE: u8 = 1;

pub(in crate::operate) fn run(undrain: &Undrain, session: &mut Session<'_, '_>) -> u8 {
    let done = give_back(undrain, session);
    session.conclude(done, TROUBLE)
}

fn give_back(undrain: &Undrain, session: &mut Session<'_, '_>) -> Result<u8, Trouble> {
    let memory = memory_of(session);
    let _turn = session.take_turn(Some(PATIENCE))?;
    let mut status = 0;
    let mut given = Vec::new();
    for (service, state) in select(session, &undrain.servers)? {
        let (key, destination) = (service.service.key(), state.destination);
        let at = destination.address;
        if destination.weight != Weight::ZERO && undrain.weight.is_none() {
            session.report(format!("{at} at {key}: has weight {}", destination.weight));
            let _ = memory.forget(key, at);
            continue;
        }
        match undrain.weight.or_else(|| memory.recall(key, at)) {
            Some(weight) => given.push((key, destination.with_weight(weight))),
            None => {
                let service = service_argument::word(&key);
                session.complain(format!(
                    "{at} at {key}: nobody has noted its weight: `ipvs-cli undrain {service} {at} --weight WEIGHT'"
                ));
                status = TROUBLE;
            }
        }
    }
    let commands: Vec<_> = given.iter().map(|(key, server)| Command::EditDestination(*key, *server)).collect();
    execute(&commands, session, &[])?;
    for (key, server) in given {
        session.report(format!("{} at {key}: weight {}", server.address, server.weight));
        // It counts only for weight 0.
        let _ = memory.forget(key, server.address);
    }
    Ok(status)
}
