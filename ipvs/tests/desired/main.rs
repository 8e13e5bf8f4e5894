//! Desired states in TOML and JSON: wrong ones are refused with their place, and the pages of docs/
//! are true.
#![cfg(feature = "serde")]

mod cases;
mod docs;
mod schema;
mod wrong;

use ipvs::desired::{self, Desired, Problem, Source};
use ipvs::{InterfaceName, Table};

fn read(name: &str, text: impl Into<Vec<u8>>) -> Result<Desired, Vec<Problem>> {
    Ok(desired::read(&Source::new(name, text))?)
}

/// The table that an empty director would have.
fn table(name: &str, text: impl Into<Vec<u8>>) -> Result<Table, Vec<Problem>> {
    Ok(read(name, text)?.table(&Table::new())?)
}

/// An empty director with a network.
fn director() -> Table {
    Table::new().with_interface(InterfaceName::new("eth0").unwrap())
}
