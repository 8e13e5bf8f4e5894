//! The smallest web server and client, so that scenes and tests need no other program: a real
//! server answers with one line, its name for example, over HTTP or HTTPS.
//!
//! ```
//! use std::net::TcpListener;
//! use lab_web::{Site, answer, fetch};
//!
//! let shop = Site::new("www.example.net")?; // a certificate, signed by an authority of its own
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let (server, client) = (shop.server()?, shop.client()?);
//! let rs1 =
//!     std::thread::spawn(move || answer(server.accept(listener.accept()?.0).unwrap(), "rs1"));
//! assert_eq!(
//!     fetch(client.connect(std::net::TcpStream::connect(address)?)?, "www.example.net")?,
//!     "rs1\n"
//! );
//! rs1.join().unwrap()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod http;
mod tls;

pub use http::{answer, fetch, fetch_and_keep};
pub use tls::{Client, Connection, Server, Site, TlsError};
