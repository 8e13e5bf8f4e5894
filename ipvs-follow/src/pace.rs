//! When the director is looked at. Without a clock: each call says what time it is.

use std::time::{Duration, Instant};

/// Changes come in bursts: of a file, and of the table.
pub(crate) const SETTLE: Duration = Duration::from_millis(50);

/// No burst delays a check for longer.
const LONGEST_BURST: Duration = Duration::from_secs(2);

/// The first pause after a failure, and after work that was undone again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Work that lasts for so long was not undone.
const PEACE: Duration = Duration::from_secs(60);

/// When source and director are looked at next.
#[derive(Debug)]
pub(crate) struct Pace {
    recheck: Duration,
    /// `None`: with the director.
    source: Option<Instant>,
    director: Instant,
    /// When the burst began that the source is in.
    burst: Option<Instant>,
    /// Checks that have failed in a row.
    failures: u32,
    /// The last time that another program's work was undone, and how often in a row.
    repairs: Option<(Instant, u32)>,
}

impl Pace {
    /// The first check is due at once.
    pub(crate) fn new(recheck: Duration, now: Instant) -> Self {
        Pace { recheck, source: None, director: now, burst: None, failures: 0, repairs: None }
    }

    pub(crate) fn due(&self) -> Instant {
        self.source.map_or(self.director, |source| source.min(self.director))
    }

    pub(crate) fn is_director_due(&self, now: Instant) -> bool {
        self.director <= now
    }

    /// The source has changed, or may have.
    pub(crate) fn source_changed(&mut self, now: Instant) {
        let latest = *self.burst.get_or_insert(now) + LONGEST_BURST;
        self.source = Some((now + SETTLE).min(latest));
    }

    /// The source was read.
    pub(crate) fn source_read(&mut self) {
        (self.source, self.burst) = (None, None);
    }

    /// The source is to be read then.
    pub(crate) fn source_at(&mut self, then: Instant) {
        (self.source, self.burst) = (Some(then), None);
    }

    /// Source and director are to be looked at then, and not before.
    pub(crate) fn everything_at(&mut self, then: Instant) {
        self.source_read();
        self.director = then;
    }

    /// Another program has disturbed the director. What it does again and again is undone later
    /// each time.
    pub(crate) fn disturbed(&mut self, now: Instant) {
        let at = self.repairs.map_or(now, |(last, count)| last + self.pause(count.saturating_sub(1)));
        self.director = self.director.min(at.max(now + SETTLE));
    }

    /// The director is as it is to be. `repaired`: another program's work was undone for that.
    pub(crate) fn succeeded(&mut self, now: Instant, repaired: bool) {
        self.failures = 0;
        self.director = now + self.recheck;
        self.looked_at(now, repaired);
    }

    /// The director is as the source last said, since what it says now is refused.
    pub(crate) fn refused(&mut self, now: Instant, repaired: bool) {
        self.failed(now);
        self.looked_at(now, repaired);
    }

    fn looked_at(&mut self, now: Instant, repaired: bool) {
        let before = self.repairs.filter(|(last, count)| now < *last + PEACE + self.pause(*count));
        self.repairs = match repaired {
            true => Some((now, before.map_or(1, |(_, count)| count.saturating_add(1)))),
            false => before,
        };
    }

    /// The director is not as it is to be.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.director = now + self.pause(self.failures);
    }

    /// How often in a row another program has undone the work, and how long the next repair is
    /// put off.
    pub(crate) fn rivalry(&self) -> Option<(u32, Duration)> {
        let (_, count) = self.repairs?;
        (count > 2).then(|| (count, self.pause(count - 1)))
    }

    /// None before the first, then one that doubles up to the interval.
    fn pause(&self, count: u32) -> Duration {
        match count {
            0 => Duration::ZERO,
            count => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(count - 1)).min(self.recheck),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECHECK: Duration = Duration::from_secs(300);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn nothing_is_looked_at_until_the_interval_is_over() {
        let start = Instant::now();
        let mut pace = Pace::new(RECHECK, start);
        assert_eq!(pace.due(), start);
        pace.succeeded(start, false);
        assert_eq!(pace.due(), start + RECHECK);
    }

    #[test]
    fn a_source_that_stays_refused_is_tried_less_and_less() {
        let start = Instant::now();
        let mut pace = Pace::new(RECHECK, start);
        let mut now = start;
        for _ in 0..20 {
            pace.refused(now, false);
            now = pace.due();
        }
        assert!(now > start + seconds(10 * 300), "{:?}", now - start);
        pace.succeeded(now, false);
        pace.refused(now, false);
        assert_eq!(pace.due(), now + FIRST_PAUSE);
    }

    #[test]
    fn a_burst_is_one_check_but_does_not_put_it_off_for_ever() {
        let start = Instant::now();
        let mut pace = Pace::new(RECHECK, start);
        pace.succeeded(start, false);
        for step in 0..1000 {
            pace.source_changed(start + seconds(1) + step * (SETTLE / 2));
        }
        assert_eq!(pace.due(), start + seconds(1) + LONGEST_BURST);
        pace.source_read();
        pace.source_changed(start + seconds(9));
        assert_eq!(pace.due(), start + seconds(9) + SETTLE);
    }

    #[test]
    fn failures_are_tried_again_later_each_time() {
        let start = Instant::now();
        let mut pace = Pace::new(RECHECK, start);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            pace.failed(start);
            pauses.push((pace.due() - start).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        pace.succeeded(start, false);
        pace.failed(start);
        assert_eq!(pace.due(), start + seconds(1));
    }

    /// A program that undoes each repair at once.
    #[test]
    fn a_fight_is_bounded() {
        let mut now = Instant::now();
        let start = now;
        let mut pace = Pace::new(RECHECK, now);
        pace.succeeded(now, false);
        let mut repairs = 0;
        while now < start + seconds(3600) {
            pace.disturbed(now);
            assert!(pace.due() <= now + RECHECK);
            now = pace.due();
            pace.succeeded(now, true);
            repairs += 1;
        }
        assert!(repairs <= 11 + 3600 / 300, "{repairs} in an hour");
        let (count, pause) = pace.rivalry().unwrap();
        assert_eq!((count, pause), (repairs, RECHECK));
        // When it has given up, the next disturbance is undone at once.
        now += seconds(3600);
        pace.succeeded(now, false);
        assert!(pace.rivalry().is_none());
        pace.disturbed(now);
        assert_eq!(pace.due(), now + SETTLE);
    }

    #[test]
    fn a_changed_source_does_not_wait_for_a_fight() {
        let start = Instant::now();
        let mut pace = Pace::new(RECHECK, start);
        for _ in 0..20 {
            pace.succeeded(start, true);
        }
        pace.source_changed(start);
        assert_eq!(pace.due(), start + SETTLE);
    }
}
