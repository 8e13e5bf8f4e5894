//! A minimal HTTP server for scrapers: one request per connection, `GET` or `HEAD` of two pages.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The page with the metrics.
const METRICS: &str = "/metrics";

/// A scraper asks at once.
const ASKING: Duration = Duration::from_secs(5);

/// And reads what it has asked for.
const READING: Duration = Duration::from_secs(60);

/// A request that is longer is no scraper's.
const LONGEST: usize = 16 << 10;

/// The number of requests served at a time; more are refused.
const TOGETHER: usize = 16;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

const FRONT: &str = "<!doctype html><title>IPVS metrics</title><a href=\"/metrics\">metrics</a>\n";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Resource {
    Metrics,
    Front,
    /// Not there.
    Missing,
    /// Not `GET` or `HEAD`.
    OtherMethod,
}

/// Reads where to serve: an address with a port, or a port, which then only this machine can reach.
///
/// # Errors
/// What is expected.
///
/// ```
/// assert_eq!(ipvs_cli::http::listen_at("9875").unwrap().to_string(), "127.0.0.1:9875");
/// ```
pub fn listen_at(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse();
    let loopback = port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).ok();
    loopback
        .or_else(|| text.parse().ok())
        .ok_or_else(|| "must be an address with a port, such as 192.0.2.1:9875, or a port".to_owned())
}

/// Serves until the process ends. `page` makes the metrics or an error message. It is called for
/// one scrape at a time.
///
/// # Errors
/// Why no connection can be accepted any more.
pub fn serve(listener: &TcpListener, page: impl FnMut() -> Result<String, String> + Send) -> io::Error {
    let page = std::sync::Mutex::new(page);
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        loop {
            let connection = match listener.accept() {
                Ok((connection, _)) => connection,
                // It was gone before it was met, or there are too many files for a moment.
                Err(error) if is_passing(&error) => {
                    thread::sleep(Duration::from_millis(10));
                    continue;
                }
                Err(error) => return error,
            };
            if served.fetch_add(1, Ordering::SeqCst) >= TOGETHER {
                served.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let (page, served) = (&page, &served);
            scope.spawn(move || {
                // Who does not wait for the answer gets none.
                let _ = answer(connection, || {
                    let mut page = page.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    page()
                });
                served.fetch_sub(1, Ordering::SeqCst);
            });
        }
    })
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted};
    matches!(error.kind(), ConnectionAborted | Interrupted)
        || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn answer(mut connection: TcpStream, page: impl FnOnce() -> Result<String, String>) -> io::Result<()> {
    connection.set_write_timeout(Some(READING))?;
    let Some((asked, is_head)) = read(&mut connection)? else {
        return respond(&mut connection, "400 Bad Request", PLAIN, "not a request\n", false);
    };
    match asked {
        Resource::Metrics => match page() {
            Ok(text) => respond(&mut connection, "200 OK", OPENMETRICS, &text, is_head),
            Err(why) => respond(&mut connection, "503 Service Unavailable", PLAIN, &why, is_head),
        },
        Resource::Front => respond(&mut connection, "200 OK", HTML, FRONT, is_head),
        Resource::Missing => respond(&mut connection, "404 Not Found", PLAIN, "ask for /metrics\n", is_head),
        Resource::OtherMethod => {
            respond(&mut connection, "405 Method Not Allowed", PLAIN, "only GET and HEAD\n", false)
        }
    }
}

/// What is asked for, and whether only its head; `None`: it is no request.
fn read(connection: &mut TcpStream) -> io::Result<Option<(Resource, bool)>> {
    let begun = Instant::now();
    let mut text = Vec::new();
    loop {
        let mut chunk = [0; 2048];
        let left = ASKING.checked_sub(begun.elapsed()).ok_or(io::ErrorKind::TimedOut)?;
        // A timeout of 0 means none.
        connection.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let count = connection.read(&mut chunk)?;
        text.extend_from_slice(&chunk[..count]);
        match understood(&text) {
            Ok(Some(asked)) => return Ok(Some(asked)),
            Ok(None) if count > 0 && text.len() < LONGEST => {}
            _ => return Ok(None),
        }
    }
}

/// `Ok(None)`: there is more to come.
fn understood(text: &[u8]) -> Result<Option<(Resource, bool)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    if request.parse(text)?.is_partial() {
        return Ok(None);
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    // As a proxy is asked, or with a question behind it.
    let path = target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let asked = match (method, path.split('?').next().unwrap_or_default()) {
        ("GET" | "HEAD", METRICS) => Resource::Metrics,
        ("GET" | "HEAD", "/") => Resource::Front,
        ("GET" | "HEAD", _) => Resource::Missing,
        _ => Resource::OtherMethod,
    };
    Ok(Some((asked, method == "HEAD")))
}

fn respond(connection: &mut TcpStream, status: &str, kind: &str, body: &str, is_head: bool) -> io::Result<()> {
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}X-Content-Type-Options: nosniff\r\n\
         Connection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes())?;
    if !is_head {
        connection.write_all(body.as_bytes())?;
    }
    connection.shutdown(std::net::Shutdown::Write)?;
    // Closed with something unread it would be reset, perhaps before the answer has arrived.
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    io::copy(&mut connection.take(LONGEST as u64), &mut io::sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered to this.
    fn said(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(request).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let (connection, _) = listener.accept().unwrap();
        answer(connection, || Ok("# EOF\n".to_owned())).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_port_alone_is_of_this_machine_alone() {
        for (text, at) in [
            ("9875", "127.0.0.1:9875"),
            (":9875", "127.0.0.1:9875"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:9875", "[::1]:9875"),
        ] {
            assert_eq!(listen_at(text).unwrap().to_string(), at);
        }
        for text in ["", "x", "192.0.2.1", "70000", "localhost:9875"] {
            assert!(listen_at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_a_scraper_asks_is_answered() {
        for (request, status, body) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "# EOF\n"),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK", "# EOF\n"),
            ("GET http://x:1/metrics HTTP/1.1\r\n\r\n", "200 OK", "# EOF\n"),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", "200 OK", ""),
            ("GET / HTTP/1.1\r\n\r\n", "200 OK", FRONT),
            ("GET /etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found", "ask for /metrics\n"),
            ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405 Method Not Allowed", "only GET and HEAD\n"),
            ("nonsense\r\n\r\n", "400 Bad Request", "not a request\n"),
            ("GET /met", "400 Bad Request", "not a request\n"),
            ("", "400 Bad Request", "not a request\n"),
        ] {
            let text = said(request.as_bytes());
            let (head, rest) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:?}: {text}");
            assert_eq!(rest, body, "{request:?}");
        }
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(2 * LONGEST));
        assert!(said(long.as_bytes()).starts_with("HTTP/1.1 400 "), "too long");
    }
}
