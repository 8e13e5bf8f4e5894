//! Marks in a real kernel: what the back ends of `fwmark` set is what packets get, and nothing is
//! left behind.
//!
//! Hardly any of them needs IPVS. On a machine's own kernel they run in namespaces, as an ordinary
//! user where the machine allows that; in the lab, as root in its guests. What a kernel or a
//! machine lacks is not tested there, and said.

#[path = "marks/cli.rs"]
mod cli;
#[path = "marks/fence.rs"]
mod fence;
#[path = "marks/iptables.rs"]
mod iptables;
#[path = "marks/measure.rs"]
mod measure;
#[path = "marks/model.rs"]
mod model;
#[path = "marks/nft.rs"]
mod nft;
#[path = "marks/packets.rs"]
mod packets;
#[path = "marks/rules.rs"]
mod rules;
#[path = "../../../ipvs-cli/tests/subcommands/schema.rs"]
mod schema;
#[path = "marks/world.rs"]
mod world;

use kernel_tests::harness::Harness;
use libtest_mimic::Trial;
use std::process::ExitCode;

/// A program that one test starts would for a moment hold the sockets of another.
const TESTS_AT_ONCE: usize = 1;

fn main() -> ExitCode {
    let harness = Harness::from_args().at_once(TESTS_AT_ONCE);
    let allowed = world::enter();
    let all = [
        ("nft", nft::TESTS, false),
        ("iptables", iptables::TESTS, false),
        ("cli", cli::TESTS, false),
        ("fence", fence::TESTS, false),
        ("measure", measure::TESTS, true),
    ];
    let tests = all.iter().flat_map(|(group, tests, is_ignored)| {
        tests.iter().map(move |(name, test)| (format!("{group}::{name}"), *test, *is_ignored))
    });
    let trials = tests.map(|(name, test, is_ignored)| {
        let allowed = allowed.clone();
        Trial::ignorable_test(name, move || world::run(allowed, test)).with_ignored_flag(is_ignored)
    });
    harness.run(trials.collect())
}
