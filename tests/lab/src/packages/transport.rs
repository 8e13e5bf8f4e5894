//! How files come from a mirror: by HTTP, through the machine's proxy, no larger than expected.

use std::{
    io::{self, IsTerminal, Read, Write},
    sync::Arc,
    time::Duration,
};

use ureq::{
    Agent, Proxy,
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::refusal::Refusal;
use crate::{
    error::{Context, Error, Result},
    signals,
};

/// A mirror that is silent for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a file is asked for, if the connection breaks or the mirror has trouble.
const ATTEMPTS: u32 = 3;

/// The connection to a mirror.
#[derive(Debug)]
pub(super) struct Transport {
    agent: Agent,
    mirror: String,
}

impl Transport {
    /// `mirror` is an address, with http or https. Without a `proxy`, that of the environment is
    /// used.
    pub(super) fn new(mirror: &str, proxy: Option<&str>) -> Result<Self> {
        let refused = |source| Error::Transport { url: mirror.to_owned(), source: Box::new(source) };
        let proxy = match proxy {
            Some(proxy) => Some(Proxy::new(proxy).map_err(refused)?),
            None => Proxy::try_from_env(),
        };
        let config = Agent::config_builder()
            .proxy(proxy.filter(|_| !is_loopback(mirror)))
            .tls_config(tls())
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE));
        Ok(Self { agent: config.build().into(), mirror: mirror.trim_end_matches('/').to_owned() })
    }

    pub(super) fn mirror(&self) -> &str {
        &self.mirror
    }

    /// A small file as a whole, of at most `limit` bytes. `None`: the mirror has no such file.
    pub(super) fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        Ok(self.fetch(path, limit, &mut content)?.then_some(content))
    }

    /// Writes a file to `out`, which is emptied if it has to begin anew. False: the mirror has no
    /// such file.
    pub(super) fn fetch(&self, path: &str, limit: u64, out: &mut dyn Sink) -> Result<bool> {
        let url = format!("{}/{path}", self.mirror);
        let mut attempt = 1;
        loop {
            signals::check()?;
            out.clear().context(|| format!("write what {url} sends"))?;
            match self.fetch_once(&url, limit, out) {
                Err(Error::Transport { source, .. }) if attempt < ATTEMPTS && is_passing(&source) => attempt += 1,
                result => return result,
            }
        }
    }

    fn fetch_once(&self, url: &str, limit: u64, out: &mut dyn Sink) -> Result<bool> {
        let broken = |source| Error::Transport { url: url.to_owned(), source: Box::new(source) };
        let mut response = match self.agent.get(url).call() {
            Err(ureq::Error::StatusCode(404 | 410)) => return Ok(false),
            response => response.map_err(broken)?,
        };
        let mut body = response.body_mut().as_reader();
        let (mut buffer, mut length, mut shown) = (vec![0; 1 << 16], 0_u64, 0);
        loop {
            signals::check()?;
            let count = body.read(&mut buffer).map_err(|error| broken(ureq::Error::Io(error)))?;
            length += count as u64;
            if length > limit {
                return Err(Error::Refused { url: url.to_owned(), why: Refusal::TooLarge { limit } });
            }
            if count == 0 {
                return Ok(true);
            }
            out.write_all(&buffer[..count]).context(|| format!("write what {url} sends"))?;
            show(length, limit, &mut shown);
        }
    }
}

/// Where a file goes.
pub(super) trait Sink: Write {
    /// Forgets what was written.
    fn clear(&mut self) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn clear(&mut self) -> io::Result<()> {
        Self::clear(self);
        Ok(())
    }
}

/// How much of a large file is here, on a terminal.
fn show(length: u64, limit: u64, shown: &mut u64) {
    let tenths = length * 10 / limit.max(1);
    if limit > 4_000_000 && tenths > *shown && io::stderr().is_terminal() {
        *shown = tenths;
        eprint!("\rlab: {} % of {:.1} MB{}", tenths * 10, limit as f64 / 1e6, if tenths == 10 { "\n" } else { "" });
    }
}

/// A proxy could not reach it.
fn is_loopback(mirror: &str) -> bool {
    let host = mirror.split("://").nth(1).unwrap_or(mirror);
    ["localhost", "127.", "[::1]"].iter().any(|name| host.starts_with(name))
}

/// Whether it may be better the next time.
fn is_passing(error: &ureq::Error) -> bool {
    !matches!(error, ureq::Error::StatusCode(400..=499) | ureq::Error::BadUri(_) | ureq::Error::Tls(_))
}

/// For mirrors with https, the authorities that this machine trusts.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots = found.into_iter().map(|certificate| Certificate::from_der(&certificate).to_owned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots.collect::<Vec<_>>()));
    config.unversioned_rustls_crypto_provider(provider).build()
}
