//! The package's date: a package is made from sources, so its date is theirs.

use std::{env, path::Path, process::Command};

use crate::error::{Error, Result};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment, in seconds since 1970, UTC.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date(u64);

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
        seconds.trim().parse().ok().map(Self)
    }

    /// As `SOURCE_DATE_EPOCH` has it.
    pub(crate) fn seconds(self) -> u64 {
        self.0
    }

    /// As changelogs have it: `Thu, 01 Jan 1970 00:00:00 +0000`.
    pub(crate) fn for_changelog(self) -> String {
        let (year, month, day) = self.civil();
        let second = self.0 % 86_400;
        format!(
            "{}, {day:02} {} {year} {:02}:{:02}:{:02} +0000",
            DAYS[(self.0 / 86_400 % 7) as usize],
            MONTHS[month as usize - 1],
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }

    /// As manual pages have it: `1970-01-01`.
    pub(crate) fn for_manual(self) -> String {
        let (year, month, day) = self.civil();
        format!("{year}-{month:02}-{day:02}")
    }

    /// Year, month and day: years are counted from March, so that a leap day is the last of its year.
    fn civil(self) -> (u64, u64, u64) {
        let days = self.0 / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (era * 400 + year + u64::from(month <= 2), month, day)
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    /// As `date -u -R -d @…` writes them.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, changelog, manual) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 +0000", "2024-02-29"),
            (1_709_251_200, "Fri, 01 Mar 2024 00:00:00 +0000", "2024-03-01"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 +0000", "2026-12-31"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 +0000", "2100-03-01"),
        ] {
            let date = Date(seconds);
            assert_eq!((date.for_changelog().as_str(), date.for_manual().as_str()), (changelog, manual));
        }
    }

    #[test]
    fn only_numbers_are_dates() {
        assert_eq!(Date::parse("12\n"), Some(Date(12)));
        assert_eq!(Date::parse(""), None);
        assert_eq!(Date::parse("-1"), None);
        assert_eq!(Date::parse("2026-01-01"), None);
    }
}
