//! Test programs whose tests are made when they run, called as Rust's own are: with any number of
//! names.

use std::process::ExitCode;

use clap::Parser;
use libtest_mimic::{Arguments, Trial};

/// How such a program was called.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
pub struct Harness {
    #[command(flatten)]
    arguments: Arguments,
    /// More names: a test is run that has any of them
    #[arg(value_name = "FILTER")]
    more: Vec<String>,
}

impl Harness {
    /// From the command line.
    pub fn from_args() -> Self {
        Self::parse()
    }

    /// As many tests at once, unless the command line says it.
    pub fn at_once(mut self, threads: usize) -> Self {
        self.arguments.test_threads.get_or_insert(threads);
        self
    }

    /// What the names of the tests are to hold, any of these; all of them if there is none.
    pub fn names(&self) -> Vec<&str> {
        self.arguments.filter.iter().chain(&self.more).map(String::as_str).collect()
    }

    /// Runs those that were asked for.
    pub fn run(mut self, mut trials: Vec<Trial>) -> ExitCode {
        if !self.more.is_empty() {
            trials.retain(|trial| self.is_asked_for(trial));
            self.arguments.filter = None;
        }
        libtest_mimic::run(&self.arguments, trials).exit_code()
    }

    fn is_asked_for(&self, trial: &Trial) -> bool {
        self.names().into_iter().any(|name| {
            let alone = Arguments { filter: Some(name.to_owned()), ..self.arguments.clone() };
            !alone.is_filtered_out(trial)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(words: &[&str]) -> Vec<&'static str> {
        let harness = Harness::parse_from([&["program"], words].concat());
        let names = ["nft::one", "nft::two", "cli::two"];
        names.into_iter().filter(|name| harness.is_asked_for(&Trial::test(*name, || Ok(())))).collect()
    }

    #[test]
    fn a_test_that_has_any_of_the_names_is_run() {
        assert_eq!(asked_for(&["one"]), ["nft::one"]);
        assert_eq!(asked_for(&["one", "cli::"]), ["nft::one", "cli::two"]);
        assert_eq!(asked_for(&["nft::", "cli::", "--skip", "two", "--test-threads", "1"]), ["nft::one"]);
        assert_eq!(asked_for(&["--exact", "two", "cli::two"]), ["cli::two"]);
    }
}
