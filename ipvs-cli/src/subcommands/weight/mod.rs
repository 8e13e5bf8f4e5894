//! `weight`: gives destinations another weight, and leaves all else as it is.

mod args;

use std::collections::HashMap;

use ipvs::{Command, Weight};

use crate::exit::Exit;
use crate::session::json;
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::servers::{
    PATIENCE, Servers, UNCHANGED, execute, log, named, note_last_servers, scheduler, select,
};
use ipvs::desired::parts::Scalar;

pub(super) use args::SetWeight;

pub(super) fn run(options: &SetWeight, session: &mut Session<'_, '_>) -> Exit {
    let (servers, weight) = match options.understand() {
        Ok(understood) => understood,
        Err(wrong) => return session.finish(Err(Trouble::Other(wrong)), Exit::Trouble),
    };
    let done = set(options, &servers, weight, session);
    log("weight", &done, &options.logging, session);
    session.finish(done.map(|(status, _)| status), Exit::No)
}

fn set(
    options: &SetWeight,
    servers: &Servers,
    weight: Weight,
    session: &mut Session<'_, '_>,
) -> Result<(Exit, String), Trouble> {
    let mut turn = session.take_turn(&Wait::new(options.turn.patience(PATIENCE), UNCHANGED))?;
    let mut notes = session.notes();
    let selected = select(session, servers, &mut |key, states| notes.review(key, states))?;
    if weight == Weight::ZERO && !options.force {
        scheduler::check(&selected, "sets it all the same")?;
    }
    let mut commands = Vec::new();
    for found in &selected {
        let (key, destination) = (found.service.service.key(), found.state.destination);
        if destination.weight == weight {
            continue;
        }
        if let Some(noted) = notes.weight(key, destination.address) {
            session.note(format!("{} at {key}: was drained, with weight {noted} before", destination.address));
        }
        commands.push(Command::EditDestination(key, destination.with_weight(weight)));
    }
    turn.protect(session.environment);
    let (answers, trouble) = execute(&commands, session)?;
    let refused: HashMap<_, _> = commands
        .iter()
        .zip(answers)
        .filter_map(|(command, answer)| {
            let Command::EditDestination(key, destination) = command else { return None };
            if answer.is_ok() {
                notes.follow(command);
            }
            Some(((*key, destination.address), answer.err()?))
        })
        .collect();
    session.save(&mut notes);
    if weight == Weight::ZERO {
        note_last_servers(&selected, session);
    }
    let mut logged = Vec::new();
    for found in &selected {
        let (key, at, before) =
            (found.service.service.key(), found.state.destination.address, found.state.destination.weight);
        if let Some(reason) = refused.get(&(key, at)) {
            if options.json {
                let mut fields = named(key, at, "refused");
                fields.extend([("reason", Scalar::text(reason)), ("weight_before", before.get().into())]);
                session.print(json::object(fields));
            } else {
                session.error(format!("{at} at {key}: not changed: {reason}"));
            }
            logged.push(format!("{at} at {key} refused: {reason}"));
            continue;
        }
        if options.json {
            let mut fields = named(key, at, if before == weight { "unchanged" } else { "changed" });
            fields.extend([("weight", weight.get().into()), ("weight_before", before.get().into())]);
            session.print(json::object(fields));
        } else if before == weight {
            session.report(format!("{at} at {key}: has weight {weight}"));
        } else {
            session.report(format!("{at} at {key}: weight {weight}, was {before}"));
        }
        logged.push(format!("{at} at {key} weight {weight}, was {before}"));
    }
    if let Some(trouble) = trouble {
        session.finish(Err(trouble), Exit::No);
    }
    Ok((if refused.is_empty() { Exit::Success } else { Exit::No }, logged.join("; ")))
}
