//! `watch`: a line for each service at intervals, for logs.

mod args;

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipvs::desired::parts::Scalar;
use ipvs::{Counters, ServiceKey, ServiceState, drain::InUse};

use crate::env::hangup::end_with_terminal;
use crate::exit::Exit;
use crate::session::json::object;
use crate::session::{Session, Trouble};
use crate::subcommands::live::{PerSecond, Window, utc};

pub(super) use args::Watch;

pub(super) fn run(watch: &Watch, session: &mut Session<'_, '_>) -> Exit {
    let done = rounds(watch, session);
    session.finish(done, Exit::No)
}

fn rounds(watch: &Watch, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let begun = Instant::now();
    if session.environment.has_screen() {
        end_with_terminal(|| {});
    }
    let (mut window, mut counters) = (Window::new(), Counters::new());
    let mut missing = Missing::default();
    missing.note(watch, &look(watch, session, &mut window, &mut counters, begun)?, session);
    let mut round = 0;
    while watch.count.is_none_or(|count| round < count) {
        round += 1;
        // Rounds begin on time, even if reading takes long.
        let due = watch.interval.saturating_mul(round);
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let services = look(watch, session, &mut window, &mut counters, begun)?;
        missing.note(watch, &services, session);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for state in services {
            let Some(rates) = window.rates(&state.service.key()) else { continue };
            if watch.busy && rates.is_idle() {
                continue;
            }
            let in_use = in_use(session, &state)?;
            let line = if watch.json { json(time, &state, rates, in_use) } else { text(time, &state, rates, in_use) };
            if writeln!(session.environment.stdout, "{line}").is_err() {
                return Ok(Exit::Success);
            }
        }
        // A reader of the log sees a round as soon as it is over.
        if session.environment.stdout.flush().is_err() {
            return Ok(Exit::Success);
        }
    }
    Ok(if missing.0.is_empty() { Exit::Success } else { Exit::No })
}

/// The services that are watched by name and are not there.
#[derive(Default)]
struct Missing(Vec<ServiceKey>);

impl Missing {
    /// Reports each service that is missing and was not missing before.
    fn note(&mut self, watch: &Watch, services: &[ServiceState], session: &mut Session<'_, '_>) {
        let is_there = |key: &ServiceKey| services.iter().any(|state| state.service.key() == *key);
        let missing: Vec<_> = watch.services.iter().copied().filter(|key| !is_there(key)).collect();
        for key in missing.iter().filter(|key| !self.0.contains(key)) {
            session.error(format_args!("there is no service {key}; it is watched once it is added"));
        }
        self.0 = missing;
    }
}

/// The services that are watched, by identity.
fn look(
    watch: &Watch,
    session: &mut Session<'_, '_>,
    window: &mut Window<ServiceKey>,
    counters: &mut Counters,
    begun: Instant,
) -> Result<Vec<ServiceState>, Trouble> {
    let mut services = session.director.client().and_then(|client| counters.services(client))?;
    if !watch.services.is_empty() {
        services.retain(|state| watch.services.contains(&state.service.key()));
    }
    services.sort_unstable_by_key(|state| state.service.key());
    window.look(begun.elapsed(), services.iter().filter_map(|state| Some((state.service.key(), state.statistics?))));
    Ok(services)
}

fn in_use(session: &mut Session<'_, '_>, state: &ServiceState) -> Result<InUse, Trouble> {
    let key = state.service.key();
    let destinations = session.director.client().and_then(|client| client.destinations_without_statistics(&key));
    let mut total = InUse::default();
    destinations?.iter().for_each(|destination| total += InUse::of(destination));
    Ok(total)
}

fn text(time: Duration, state: &ServiceState, rates: PerSecond, in_use: InUse) -> String {
    let PerSecond { connections, packets_in, packets_out, bytes_in, bytes_out } = rates;
    let InUse { active, inactive, .. } = in_use;
    format!(
        "{} {}: {connections:.1} conn/s, in {packets_in:.0} pkt/s {bytes_in:.0} B/s, out {packets_out:.0} pkt/s \
         {bytes_out:.0} B/s, {active} active, {inactive} inactive",
        utc(time),
        state.service.key(),
    )
}

fn json(time: Duration, state: &ServiceState, rates: PerSecond, in_use: InUse) -> String {
    // Whole numbers, as everywhere in our JSON.
    let whole = |rate: f64| Scalar::Integer(rate.round() as u64);
    let rates = vec![
        ("connections", whole(rates.connections)),
        ("packets_in", whole(rates.packets_in)),
        ("packets_out", whole(rates.packets_out)),
        ("bytes_in", whole(rates.bytes_in)),
        ("bytes_out", whole(rates.bytes_out)),
    ];
    let fields = vec![
        ("time", Scalar::Text(utc(time))),
        ("service", Scalar::text(state.service.key())),
        ("rates", Scalar::Table(rates)),
        ("active_connections", in_use.active.into()),
        ("inactive_connections", in_use.inactive.into()),
        ("persistent_connections", in_use.templates.into()),
    ];
    object(fields).to_string()
}
