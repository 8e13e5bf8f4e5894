//! Reads service by service and passes each to the renderer, so that large tables need little
//! memory.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use ipvs::{Client, DestinationState, Error, Info, Listing, Report, ServiceKey, ServiceState};
use ipvs_text::escape;
use ipvs_text::ipvsadm::names::Names;
use ipvs_text::ipvsadm::request::{ListRequest, Listed};
use ipvs_text::render::{self, order};

use crate::director::Director;
use crate::dropin::failure::Failure;

/// Carries out `-L`.
pub(super) fn list(
    director: &mut Director,
    connection_table: &Path,
    out: &mut dyn Write,
    request: &ListRequest,
    names: &mut Names,
) -> Result<(), Failure> {
    let client = director.client().map_err(Failure::read)?;
    match request.what {
        Listed::All | Listed::Service(_) => services(director, out, request, names),
        Listed::Timeouts => client.timeouts().map(|timeouts| written(render::timeouts::line(out, timeouts))),
        Listed::Daemons => client.daemons().map(|daemons| written(render::daemon::list(out, &daemons))),
        Listed::Connections => {
            // Everybody may read the file, but ipvsadm requires its usual privileges.
            client.info().map_err(Failure::read)?;
            return connections(out, request, connection_table, names);
        }
    }
    .map_err(Failure::read)
}

/// Lists one service, or all of them.
pub(crate) fn services(
    director: &mut Director,
    out: &mut dyn Write,
    request: &ListRequest,
    names: &mut Names,
) -> Result<(), Error> {
    match request.what {
        Listed::Service(key) => {
            let client = director.client()?;
            let service = client.service(&key)?;
            let mut read = |key: &ServiceKey| match request.view.has_statistics() {
                true => client.destinations(key),
                false => client.destinations_without_statistics(key),
            };
            blocks(&mut read, out, request, None, &[service], names)
        }
        _ => director.info().and_then(|info| all(director.client()?, out, request, info, names)),
    }
}

fn all(
    client: &mut Client,
    out: &mut dyn Write,
    request: &ListRequest,
    info: Info,
    names: &mut Names,
) -> Result<(), Error> {
    let sort = |services: &mut [ServiceState]| {
        if !request.nosort {
            order::sort_services(services);
        }
    };
    if request.view.has_statistics() {
        let mut services = client.services()?;
        sort(&mut services);
        return blocks(&mut |key| client.destinations(key), out, request, Some(info), &services, names);
    }
    let (mut services, mut listing) = Listing::read(client)?;
    sort(&mut services);
    blocks(&mut |key| listing.destinations(key), out, request, Some(info), &services, names)?;
    listing.finish()
}

/// Reads the destinations of a service.
type ReadDestinations<'r> = dyn FnMut(&ServiceKey) -> Result<Vec<DestinationState>, Error> + 'r;

/// Lists the titles, and each service with its destinations.
fn blocks(
    read: &mut ReadDestinations<'_>,
    out: &mut dyn Write,
    request: &ListRequest,
    info: Option<Info>,
    services: &[ServiceState],
    names: &mut Names,
) -> Result<(), Error> {
    written(render::list::titles(out, request, info));
    each_block(read, services, request.numeric, names, |state, destinations, names| {
        written(render::list::service(out, request, state, destinations, names));
    })
}

/// Number of services whose names are looked up together.
const TOGETHER: usize = 64;

/// Reads each service's destinations and hands both to `show`.
fn each_block(
    read: &mut ReadDestinations<'_>,
    services: &[ServiceState],
    numeric: bool,
    names: &mut Names,
    mut show: impl FnMut(&ServiceState, &[DestinationState], &mut Names),
) -> Result<(), Error> {
    for some in services.chunks(if numeric { 1 } else { TOGETHER }) {
        let mut blocks = Vec::with_capacity(some.len());
        for state in some {
            blocks.push((*state, read(&state.service.key())?));
        }
        if !numeric {
            render::prefetch(names, &blocks);
        }
        for (state, destinations) in &blocks {
            show(state, destinations, names);
        }
    }
    Ok(())
}

/// Carries out `-S`.
pub(super) fn save(
    director: &mut Director,
    out: &mut dyn Write,
    numeric: bool,
    names: &mut Names,
) -> Result<(), Failure> {
    director.client().and_then(|client| save_all(client, out, numeric, names)).map_err(Failure::read)
}

fn save_all(client: &mut Client, out: &mut dyn Write, numeric: bool, names: &mut Names) -> Result<(), Error> {
    let (mut services, mut listing) = Listing::read(client)?;
    order::sort_services(&mut services);
    each_block(&mut |key| listing.destinations(key), &services, numeric, names, |state, destinations, names| {
        written(render::save::service(out, numeric, state, destinations, names));
    })?;
    listing.finish()
}

fn connections(out: &mut dyn Write, request: &ListRequest, path: &Path, names: &mut Names) -> Result<(), Failure> {
    let failure = |error: &dyn std::fmt::Display| Failure::File {
        path: escape::path(path).to_string(),
        error: error.to_string(),
    };
    let file = File::open(path).map_err(|error| failure(&error))?;
    match render::connections::list(out, request, &mut BufReader::new(file), names) {
        Err(render::connections::Error::Input(error)) => Err(failure(&Report::new(&error))),
        Err(render::connections::Error::Output(_)) | Ok(()) => Ok(()),
    }
}

/// Ignores errors of writing, as ipvsadm does: a full disk gives a cut file and status 0.
fn written(_: io::Result<()>) {}
