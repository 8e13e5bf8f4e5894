//! `Table` against the kernel: random commands, valid and not, must be refused alike and leave
//! equal tables, at every step.
//!
//! `MODEL_CASES` sequences (default 200) of commands, some 25 on average; `MODEL_SEED` makes it
//! other ones. What they reached is printed at the end (`--nocapture`), and what they must reach is
//! checked.

#[path = "model/coverage.rs"]
mod coverage;
#[path = "model/world.rs"]
mod world;

use std::cell::RefCell;

use coverage::Coverage;
use ipvs::{Client, Command, Error, KernelVersion, Table};
use kernel_tests::contents::Contents;
use kernel_tests::{behaviors, sandbox};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

#[test]
fn the_table_does_what_the_kernel_does() {
    let number = |name: &str, default: u32| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (cases, seed) = (number("MODEL_CASES", 200), number("MODEL_SEED", 1));
    let rng_seed = RngSeed::Fixed(seed.into());
    let config = Config { cases, rng_seed, failure_persistence: None, ..Config::default() };
    let coverage = RefCell::new(Coverage::default());
    let result = TestRunner::new(config).run(&world::commands(), |commands| run(&commands, &mut coverage.borrow_mut()));
    if let Err(error) = result {
        panic!("{error}");
    }
    let coverage = coverage.into_inner();
    println!(
        "kernel {} with {}, seed {seed}, {cases} sequences:\n{coverage}",
        KernelVersion::running(),
        behaviors::of_this_kernel()
    );
    // A few sequences, as of somebody who looks for something, need not reach everything.
    if cases >= 200 {
        assert_eq!(coverage.missing(behaviors::of_this_kernel()), Vec::<String>::new(), "never happened");
    }
}

/// Runs the commands on both, in a fresh network namespace.
fn run(commands: &[Command], coverage: &mut Coverage) -> Result<(), TestCaseError> {
    sandbox::enter_network().unwrap();
    let mut kernel = Client::connect().unwrap();
    let mut table = Table::new().with_behaviors(behaviors::of_this_kernel());
    for (step, command) in commands.iter().enumerate() {
        let by_kernel = match kernel.execute(command) {
            Ok(()) => Ok(()),
            Err(Error::Refused(refusal)) => Err(refusal),
            Err(error) => return Err(TestCaseError::fail(format!("step {step}, {command:?}: {error}"))),
        };
        coverage.count(command, table.explain(command));
        let by_table = table.apply(command);
        prop_assert_eq!(&by_table, &by_kernel, "step {}, {:?}: the table, then the kernel", step, command);
        prop_assert_eq!(
            Contents::of(&table),
            Contents::of(&kernel.table().unwrap()),
            "after step {}, {:?}",
            step,
            command
        );
    }
    Ok(())
}
