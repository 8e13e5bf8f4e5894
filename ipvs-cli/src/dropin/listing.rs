//! Reads service by service and passes each to the renderer, so that large tables need little
//! memory.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use ipvs::{Client, DestinationState, Error, Info, Report, ServiceState};

use crate::director::Director;
use crate::dropin::failure::Failure;
use crate::escape;
use crate::ipvsadm::names::Names;
use crate::ipvsadm::request::{ListRequest, Listed};
use crate::render::{self, order};

/// Carries out `-L`.
pub(super) fn list(
    director: &mut Director,
    connection_table: &Path,
    mut out: &mut dyn Write,
    request: &ListRequest,
    names: &mut Names,
) -> Result<(), Failure> {
    let client = director.client().map_err(Failure::read)?;
    match request.what {
        Listed::All | Listed::Service(_) => services(director, out, request, names),
        Listed::Timeouts => client.timeouts().map(|timeouts| written(render::timeouts::line(&mut out, timeouts))),
        Listed::Daemons => client.daemons().map(|daemons| written(render::daemon::list(&mut out, &daemons))),
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
            client.service(&key).and_then(|service| blocks(client, out, request, None, &[service], names))
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
    let mut services =
        if request.view.has_statistics() { client.services()? } else { client.services_without_statistics()? };
    if !request.nosort {
        order::sort_services(&mut services);
    }
    blocks(client, out, request, Some(info), &services, names)
}

/// Lists the titles, and each service with its destinations.
fn blocks(
    client: &mut Client,
    mut out: &mut dyn Write,
    request: &ListRequest,
    info: Option<Info>,
    services: &[ServiceState],
    names: &mut Names,
) -> Result<(), Error> {
    written(render::list::titles(&mut out, request, info));
    let (numeric, statistics) = (request.numeric, request.view.has_statistics());
    each_block(client, services, numeric, statistics, names, |state, destinations, names| {
        written(render::list::service(&mut out, request, state, destinations, names));
    })
}

/// Number of services whose names are looked up together.
const TOGETHER: usize = 64;

/// Reads each service's destinations and hands both to `show`.
fn each_block(
    client: &mut Client,
    services: &[ServiceState],
    numeric: bool,
    statistics: bool,
    names: &mut Names,
    mut show: impl FnMut(&ServiceState, &mut [DestinationState], &mut Names),
) -> Result<(), Error> {
    for some in services.chunks(if numeric { 1 } else { TOGETHER }) {
        let mut blocks = Vec::with_capacity(some.len());
        for state in some {
            let key = state.service.key();
            let destinations = match statistics {
                true => client.destinations(&key)?,
                false => client.destinations_without_statistics(&key)?,
            };
            blocks.push((*state, destinations));
        }
        if !numeric {
            render::prefetch(names, &blocks);
        }
        for (state, destinations) in &mut blocks {
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

fn save_all(client: &mut Client, mut out: &mut dyn Write, numeric: bool, names: &mut Names) -> Result<(), Error> {
    let mut services = client.services_without_statistics()?;
    order::sort_services(&mut services);
    each_block(client, &services, numeric, false, names, |state, destinations, names| {
        written(render::save::service(&mut out, numeric, state, destinations, names));
    })
}

fn connections(mut out: &mut dyn Write, request: &ListRequest, path: &Path, names: &mut Names) -> Result<(), Failure> {
    let failure = |error: &dyn std::fmt::Display| Failure::File {
        path: escape::path(path).to_string(),
        error: error.to_string(),
    };
    let file = File::open(path).map_err(|error| failure(&error))?;
    match render::connections::list(&mut out, request, BufReader::new(file), names) {
        Err(render::connections::Error::Input(error)) => Err(failure(&Report::new(&error))),
        Err(render::connections::Error::Output(_)) | Ok(()) => Ok(()),
    }
}

/// Ignores errors of writing, as ipvsadm does: a full disk gives a cut file and status 0.
fn written(_: io::Result<()>) {}
