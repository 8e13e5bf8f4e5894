//! One of several programs on a director: it changes only services of its owner, `shop`.
//!
//! The ledger of owners is a file, which all of them share.
//!
//! Runs on an in-memory director; with `--kernel FILE`, as root, on this machine's, with the ledger
//! in that file. Its service is tcp 192.0.2.1:80.

use std::error::Error;
use std::ops::ControlFlow;
use std::{env, fs, io};

use ipvs::change::{Applied, Change, DirectorState, Planner};
use ipvs::owners::{Ledger, Writer};
use ipvs::{Client, Command, Destination, Service, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let desired = desired()?;
    let Some(path) = env::args().skip_while(|word| word != "--kernel").nth(1) else {
        let applied = step(&mut Client::fake(Table::new()), &mut Ledger::new(), &desired, |_| Ok(()))?;
        println!("{} commands", applied.commands.len());
        return Ok(());
    };
    let mut ledger = match fs::read_to_string(&path) {
        Ok(text) => text.parse()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ledger::new(),
        Err(error) => return Err(error.into()),
    };
    // A reader of the file must never see half of it.
    let store = |ledger: &Ledger| {
        let next = format!("{path}.new");
        fs::write(&next, ledger.to_string())?;
        fs::rename(&next, &path)
    };
    let applied = step(&mut Client::connect()?, &mut ledger, &desired, store)?;
    println!("{} commands", applied.commands.len());
    Ok(())
}

fn desired() -> Result<Table, Box<dyn Error>> {
    let mut table = Table::new();
    let web = "tcp 192.0.2.1:80".parse()?;
    table.apply(&Command::AddService(Service::new(web)))?;
    table.apply(&Command::AddDestination(web, Destination::new("192.0.2.11:80".parse()?)))?;
    Ok(table)
}

/// Brings the services of the owner to the desired state. An error names a service that belongs to
/// another owner or to none.
pub(crate) fn step(
    director: &mut Client,
    ledger: &mut Ledger,
    desired: &Table,
    store: impl Fn(&Ledger) -> io::Result<()>,
) -> Result<Applied, Box<dyn Error>> {
    let shop = Writer::of("shop".parse()?);
    let mut present = director.table_without_statistics()?;
    ledger.prune(&present);
    let planner = Planner::new().only_services().keep_weights().max_deletions(100);
    let planner = ledger.restrict(planner, &shop, &present, desired)?;
    let plan = planner.plan(&present, desired);
    director.probe(&mut present, plan.commands())?;
    let change = Change::prepare(present, desired.clone(), planner.clone())?;

    // Before the first command, so that a crash at any point leaves no service without its owner.
    let before = ledger.clone();
    ledger.claim(&shop, &planner, change.before(), desired);
    store(ledger)?;
    match change.apply(director, |_| ControlFlow::Continue(())) {
        Ok(applied) => {
            ledger.settle(&shop, &planner, desired);
            store(ledger)?;
            Ok(applied)
        }
        Err(error) => {
            if matches!(error.state, DirectorState::Untouched | DirectorState::Undone) {
                *ledger = before;
                store(ledger)?;
            }
            Err(error.into())
        }
    }
}
