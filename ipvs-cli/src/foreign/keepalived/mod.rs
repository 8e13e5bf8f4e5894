//! `keepalived.conf`, from keepalived.conf(5) and from what keepalived 2.2.7 and 2.3.3 do.

mod addresses;
mod blocks;
mod lines;
mod state;

use ipvs::desired::Source;

use self::blocks::Blocks;
use self::lines::Lines;
use super::{Output, Surroundings};

/// Reads a configuration with the files that it includes.
pub(super) fn read(source: &Source, surroundings: Surroundings<'_>, output: &mut Output) {
    let mut blocks = Blocks::default();
    let path = surroundings.path.to_owned();
    Lines::new(surroundings.files, surroundings.config_id, &mut blocks, output).file(source, path);
    let configuration = blocks.end(source, output);
    state::write(&configuration, output);
}

#[cfg(test)]
mod tests;
