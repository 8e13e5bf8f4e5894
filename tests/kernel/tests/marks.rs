//! Marks in a real kernel: what the back ends of `fwmark` set is what packets get, and nothing is left behind.
//!
//! They need no IPVS. On a machine's own kernel they run in namespaces, as an ordinary user where the machine allows that;
//! in the lab, as root in its guests. What a kernel or a machine lacks is not tested there, and said.

#[path = "marks/nft.rs"]
mod nft;
#[path = "marks/packets.rs"]
mod packets;
#[path = "marks/rules.rs"]
mod rules;
#[path = "marks/world.rs"]
mod world;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let allowed = world::enter();
    let trials = nft::TESTS.iter().map(|(name, test)| {
        let allowed = allowed.clone();
        Trial::ignorable_test(format!("nft::{name}"), move || world::run(allowed, *test))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
