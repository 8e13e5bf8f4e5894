//! What every back end must do, whatever the rules: packets get the marks that the rules say, and
//! the rules are listed again.

use super::packets::{expected, mark_of};
use super::rules::{packets, rules};
use fwmark::{Backend, BackendError, MarkRule};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use proptest::{prop_assert, prop_assert_eq};
use std::cell::RefCell;

/// Tries `MODEL_CASES` rule sets, or as many as usual; `MODEL_SEED` repeats a run. `all_rules`
/// lists the rules of all programs: the same whenever those of the test are removed.
pub(crate) fn check_at_random(backend: &mut Backend, usual: u32, all_rules: &dyn Fn() -> String) {
    let before = all_rules();
    assert!(!before.is_empty(), "others have rules, too");
    let number = |name: &str, default: u32| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let config = Config {
        cases: number("MODEL_CASES", usual),
        rng_seed: RngSeed::Fixed(number("MODEL_SEED", 1).into()),
        failure_persistence: None,
        ..Config::default()
    };
    let backend = RefCell::new(backend);
    let result = TestRunner::new(config).run(&rules(8), |rules| {
        let is_removed = check(&mut backend.borrow_mut(), &rules)?;
        if is_removed {
            prop_assert_eq!(all_rules(), before.as_str());
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Puts rules in place of others, tries them, and now and then removes them. Gives whether it did.
fn check(backend: &mut Backend, rules: &[MarkRule]) -> Result<bool, TestCaseError> {
    let fail = |error: BackendError| TestCaseError::fail(error.to_string());
    let same = backend.list().map_err(fail)? == rules;
    prop_assert_eq!(!backend.apply(rules).map_err(fail)?, same);
    prop_assert_eq!(backend.list().map_err(fail)?, rules);
    prop_assert!(!backend.apply(rules).map_err(fail)?);
    for (from, to) in packets() {
        prop_assert_eq!(mark_of(from, to), expected(rules, from, to), "from {} to {}", from, to);
    }
    let is_removed = rules.len() % 3 == 1;
    if is_removed {
        prop_assert!(backend.remove().map_err(fail)?);
        prop_assert!(backend.list().map_err(fail)?.is_empty());
    }
    Ok(is_removed)
}
