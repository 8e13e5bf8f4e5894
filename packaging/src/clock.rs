//! The package's date: a package is made from sources, so it has their date.

use std::{env, path::Path, process::Command};

use jiff::Timestamp;

use crate::error::{Error, Result};

/// A moment, UTC, not before 1970.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date(Timestamp);

/// `$SOURCE_DATE_EPOCH`, else the time of the last commit.
pub(crate) fn date(workspace: &Path) -> Result<Date> {
    if let Ok(seconds) = env::var("SOURCE_DATE_EPOCH") {
        return Date::parse(&seconds).ok_or(Error::Epoch(seconds));
    }
    let output = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(workspace).output();
    let seconds = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    Date::parse(&seconds).ok_or(Error::NoDate)
}

impl Date {
    fn parse(seconds: &str) -> Option<Self> {
        let seconds = seconds.trim().parse::<u32>().ok()?;
        Timestamp::from_second(seconds.into()).ok().map(Self)
    }

    /// As `SOURCE_DATE_EPOCH` has it.
    pub(crate) fn seconds(self) -> u64 {
        self.0.as_second().unsigned_abs()
    }

    /// As changelogs have it: `Thu, 01 Jan 1970 00:00:00 +0000`.
    pub(crate) fn for_changelog(self) -> String {
        self.0.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }

    /// As container images have it: `1970-01-01T00:00:00Z`.
    pub(crate) fn for_image(self) -> String {
        self.0.to_string()
    }

    /// As manual pages have it: `1970-01-01`.
    pub(crate) fn for_manual(self) -> String {
        self.0.strftime("%F").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    /// As `date -u -R -d @…` writes them.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, changelog, manual) in [
            (0_u64, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 +0000", "2024-02-29"),
            (1_709_251_200, "Fri, 01 Mar 2024 00:00:00 +0000", "2024-03-01"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 +0000", "2026-12-31"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 +0000", "2100-03-01"),
        ] {
            let date = Date::parse(&seconds.to_string()).unwrap();
            assert_eq!((date.for_changelog().as_str(), date.for_manual().as_str()), (changelog, manual));
        }
    }

    #[test]
    fn only_numbers_are_dates() {
        assert_eq!(Date::parse("12\n"), Date::parse("12"));
        assert_eq!(Date::parse(""), None);
        assert_eq!(Date::parse("-1"), None);
        assert_eq!(Date::parse("2026-01-01"), None);
    }
}
