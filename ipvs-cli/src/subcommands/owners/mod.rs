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

fn list(owners: &Owners, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let table = session.director.table_without_statistics()?;
    // Without those of services that are gone. A change gives up their claims; this does not.
    let stored = StoredLedger::read(session, &table)?;
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
