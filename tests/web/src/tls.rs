//! One certificate for all real servers of a site, and clients that trust only the authority that
//! signed it.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// What a site needs, as PEM text: the authority's certificate for its clients; its certificate and
/// key for all its servers.
#[derive(Clone, Debug)]
pub struct Site {
    name: String,
    authority: String,
    certificate: String,
    key: String,
}

/// Why there is no conversation in TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A file can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not PEM text.
    #[error("no certificate or key: {0}")]
    Pem(#[from] pem::Error),
    /// The site's name.
    #[error("no host name: {0}")]
    Name(#[from] InvalidDnsNameError),
    /// A certificate that the other end does not take, or a broken handshake.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The connection broke.
    #[error("TLS: {0}")]
    Connection(#[from] io::Error),
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        io::Error::other(error)
    }
}

/// The files of a site in a directory.
const AUTHORITY: &str = "authority.pem";
const CERTIFICATE: &str = "site.pem";
const KEY: &str = "site.key";

impl Site {
    /// Makes an authority and has it sign a certificate for this host name.
    ///
    /// # Errors
    /// It is no host name.
    pub fn new(name: &str) -> Result<Self, TlsError> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority.distinguished_name.push(DnType::CommonName, format!("the authority of {name}"));
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?.pem();
        Ok(Site { name: name.into(), authority: authority.pem(), certificate, key: key.serialize_pem() })
    }

    /// Writes its files into a directory: `authority.pem`, `site.pem` and `site.key`.
    ///
    /// # Errors
    /// [`TlsError::File`].
    pub fn save(&self, directory: &Path) -> Result<(), TlsError> {
        let files = [(AUTHORITY, &self.authority), (CERTIFICATE, &self.certificate), (KEY, &self.key)];
        files.into_iter().try_for_each(|(file, text)| {
            let path = directory.join(file);
            fs::write(&path, text).map_err(|error| TlsError::File { path, error })
        })
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`TlsError::File`].
    pub fn load(name: &str, directory: &Path) -> Result<Self, TlsError> {
        let read = |file| {
            let path = directory.join(file);
            fs::read_to_string(&path).map_err(|error| TlsError::File { path, error })
        };
        let (authority, certificate, key) = (read(AUTHORITY)?, read(CERTIFICATE)?, read(KEY)?);
        Ok(Site { name: name.into(), authority, certificate, key })
    }

    /// What one of its servers needs; all have the same.
    ///
    /// # Errors
    /// The files hold something else.
    pub fn server(&self) -> Result<Server, TlsError> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Server(Arc::new(config)))
    }

    /// What a client needs, who trusts nobody but the site's authority.
    ///
    /// # Errors
    /// The files hold something else, or the site's name is no host name.
    pub fn client(&self) -> Result<Client, TlsError> {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_slice(self.authority.as_bytes())?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Ok(Client { name: ServerName::try_from(self.name.clone())?, config: Arc::new(config) })
    }
}

/// The end that shows the certificate.
#[derive(Clone, Debug)]
pub struct Server(Arc<ServerConfig>);

impl Server {
    /// Begins TLS on a connection that was accepted; the handshake happens at the first read.
    ///
    /// # Errors
    /// [`TlsError::Tls`].
    pub fn accept<S: Read + Write>(&self, connection: S) -> Result<impl Read + Write, TlsError> {
        Ok(StreamOwned::new(ServerConnection::new(Arc::clone(&self.0))?, connection))
    }
}

/// The end that checks the certificate.
#[derive(Clone, Debug)]
pub struct Client {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// A conversation in TLS.
pub type Connection<S> = StreamOwned<ClientConnection, S>;

impl Client {
    /// Shakes hands on a connection that was made: the server has the site's certificate, or there
    /// is an error.
    ///
    /// # Errors
    /// [`TlsError::Connection`], which says what is wrong with the certificate.
    pub fn connect<S: Read + Write>(&self, connection: S) -> Result<Connection<S>, TlsError> {
        let client = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        let mut connection = StreamOwned::new(client, connection);
        while connection.conn.is_handshaking() {
            connection.conn.complete_io(&mut connection.sock)?;
        }
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{answer, fetch};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    /// What a client of the one site says to a server of the other.
    fn meet(client: &Site, server: &Site) -> Result<String, TlsError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = server.server().unwrap();
        let server = thread::spawn(move || answer(server.accept(listener.accept()?.0).unwrap(), "rs1"));
        let connection = client.client()?.connect(TcpStream::connect(address).unwrap());
        let answer = connection.and_then(|connection| Ok(fetch(connection, &client.name)?));
        assert_eq!(server.join().unwrap().is_ok(), answer.is_ok());
        answer
    }

    #[test]
    fn a_certificate_must_be_signed_by_the_authority_for_the_name() {
        let shop = Site::new("www.example.net").unwrap();
        assert_eq!(meet(&shop, &shop).unwrap(), "rs1\n");
        let same_name = Site::new("www.example.net").unwrap();
        assert!(matches!(meet(&shop, &same_name), Err(TlsError::Connection(_))));
        let other_name = Site { name: "www.example.org".into(), ..shop.clone() };
        assert!(matches!(meet(&other_name, &shop), Err(TlsError::Connection(_))));
    }

    #[test]
    fn a_site_can_be_kept_in_files() {
        let directory = std::env::temp_dir().join(format!("lab-web-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let shop = Site::new("www.example.net").unwrap();
        shop.save(&directory).unwrap();
        let loaded = Site::load("www.example.net", &directory).unwrap();
        assert_eq!(meet(&loaded, &shop).unwrap(), "rs1\n");
        fs::remove_dir_all(&directory).unwrap();
        let error = Site::load("www.example.net", &directory).unwrap_err();
        assert!(matches!(&error, TlsError::File { path, .. } if path.ends_with("authority.pem")), "{error}");
    }
}
