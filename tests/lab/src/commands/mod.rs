//! One module for each subcommand.

pub(crate) mod api;
pub(crate) mod build;
pub(crate) mod compat;
pub(crate) mod coverage;
pub(crate) mod demo;
pub(crate) mod examples;
pub(crate) mod fuzz;
pub(crate) mod pc;
pub(crate) mod pictures;
pub(crate) mod release;
pub(crate) mod run;
pub(crate) mod sbom;
mod scene;
pub(crate) mod setup;
pub(crate) mod shell;
pub(crate) mod test;
