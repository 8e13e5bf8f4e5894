//! `metrics`: what directors count, as text for Prometheus, once or for scrapers.

mod args;
mod families;
mod reading;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::SystemTime;

use ipvs::netns::Namespace;
use ipvs::{Counters, Report};
use ipvs_text::exposition::Format;

use self::families::Scraped;
use self::reading::Reading;
use crate::director::Director;
use crate::exit::Exit;
use crate::http;
use crate::session::{Session, Trouble};
use crate::state::file;

pub(super) use args::Metrics;

/// Without `namespaces`, the director of this one is read.
pub(super) fn run(metrics: &Metrics, namespaces: &[String], session: &mut Session<'_, '_>) -> Exit {
    let names = namespaces.iter().map(|name| Some(name.as_str()));
    let names: Vec<_> = if namespaces.is_empty() { vec![None] } else { names.collect() };
    let sources = names.into_iter().map(Source::of).collect();
    let mut scraper = Scraper { options: metrics, sources, length: 0, session };
    let done = match metrics.listen {
        Some(at) => scraper.listen(at),
        None => scraper.write(),
    };
    scraper.session.finish(done, Exit::No)
}

/// A director, and what was last seen of it.
struct Source<'m> {
    namespace: Option<&'m str>,
    counters: Counters,
    fingerprint: Option<u64>,
    changed: Option<SystemTime>,
    /// Why it can't be read.
    trouble: Option<String>,
}

impl<'m> Source<'m> {
    fn of(namespace: Option<&'m str>) -> Self {
        Source { namespace, counters: Counters::new(), fingerprint: None, changed: None, trouble: None }
    }
}

struct Scraper<'m, 'a, 'e, 's> {
    options: &'m Metrics,
    sources: Vec<Source<'m>>,
    /// Of the last page.
    length: usize,
    session: &'a mut Session<'e, 's>,
}

impl Scraper<'_, '_, '_, '_> {
    /// Writes once.
    fn write(&mut self) -> Result<Exit, Trouble> {
        let text = match self.page(Format::Classic) {
            Ok(text) => text,
            Err(trouble) => return Ok(self.session.finish(Err(trouble), Exit::Trouble)),
        };
        match &self.options.output {
            // Read by node_exporter, which is another user.
            Some(path) => file::write(path, &text, 0o644).map_err(|error| {
                let hint = if path.starts_with("/dev") { "; without --output it goes to standard output" } else { "" };
                Trouble::Other(format!("{error}{hint}"))
            })?,
            // Errors of writing are reported at the end.
            None => drop(self.session.environment.stdout.write_all(&text)),
        }
        let is_whole = self.sources.iter().all(|source| source.trouble.is_none());
        Ok(if is_whole { Exit::Success } else { Exit::No })
    }

    /// Ends only with the process.
    fn listen(&mut self, at: SocketAddr) -> Result<Exit, Trouble> {
        let failed = |error: io::Error| Trouble::Other(format!("{at}: {error}"));
        let listener = TcpListener::bind(at).map_err(failed)?;
        // A kernel without IPVS, or a missing right, is reported at once.
        if let Err(trouble) = self.page(Format::Classic) {
            return Ok(self.session.finish(Err(trouble), Exit::Trouble));
        }
        let at = listener.local_addr().map_err(failed)?;
        // The port may be of interest. A closed standard output is no error.
        let _ = writeln!(self.session.environment.stdout, "listening on http://{at}/metrics")
            .and_then(|()| self.session.environment.stdout.flush());
        Err(failed(http::serve(&listener, |format| self.page(format).map_err(|trouble| trouble.text()))))
    }

    /// One scrape's text. Of several directors those that can't be read are left out, with a
    /// message when that begins.
    ///
    /// # Errors
    /// None can be read.
    fn page(&mut self, format: Format) -> Result<Vec<u8>, Trouble> {
        let (mut scraped, mut news, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..self.sources.len() {
            let namespace = self.sources[at].namespace;
            let reading = match self.read(at) {
                Ok(reading) => Some(self.seen(at, reading)),
                Err(trouble) if self.sources.len() == 1 => return Err(trouble),
                Err(trouble) => {
                    let text = format!("{}: {}", namespace.unwrap_or_default(), trouble.text().trim_end());
                    if self.sources[at].trouble.replace(text.clone()).as_ref() != Some(&text) {
                        news.push(text.clone());
                    }
                    unread.push(text);
                    None
                }
            };
            scraped.push(Scraped::new(namespace, reading, self.options.destinations));
        }
        if unread.len() == self.sources.len() {
            return Err(Trouble::Other(unread.join("; ")));
        }
        news.iter().for_each(|text| self.session.error(text));
        // A little longer than the last one, so that it is not copied while it grows.
        let text = families::write(&scraped, format, self.length + self.length / 16);
        self.length = text.len();
        Ok(text)
    }

    /// Reads a director. Nothing of another namespace stays open, as it would keep one alive that
    /// is deleted.
    fn read(&mut self, source: usize) -> Result<Reading, Trouble> {
        let Source { namespace, counters, .. } = &mut self.sources[source];
        let environment = &*self.session.environment;
        let (connections, proc) = (environment.connections, environment.proc.is_some());
        let Some(name) = *namespace else {
            return Reading::take(self.session.director, counters, connections, proc, self.options);
        };
        let options = self.options;
        let there = || Reading::take(&mut Director::of_this_machine(), counters, connections, proc, options);
        let read = name.parse::<Namespace>().and_then(|namespace| namespace.within(there));
        read.unwrap_or_else(|error| Err(Trouble::Other(Report::new(&error).to_string())))
    }

    /// Notes when it was first seen to be configured otherwise.
    fn seen(&mut self, source: usize, mut reading: Reading) -> Reading {
        let source = &mut self.sources[source];
        source.trouble = None;
        if reading.settings.is_none() && source.fingerprint.is_none() {
            let there = source.namespace.map_or_else(String::new, |name| format!("{name}: "));
            self.session.note(format!("{there}without CAP_NET_ADMIN there is only what /proc shows to everybody"));
        }
        let fingerprint = reading.fingerprint();
        if source.fingerprint.replace(fingerprint).is_some_and(|before| before != fingerprint) {
            source.changed = Some(SystemTime::now());
        }
        reading.changed = source.changed;
        reading
    }
}
