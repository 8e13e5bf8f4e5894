//! `metrics`: what the director counts, as OpenMetrics text, once or for scrapers.

mod args;
mod families;
mod reading;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use self::families::Families;
use self::reading::Reading;
use crate::director::Director;
use crate::exit::Exit;
use crate::http;
use crate::session::{Session, Trouble};
use crate::state::file;

pub(super) use args::Metrics;

pub(super) fn run(metrics: &Metrics, session: &mut Session<'_, '_>) -> Exit {
    let done = match (metrics.listen, &metrics.output) {
        (Some(at), _) => listen(at, metrics, session),
        (None, Some(path)) => read(session.director, session.environment.connections, metrics).and_then(|text| {
            // Read by node_exporter, which is another user.
            file::write(path, text.as_bytes(), 0o644).map_err(|error| {
                let hint = if path.starts_with("/dev") { "; without --output it goes to standard output" } else { "" };
                Trouble::Other(format!("{error}{hint}"))
            })
        }),
        // Errors of writing are reported at the end.
        (None, None) => read(session.director, session.environment.connections, metrics)
            .map(|text| drop(session.environment.stdout.write_all(text.as_bytes()))),
    };
    session.finish(done.map(|()| Exit::Success), Exit::No)
}

/// One scrape's text.
fn read(director: &mut Director, connections: &Path, options: &Metrics) -> Result<String, Trouble> {
    let reading = Reading::take(director, connections, options)?;
    encode(reading).map_err(|error| Trouble::Other(error.to_string()))
}

fn encode(reading: Reading) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(Arc::new(reading))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// Ends only with the process.
fn listen(at: SocketAddr, options: &Metrics, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    let failed = |error: io::Error| Trouble::Other(format!("{at}: {error}"));
    let listener = TcpListener::bind(at).map_err(failed)?;
    // A kernel without IPVS, or a missing right, is reported at once.
    let (director, connections) = (&mut *session.director, session.environment.connections);
    director.client().and_then(ipvs::Client::info)?;
    let at = listener.local_addr().map_err(failed)?;
    // The port may be of interest. A closed standard output is no error.
    let _ = writeln!(session.environment.stdout, "listening on http://{at}/metrics")
        .and_then(|()| session.environment.stdout.flush());
    let page = || read(director, connections, options).map_err(|trouble| trouble.text());
    Err(failed(http::serve(&listener, page)))
}
