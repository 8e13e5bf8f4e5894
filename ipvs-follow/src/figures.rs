//! What the follower counts, as OpenMetrics text.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

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
    pub(crate) fn page(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Page(self.counts().clone())));
        let mut page = String::new();
        text::encode(&mut page, &registry)?;
        Ok(page)
    }
}

#[derive(Debug)]
struct Page(Counts);

fn seconds(time: Option<SystemTime>) -> f64 {
    time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0.0, |since| since.as_secs_f64())
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let counts = &self.0;
        let flag = |value: bool| f64::from(u8::from(value));
        for (name, help, value) in [
            (
                "ipvs_follow_source_time_seconds",
                "When a valid source was last read; 0 is never",
                seconds(counts.source),
            ),
            ("ipvs_follow_source_valid", "Whether the source can be read and is valid", flag(counts.source_is_valid)),
            (
                "ipvs_follow_check_time_seconds",
                "When the director was last found or made as the source says",
                seconds(counts.check),
            ),
            ("ipvs_follow_change_time_seconds", "When the follower last changed the director", seconds(counts.change)),
            ("ipvs_follow_as_desired", "Whether the director is as the source says", flag(counts.is_as_desired)),
            ("ipvs_follow_sees_changes", "Whether changes are seen as they happen", flag(counts.sees_changes)),
            ("ipvs_follow_hold_seconds", "How long people still hold the follower", counts.held.as_secs_f64()),
        ] {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        for (name, help, value) in [
            ("ipvs_follow_changes", "Changes of the director", counts.changes),
            ("ipvs_follow_drift", "Changes that undid what other programs had done", counts.drift),
            ("ipvs_follow_refusals", "Sources that were not made, as wrong or refused", counts.refusals),
        ] {
            let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_each_figure_once() {
        let figures = Figures::default();
        figures.counts().drift = 3;
        figures.counts().source = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500));
        let page = figures.page().unwrap();
        assert!(page.contains("\nipvs_follow_drift_total 3\n"), "{page}");
        assert!(page.contains("\nipvs_follow_source_time_seconds 1.5\n"), "{page}");
        assert_eq!(page.matches("# TYPE ").count(), 10, "{page}");
        assert!(page.ends_with("# EOF\n"));
    }
}
