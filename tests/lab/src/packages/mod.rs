//! Debian packages without installing them: fetched by apt into a private place, unpacked, and made
//! to run from there.

mod apt;
mod elf;
mod mirror;
pub(crate) mod root;
pub(crate) mod system;
mod tree;

pub(crate) use apt::{Session, is_program, missing, require, require_machine};
pub(crate) use tree::{Tree, output, run};
