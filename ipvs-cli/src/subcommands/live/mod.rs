//! What changes from one look at the kernel to the next: rates of counters, for `top` and `watch`.

mod clock;
mod rates;

use std::time::Duration;

use crate::arguments::number::seconds;

pub(super) use clock::{utc, utc_with_milliseconds};
pub(super) use rates::{PerSecond, Window};

/// Default interval: the kernel updates its counters every two seconds.
pub(super) const INTERVAL: &str = "2";

/// Between looks.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = seconds(text)?;
    if interval < Duration::from_millis(100) { Err("must be at least 0.1 seconds".to_owned()) } else { Ok(interval) }
}

/// A number in four letters or less, as long as it is below 1000 trillions: 0, 7.5, 120, 1.2k, 34M.
pub(super) fn short(number: f64) -> String {
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut number = number.max(0.0);
    let mut unit = 0;
    // What would be rounded to 1000 has the next unit.
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let is_whole = number.fract() < 0.05 || number.fract() > 0.95;
    let digits = if number >= 9.95 || is_whole { 0 } else { 1 };
    format!("{number:.digits$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, expected) in [
            (0.0, "0"),
            (0.04, "0"),
            (0.5, "0.5"),
            (7.0, "7"),
            (7.46, "7.5"),
            (9.97, "10"),
            (999.4, "999"),
            (999.6, "1k"),
            (1234.0, "1.2k"),
            (34_567_890.0, "35M"),
            (999_700_000.0, "1G"),
            (1e15, "1000T"),
            (-1.0, "0"),
        ] {
            assert_eq!(short(number), expected, "{number}");
        }
    }

    #[test]
    fn an_interval_has_a_least() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        assert!(interval("0").is_err() && interval("x").is_err());
    }
}
