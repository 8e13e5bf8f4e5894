//! Desired states, read and written: what is written is read as the same, and what is wrong is
//! refused with its place.

#[path = "../../../ipvs/tests/desired/cases.rs"]
mod cases;
mod damaged;
mod docs;
mod identity;
mod same;
mod strategies;
mod understood;
mod wrong;

use ipvs::Table;
use ipvs::desired::Problem;
use ipvs_cli::desired::{self, Desired};
use ipvs_cli::ipvsadm::value::NoNames;
use ipvs_cli::ipvsadm::{Parser, Posix};

/// Reads a text without asking the system for names.
fn read(name: &str, text: impl Into<Vec<u8>>) -> Result<Desired, Vec<Problem>> {
    desired::read(name, text.into(), &mut Parser::new(&mut NoNames, Posix(false)))
}

/// The table that an empty director would have.
fn table(name: &str, text: impl Into<Vec<u8>>) -> Result<Table, Vec<Problem>> {
    Ok(read(name, text)?.state.table(&Table::new())?)
}
