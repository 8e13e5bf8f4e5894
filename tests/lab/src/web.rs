//! The web servers and clients of the scenes: a real server answers with its name, by HTTP or, as a
//! site, by HTTPS.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use clap::{Args, Subcommand};
use lab_web::{Server, Site, answer, fetch};

use crate::error::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(5);

/// The hidden subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Web {
    /// Answer HTTP requests with one line of text
    #[command(hide = true)]
    HttpServe {
        /// Where to listen
        address: SocketAddr,
        /// The answer
        text: String,
    },
    /// Print the answer to an HTTP request
    #[command(hide = true)]
    HttpGet {
        /// Whom to ask
        address: SocketAddr,
    },
    /// Make an authority, and have it sign a certificate for a site
    #[command(hide = true)]
    SiteMake(Kept),
    /// Answer HTTPS requests with one line of text and a site's certificate
    #[command(hide = true)]
    HttpsServe {
        /// Where to listen
        address: SocketAddr,
        /// The answer
        text: String,
        #[command(flatten)]
        site: Kept,
    },
    /// Print the answer to an HTTPS request; the server must have a site's certificate
    #[command(hide = true)]
    HttpsGet {
        /// Whom to ask
        address: SocketAddr,
        #[command(flatten)]
        site: Kept,
    },
}

/// A site in files.
#[derive(Debug, Args)]
pub(crate) struct Kept {
    /// The site's host name
    name: String,
    /// The directory with its files
    directory: PathBuf,
}

impl Kept {
    fn load(&self) -> Result<Site> {
        Site::load(&self.name, &self.directory).context(|| format!("use the site {}", self.name))
    }
}

impl Web {
    /// Does it.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::HttpServe { address, text } => serve(address, &text, None),
            Self::HttpGet { address } => get(address, None),
            Self::SiteMake(Kept { name, directory }) => Site::new(&name)
                .and_then(|site| site.save(&directory))
                .context(|| format!("make the site {name} in {}", directory.display())),
            Self::HttpsServe { address, text, site } => {
                let server = site.load()?.server().context(|| format!("serve the site {}", site.name))?;
                serve(address, &text, Some(server))
            }
            Self::HttpsGet { address, site } => get(address, Some(&site.load()?)),
        }
    }
}

/// Answers every request with one line, until it is killed.
fn serve(address: SocketAddr, text: &str, server: Option<Server>) -> Result<()> {
    let listener = TcpListener::bind(address).context(|| format!("listen on {address}"))?;
    let shared = Arc::new((text.to_owned(), server));
    for connection in listener.incoming() {
        let shared = Arc::clone(&shared);
        thread::spawn(move || converse(connection?, &shared.0, shared.1.as_ref()));
    }
    Ok(())
}

fn converse(connection: TcpStream, text: &str, server: Option<&Server>) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    match server {
        None => answer(connection, text),
        Some(server) => answer(server.accept(connection)?, text),
    }
}

/// Asks once and prints the answer's body.
fn get(address: SocketAddr, site: Option<&Site>) -> Result<()> {
    let scheme = if site.is_some() { "https" } else { "http" };
    let body = ask(address, site).context(|| format!("get {scheme}://{address}/"))?;
    print!("{body}");
    Ok(())
}

fn ask(address: SocketAddr, site: Option<&Site>) -> io::Result<String> {
    let connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let host = address.to_string();
    match site {
        None => fetch(connection, &host),
        Some(site) => fetch(site.client()?.connect(connection)?, &host),
    }
}
