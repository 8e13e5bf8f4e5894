//! `weight`: gives destinations another weight, and leaves all else as it is.

mod args;

use std::collections::HashMap;

use ipvs::{Command, Destination, Weight};

use crate::exit::Exit;
use crate::session::json;
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::servers::{
    Answer, Selected, Servers, check_zero, execute, log, named, note_followers, note_refusing_services, select,
};
use ipvs::desired::parts::Scalar;

pub(super) use args::SetWeight;

pub(super) fn run(options: &SetWeight, session: &mut Session<'_, '_>) -> Exit {
    let (servers, weight) = match options.understand() {
        Ok(understood) => understood,
        Err(wrong) => return session.finish(Err(Trouble::Other(wrong)), Exit::Trouble),
    };
    let done = set(options, &servers, weight, session);
    log("weight", &done, &options.common.logging, session);
    session.finish(done.map(|(status, _)| status), Exit::No)
}

fn set(
    options: &SetWeight,
    servers: &Servers,
    weight: Weight,
    session: &mut Session<'_, '_>,
) -> Result<(Exit, String), Trouble> {
    let mut guard = session.guard(&Wait::new(options.common.wait))?;
    let mut notes = session.notes();
    let selected = select(session, servers, &mut |key, states| notes.review(key, states))?;
    if weight == Weight::ZERO && !options.force {
        check_zero(&selected, "sets it all the same")?;
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
    guard.protect(session.environment);
    let (answers, trouble) = execute(&commands, session)?;
    let status = Answer::status(&answers);
    let mut answered = HashMap::new();
    for (command, answer) in commands.iter().zip(answers) {
        let Command::EditDestination(key, destination) = command else { continue };
        if answer == Answer::Done {
            notes.follow(command);
        }
        answered.insert((*key, destination.address), answer);
    }
    session.save(&mut notes);
    if weight == Weight::ZERO {
        note_refusing_services(&selected, session);
    }
    let mut logged = Vec::new();
    for found in &selected {
        let at = (found.service.service.key(), found.state.destination.address);
        logged.push(report(found, weight, answered.get(&at), options.json, session));
    }
    let changed: Vec<_> =
        answered.into_iter().filter(|(_, answer)| *answer == Answer::Done).map(|((key, _), _)| key).collect();
    note_followers(&changed, true, session);
    if let Some(trouble) = trouble {
        session.finish(Err(trouble), Exit::No);
    }
    Ok((status, logged.join("; ")))
}

/// Reports what became of one server: without an answer, it had the weight before. Returns the
/// words for the log.
fn report(
    found: &Selected,
    weight: Weight,
    answer: Option<&Answer>,
    is_json: bool,
    session: &mut Session<'_, '_>,
) -> String {
    let (key, Destination { address: at, weight: before, .. }) = (found.service.service.key(), found.state.destination);
    let failed = match answer {
        None | Some(Answer::Done) => None,
        Some(Answer::Refused(reason)) => Some(("refused", "not changed", reason)),
        Some(Answer::Unconfirmed(reason)) => Some(("unconfirmed", "it is unknown whether it was changed", reason)),
    };
    if let Some((outcome, what, reason)) = failed {
        if is_json {
            let mut fields = named(key, at, outcome);
            fields.extend([("reason", Scalar::text(reason)), ("weight_before", before.get().into())]);
            session.print(json::object(fields));
        } else {
            session.error(format!("{at} at {key}: {what}: {reason}"));
        }
        return format!("{at} at {key} {outcome}: {reason}");
    }
    if is_json {
        let mut fields = named(key, at, if before == weight { "unchanged" } else { "changed" });
        fields.extend([("weight", weight.get().into()), ("weight_before", before.get().into())]);
        session.print(json::object(fields));
    } else if before == weight {
        session.report(format!("{at} at {key}: has weight {weight}"));
    } else {
        session.report(format!("{at} at {key}: weight {weight}, was {before}"));
    }
    format!("{at} at {key} weight {weight}, was {before}")
}
