//! Random sequences, seed by seed: each seed makes the same commands everywhere.

use crate::generate;
use crate::play::{self, Tally, Views};
use crate::tables;
use crate::world::Pair;
use libtest_mimic::{Failed, Trial};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use std::cell::{Cell, RefCell};

/// The number of commands of one seed.
const COMMANDS_A_SEED: u64 = 500;

/// What `cargo lab test` runs.
const DEFAULT_SEED: u64 = 1;
const DEFAULT_COUNT: u64 = 500;

/// A sequence is not made shorter for longer than this, in milliseconds.
const SHRINKING_ENDS: u32 = 180_000;

/// What is asked for: the first seed, and how many commands.
fn asked() -> (u64, u64) {
    let number = |name| {
        std::env::var(name).ok().map(|text: String| text.parse().expect("COMPAT_SEED and COMPAT_COUNT are numbers"))
    };
    (number("COMPAT_SEED").unwrap_or(DEFAULT_SEED), number("COMPAT_COUNT").unwrap_or(DEFAULT_COUNT))
}

/// The number of random commands for each random table.
const COMMANDS_A_TABLE: u64 = 50;

/// The trials with random tables.
pub(crate) fn tables() -> Vec<Trial> {
    let (seed, count) = asked();
    tables::trials(seed, count.div_ceil(COMMANDS_A_TABLE).try_into().unwrap_or(u32::MAX))
}

/// A trial for each seed.
pub(crate) fn trials() -> Vec<Trial> {
    let (first, count) = asked();
    let seeds = count.div_ceil(COMMANDS_A_SEED);
    let commands = |at: u64| COMMANDS_A_SEED.min(count - at * COMMANDS_A_SEED);
    (0..seeds).map(|at| trial(first + at, commands(at))).collect()
}

fn trial(seed: u64, commands: u64) -> Trial {
    Trial::test(format!("seed_{seed}"), move || run(seed, commands))
}

fn run(seed: u64, commands: u64) -> Result<(), Failed> {
    let config = Config {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_time: SHRINKING_ENDS,
        ..Config::default()
    };
    let (mut runner, pair, sequences) = (TestRunner::new(config), Pair::new(), generate::sequence());
    let mut sum = Tally::default();
    while (sum.commands as u64) < commands {
        let tree = sequences.new_tree(&mut runner).map_err(|reason| reason.to_string())?;
        // The last sequence is as long as there is room, so that a count means what it says.
        let room = usize::try_from(commands).unwrap_or(usize::MAX) - sum.commands;
        let (tally, views) = (RefCell::new(Tally::default()), Cell::new(Views::Sometimes));
        let test = |steps: Vec<_>| {
            let steps = &steps[..steps.len().min(room)];
            let played = play::play(&pair, steps, views.get());
            // What follows a failure is the search for the shortest that fails.
            views.set(Views::Always);
            *tally.borrow_mut() = played.map_err(|found| TestCaseError::fail(found.to_string()))?;
            Ok(())
        };
        match runner.run_one(tree, test) {
            Ok(_) => sum += tally.into_inner(),
            Err(TestError::Fail(transcript, _)) => {
                return Err(format!("seed {seed}, after {} commands; made short:\n{transcript}", sum.commands).into());
            }
            Err(TestError::Abort(reason)) => return Err(reason.to_string().into()),
        }
    }
    play::add(sum);
    Ok(())
}
