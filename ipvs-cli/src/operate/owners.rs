//! `owners`: lists the services that have an owner.

use ipvs::desired::parts::Scalar;

use super::cli::Owners;
use super::json;
use super::ownership::StoredLedger;
use super::service_argument;
use super::session::{Session, Trouble};
use crate::failure::Failure;

const TROUBLE: u8 = 1;

pub(super) fn run(owners: &Owners, session: &mut Session<'_, '_>) -> u8 {
    let done = list(owners, session);
    session.conclude(done, TROUBLE)
}

fn list(owners: &Owners, session: &mut Session<'_, '_>) -> Result<u8, Trouble> {
    let table = session.kernel.table_without_statistics().map_err(|error| Trouble::Kernel(Failure::read(error)))?;
    let stored = StoredLedger::read(session, &table)?;
    let width = stored.ledger.claims().map(|(_, claim)| claim.owner().as_str().len()).fold(5, usize::max);
    if !owners.json {
        session.print(format_args!("{:width$}  SERVICE", "OWNER"));
    }
    for (key, claim) in stored.ledger.claims() {
        let service = service_argument::word(key);
        if owners.json {
            let fields = vec![("owner", Scalar::text(claim.owner())), ("service", Scalar::text(key))];
            session.print(json::object(fields));
        } else {
            session.print(format_args!("{:width$}  {service}", claim.owner()));
        }
    }
    Ok(0)
}
