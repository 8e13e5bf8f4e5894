//! What the follower counts, as text for Prometheus.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ipvs_text::exposition::{Format, Kind, Labels, Page};

/// The counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// When a source was last read that is a desired state.
    pub(crate) source: Option<SystemTime>,
    /// Can the source be read now, and is it one?
    pub(crate) source_is_valid: bool,
    /// When the director was last read and as the source says.
    pub(crate) check: Option<SystemTime>,
    /// When the follower last changed the director.
    pub(crate) change: Option<SystemTime>,
    /// How often it did.
    pub(crate) changes: u64,
    /// How often that was because another program had.
    pub(crate) drift: u64,
    /// How often a source was not made: wrong, refused, or too many deletions.
    pub(crate) refusals: u64,
    /// Is the director as the source says, as far as was seen?
    pub(crate) is_as_desired: bool,
    /// Are other programs' changes seen when they happen?
    pub(crate) sees_changes: bool,
    /// When the copy was confirmed that the director holds, as the source can't be read; `None`: it
    /// holds none.
    pub(crate) copy: Option<SystemTime>,
    /// How long a hold still lasts.
    pub(crate) held: Duration,
}

/// The counts, for those who write them and those who ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Arc<Mutex<Counts>>);

impl Figures {
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page for a scraper.
    pub(crate) fn page(&self, format: Format) -> Vec<u8> {
        let counts = self.counts().clone();
        let mut page = Page::new(format);
        let version = Labels::default().with("version", &env!("CARGO_PKG_VERSION"));
        page.family(Kind::Gauge, "ipvs_follow_build_info", "The program that writes this; always 1").count(&version, 1);
        let none = Labels::default();
        for (name, help, time) in [
            (
                "ipvs_follow_source_time_seconds",
                "When a valid source was last read; 0 is never",
                since_1970(counts.source),
            ),
            (
                "ipvs_follow_check_time_seconds",
                "When the director was last found or made as the source says",
                since_1970(counts.check),
            ),
            (
                "ipvs_follow_change_time_seconds",
                "When the follower last changed the director",
                since_1970(counts.change),
            ),
            (
                "ipvs_follow_copy_time_seconds",
                "When the copy was confirmed that the director holds; 0: it holds no copy",
                since_1970(counts.copy),
            ),
            ("ipvs_follow_hold_seconds", "How long people still hold the follower", counts.held),
        ] {
            page.family(Kind::Gauge, name, help).seconds(&none, time);
        }
        for (name, help, flag) in [
            ("ipvs_follow_source_valid", "Whether the source can be read and is valid", counts.source_is_valid),
            ("ipvs_follow_as_desired", "Whether the director is as the source says", counts.is_as_desired),
            ("ipvs_follow_sees_changes", "Whether changes are seen as they happen", counts.sees_changes),
        ] {
            page.family(Kind::Gauge, name, help).count(&none, flag.into());
        }
        for (name, help, count) in [
            ("ipvs_follow_changes", "Changes of the director", counts.changes),
            ("ipvs_follow_drift", "Changes that undid what other programs had done", counts.drift),
            ("ipvs_follow_refusals", "Sources that were not made, as wrong or refused", counts.refusals),
        ] {
            page.family(Kind::Counter, name, help).count(&none, count);
        }
        page.finish()
    }
}

fn since_1970(time: Option<SystemTime>) -> Duration {
    time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_each_figure_once() {
        let figures = Figures::default();
        figures.counts().drift = 3;
        figures.counts().source = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500));
        let page = String::from_utf8(figures.page(Format::OpenMetrics)).unwrap();
        assert!(page.contains("\nipvs_follow_drift_total 3\n"), "{page}");
        assert!(page.contains("\nipvs_follow_source_time_seconds 1.500000\n"), "{page}");
        assert_eq!(page.matches("# TYPE ").count(), 12, "{page}");
        assert!(page.ends_with("# EOF\n"));
    }
}
