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

/// When source, names and director are looked at next.
#[derive(Debug)]
pub(crate) struct Pace {
    recheck: Duration,
    /// `None`: with the director.
    source: Option<Instant>,
    director: Instant,
    /// When the names of the source are looked up again; `None`: it has none.
    names: Option<Instant>,
    /// When a state that was not made yet is tried again; `None`: with the next check.
    next: Option<Instant>,
    /// When the burst began that the source is in.
    burst: Option<Instant>,
    /// Checks that have failed in a row.
    failures: u32,
    /// How often in a row a state was refused.
    refusals: u32,
    /// How often in a row a name was not found.
    unknown_names: u32,
    /// Is the director looked at since another program has disturbed it?
    is_disturbed: bool,
    /// The last time that this, or a failure, came to nothing.
    in_vain: Option<Instant>,
    /// The last time that another program's work was undone, and how often in a row.
    repairs: Option<(Instant, u32)>,
}

impl Pace {
    /// The first check is due at once.
    pub(crate) fn new(recheck: Duration, now: Instant) -> Self {
        Pace {
            recheck,
            source: None,
            director: now,
            names: None,
            next: None,
            burst: None,
            failures: 0,
            refusals: 0,
            unknown_names: 0,
            is_disturbed: false,
            in_vain: None,
            repairs: None,
        }
    }

    pub(crate) fn due(&self) -> Instant {
        [self.source, self.names, self.next].into_iter().flatten().fold(self.director, Instant::min)
    }

    pub(crate) fn is_director_due(&self, now: Instant) -> bool {
        self.director <= now
    }

    /// Is a state that was not made yet to be tried?
    pub(crate) fn is_next_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Are names to be looked up again? That may take long, so a repair goes before.
    pub(crate) fn are_names_due(&self, now: Instant) -> bool {
        let is_repair = self.is_disturbed && self.director <= now;
        !is_repair && [self.source, self.names].into_iter().flatten().any(|then| then <= now)
    }

    /// The names of the source were looked up, if it `has` any.
    pub(crate) fn names_found(&mut self, now: Instant, has: bool) {
        self.unknown_names = 0;
        self.names = has.then_some(now + self.recheck);
    }

    /// The source is no state, so there was nothing to look up.
    pub(crate) fn put_names_off(&mut self, now: Instant) {
        self.names = self.names.map(|then| if then <= now { now + self.recheck } else { then });
    }

    /// A name of the source was not found.
    pub(crate) fn names_missing(&mut self, now: Instant) {
        self.unknown_names = self.unknown_names.saturating_add(1);
        self.names = Some(now + self.pause(self.unknown_names));
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

    /// There is another state to be made, then or with the next check.
    pub(crate) fn next_at(&mut self, then: Option<Instant>) {
        (self.next, self.refusals) = (then, 0);
    }

    /// Everything is to be looked at then, and not before.
    pub(crate) fn everything_at(&mut self, then: Instant) {
        self.source_read();
        self.director = then;
        for other in [&mut self.names, &mut self.next] {
            *other = other.map(|at| at.max(then));
        }
    }

    /// Everything is to be looked at now, names too.
    pub(crate) fn reload(&mut self, now: Instant) {
        (self.director, self.is_disturbed) = (now, false);
        self.source_at(now);
    }

    /// The director is to be looked at now.
    pub(crate) fn director_now(&mut self, now: Instant) {
        self.director = self.director.min(now);
    }

    /// Another program has disturbed the director. What it does again and again is undone later
    /// each time.
    pub(crate) fn disturbed(&mut self, now: Instant) {
        let at = self.repairs.map_or(now, |(last, count)| last + self.pause(count.saturating_sub(1)));
        let at = self.in_vain.map_or(at, |last| at.max(last + FIRST_PAUSE));
        self.director = self.director.min(at.max(now + SETTLE));
        self.is_disturbed = true;
    }

    /// The director is as it is to be. `repaired`: another program's work was undone for that.
    pub(crate) fn succeeded(&mut self, now: Instant, repaired: bool) {
        let before = self.repairs.filter(|(last, count)| now < *last + PEACE + self.pause(*count));
        self.repairs = match repaired {
            true => Some((now, before.map_or(1, |(_, count)| count.saturating_add(1)))),
            false => before,
        };
        self.in_vain = (self.is_disturbed && !repaired).then_some(now);
        (self.director, self.is_disturbed, self.failures) = (now + self.recheck, false, 0);
    }

    /// A state can't be made. It is tried again, later each time.
    pub(crate) fn refused(&mut self, now: Instant) {
        self.refusals = self.refusals.saturating_add(1);
        self.next = Some(now + self.pause(self.refusals));
    }

    /// The director is not as it is to be.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.in_vain = Some(now);
        (self.director, self.is_disturbed) = (now + self.pause(self.failures), false);
    }

    /// Nothing can be looked at.
    pub(crate) fn blocked(&mut self, now: Instant) {
        self.failed(now);
        self.everything_at(self.director);
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
        pace.succeeded(now, false);
        let mut tries = 0;
        while now < start + seconds(3600) {
            if pace.is_next_due(now) {
                pace.refused(now);
                tries += 1;
            }
            if pace.is_director_due(now) {
                pace.succeeded(now, false);
            }
            now = pace.due();
        }
        assert!((10..30).contains(&tries), "{tries}");
        // Another state is tried at once, and a repair of the last good one does not wait.
        pace.next_at(None);
        assert!(pace.is_next_due(now));
        pace.refused(now);
        assert!(!pace.is_next_due(now) && pace.is_next_due(now + FIRST_PAUSE));
        pace.succeeded(now, false);
        pace.disturbed(now);
        assert_eq!(pace.due(), now + SETTLE);
    }

    /// A program that changes and changes back, or commands while the director can't be read.
    #[test]
    fn what_comes_to_nothing_is_looked_at_once_a_second() {
        let start = Instant::now();
        for fails in [false, true] {
            let (mut pace, mut now, mut checks) = (Pace::new(RECHECK, start), start, 0);
            pace.succeeded(now, false);
            while now < start + seconds(60) {
                pace.disturbed(now);
                now += Duration::from_millis(10);
                if pace.is_director_due(now) {
                    checks += 1;
                    if fails { pace.failed(now) } else { pace.succeeded(now, false) }
                }
            }
            assert!((50..=62).contains(&checks), "{checks}");
        }
    }

    #[test]
    fn names_are_looked_up_at_the_interval_and_after_a_repair() {
        let start = Instant::now();
        let mut pace = Pace::new(RECHECK, start);
        pace.succeeded(start, false);
        pace.names_found(start, true);
        let later = start + RECHECK;
        pace.disturbed(later - SETTLE);
        assert!(pace.is_director_due(later) && !pace.are_names_due(later));
        pace.succeeded(later, true);
        assert!(pace.due() == later && pace.are_names_due(later));
        for seconds in [1, 2, 4] {
            pace.names_missing(later);
            assert_eq!(pace.due(), later + Duration::from_secs(seconds));
        }
        pace.names_found(later, false);
        assert_eq!(pace.due(), later + RECHECK);
        pace.reload(later);
        assert!(pace.are_names_due(later) && pace.is_director_due(later));
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
