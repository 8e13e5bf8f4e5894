//! Which program applied which services, where several programs share one director.
//!
//! The kernel has no place for an owner. A [`Ledger`] keeps them beside it: for each service that
//! was applied for an [`Owner`], the configuration that it was given. A claim is believed only as
//! long as the kernel's table agrees: a service that is gone, or that somebody else made anew
//! differently, has no owner any more.
//!
//! A writer with an owner changes and deletes what this owner applied before, and adds what is
//! missing. It touches neither another owner's services nor those that nobody owns, unless it
//! [takes them over](Writer::take). A writer without an owner leaves owned services alone.
//!
//! The order of a change that survives a crash at any point:
//!
//! 1. read the table, [prune](Ledger::prune) the ledger by it, [restrict](Ledger::restrict) the
//!    planner;
//! 2. [claim](Ledger::claim) what will be there, and store the ledger, before the first command is
//!    sent;
//! 3. make the change, planned from the table that was read in step 1:
//!    [`Change::prepare`](crate::change::Change::prepare). Not
//!    [`Client::reconcile`](crate::Client::reconcile), which reads the table itself: a service that
//!    another program made since step 1 would not be recognised as another program's;
//! 4. [settle](Ledger::settle) the ledger, and store it again; if the change failed and was undone,
//!    store the ledger of before step 2.
//!
//! ```
//! use std::ops::ControlFlow;
//! use ipvs::owners::{Ledger, Writer};
//! use ipvs::{
//!     Client, Command, Service, Table,
//!     change::{Change, Planner},
//! };
//! let mut director = Client::fake(Table::new());
//! director.add_service(&Service::new("udp 192.0.2.1:53".parse()?))?; // another program's
//! let mut ledger = Ledger::new(); // or read from a file, by `parse`
//! let shop = Writer::of("shop".parse()?);
//!
//! let mut desired = Table::new();
//! desired.apply(&Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?)))?;
//! for desired in [desired, Table::new()] {
//!     let present = director.table()?;
//!     ledger.prune(&present);
//!     let planner = ledger.restrict(Planner::new(), &shop, &present, &desired)?;
//!     ledger.claim(&shop, &planner, &present, &desired);
//!     // Store `ledger.to_string()` here.
//!     let change = Change::prepare(present, desired.clone(), planner.clone())?;
//!     change.apply(&mut director, |_| ControlFlow::Continue(()))?;
//!     ledger.settle(&shop, &planner, &desired);
//!     // And here.
//! }
//! let left: Vec<_> =
//!     director.services()?.iter().map(|state| state.service.key().to_string()).collect();
//! assert_eq!(left, ["udp 192.0.2.1:53"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ledger;
mod owner;

pub use ledger::{Claim, Conflict, Conflicts, Ledger, LedgerError, Writer};
pub use owner::Owner;
