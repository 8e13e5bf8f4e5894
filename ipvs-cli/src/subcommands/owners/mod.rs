//! `owners`: lists the services that have an owner.

mod args;

use ipvs::desired::parts::Scalar;

use crate::arguments::service;
use crate::change::claims::StoredLedger;
use crate::exit::Exit;
use crate::session::json;
use crate::session::{Session, Trouble};

pub(super) use args::Owners;

pub(super) fn run(owners: &Owners, session: &mut Session<'_, '_>) -> Exit {
    let done = list(owners, session);
    session.finish(done, Exit::No)
}

/// The owners, without those of services that are gone. If their claims can be written, they are
/// given up: another program may add such a service again, and it would have an owner.
fn read(session: &mut Session<'_, '_>) -> Result<StoredLedger, Trouble> {
    let table = session.director.table_without_statistics()?;
    let mut stored = StoredLedger::read(session, &table)?;
    // A run that changes the director claims services before they are there.
    if stored.has_stale_claims()
        && let Some(_lock) = session.lock_at_once()
    {
        let table = session.director.table_without_statistics()?;
        stored = StoredLedger::read(session, &table)?;
        // It is a list that was asked for.
        let _ = stored.give_up_stale_claims();
    }
    Ok(stored)
}

fn list(owners: &Owners, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let stored = read(session)?;
    let width = stored.ledger.claims().map(|(_, claim)| claim.owner().as_str().len()).fold(5, usize::max);
    if !owners.json {
        session.print(format_args!("{:width$}  SERVICE", "OWNER"));
    }
    for (key, claim) in stored.ledger.claims() {
        let service = service::word(key);
        if owners.json {
            let fields = vec![("owner", Scalar::text(claim.owner())), ("service", Scalar::text(key))];
            session.print(json::object(fields));
        } else {
            session.print(format_args!("{:width$}  {service}", claim.owner()));
        }
    }
    Ok(Exit::Success)
}
