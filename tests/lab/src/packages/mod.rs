//! Debian packages without installing them: fetched into a private place, unpacked, and made to run
//! from there. It needs no package manager, so it is the same on every host.

mod deb;
mod elf;
mod index;
mod mirror;
mod openpgp;
mod refusal;
mod release;
pub(crate) mod root;
mod session;
pub(crate) mod system;
#[cfg(test)]
mod tests;
mod transport;
mod tree;
mod version;

pub(crate) use refusal::Refusal;
pub(crate) use session::{Session, hex, is_program, missing, require, require_machine};
pub(crate) use tree::{Tree, output, run};
