//! The original and `ipvs-cli`, side by side: what one does, the other must do, whatever is typed.
//!
//! - `table::…`: every command with every option, and with every two of them; every letter and
//!   every name.
//! - `seed_N`: random commands, 500 a seed; `COMPAT_SEED` is the first seed, `COMPAT_COUNT` how
//!   many commands in all.
//! - `tables::…` and `fake::…`: random tables, listed by both, and saved and restored by
//!   `ipvs-cli`; one for 50 of these commands.
//!
//! A failure is printed as a case file, as short as it could be made. `cargo lab compat` runs this
//! for long.

mod generate;
mod line;
mod play;
mod pools;
mod script;
mod seeds;
mod step;
mod table;
mod tables;
mod wanted;
mod world;

use kernel_tests::harness::Harness;
use libtest_mimic::Trial;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Side by side they would wait for one processor; and see compat.rs on the lock.
    let harness = Harness::from_args().at_once(1);
    let mut trials = vec![Trial::test("fake::wanted_differences", wanted::check)];
    trials.extend(table::trials());
    trials.extend(seeds::trials());
    trials.extend(seeds::tables());
    let status = harness.run(trials);
    play::report();
    status
}
