//! A minimal HTTP server for scrapers: one request per connection, `GET` or `HEAD` of two pages.
//!
//! One thread serves all clients, so that it works where no thread can be started. It never waits
//! for one client: each has a deadline, and a page is made when no client can continue.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use ipvs_text::exposition::Format;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The page with the metrics.
const METRICS: &str = "/metrics";

/// How long a client may take to send its request.
const ASKING: Duration = Duration::from_secs(5);

/// How long a client may take to read the response.
const READING: Duration = Duration::from_secs(60);

/// How long a client may take to close the connection.
const CLOSING: Duration = Duration::from_secs(1);

/// The longest request, in bytes.
const LONGEST: usize = 16 << 10;

/// The most connections. One more replaces the one that has been sending its request for the
/// longest time.
const CLIENTS: usize = 256;

/// The most bytes of pages that clients are reading. Beyond it, the clients of the oldest page are
/// dropped.
const KEPT: usize = 256 << 20;

/// How long no connection is accepted after an error that dropping a client does not mend.
const PAUSE: Duration = Duration::from_millis(100);

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

const FRONT: &str = "<!doctype html><title>IPVS metrics</title><a href=\"/metrics\">metrics</a>\n";

/// A request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    resource: Resource,
    is_head: bool,
    format: Format,
}

/// The path of a request.
#[derive(Debug, PartialEq, Eq)]
enum Resource {
    Metrics,
    Front,
    /// A path that does not exist.
    Missing,
    /// Any path, with a method other than `GET` and `HEAD`.
    OtherMethod,
}

/// Parses the address to serve at: an address with a port, or a port of the loopback address.
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

/// Serves until the process ends. `page` makes the metrics or an error message, for all clients
/// whose requests have arrived by then: no client gets a page that was made before its request.
///
/// # Errors
/// The listener can't be made non-blocking. No error of a connection ends the server.
pub fn serve(listener: &TcpListener, page: impl FnMut(Format) -> Result<Vec<u8>, String>) -> io::Error {
    if let Err(error) = listener.set_nonblocking(true) {
        return error;
    }
    let mut server = Server { listener, page, clients: Vec::new(), pages: Vec::new(), paused_until: None };
    loop {
        server.turn();
    }
}

type Page = Rc<Vec<u8>>;

struct Server<'l, P> {
    listener: &'l TcpListener,
    page: P,
    /// In the order in which they connected.
    clients: Vec<Client>,
    /// Pages that clients may be reading, the oldest first.
    pages: Vec<Page>,
    paused_until: Option<Instant>,
}

struct Client {
    stream: TcpStream,
    deadline: Instant,
    state: State,
}

enum State {
    /// The request, as far as it was received.
    Asking(Vec<u8>),
    /// It waits for a page of metrics.
    Waiting(Request),
    Reading {
        head: Vec<u8>,
        body: Page,
        sent: usize,
    },
    /// The response is sent. The kernel resets a connection that is closed with unread data,
    /// perhaps before the response has arrived. So the rest is read first.
    Closing,
}

impl<P: FnMut(Format) -> Result<Vec<u8>, String>> Server<'_, P> {
    /// Waits until there is something to do, and does it.
    fn turn(&mut self) {
        let ready = self.wait();
        // Before deadlines are checked, because making a page may have taken longer than a
        // deadline.
        let mut at = 0;
        self.clients.retain_mut(|client| {
            at += 1;
            !ready.get(at).is_some_and(|ready| *ready) || client.proceed().is_continue()
        });
        let now = Instant::now();
        self.clients.retain(|client| client.deadline > now || matches!(client.state, State::Waiting(_)));
        if ready.first().is_some_and(|ready| *ready) {
            self.accept();
        }
        for format in [Format::Classic, Format::OpenMetrics] {
            self.answer(format);
        }
    }

    /// Which of the listener and the clients are ready.
    fn wait(&mut self) -> Vec<bool> {
        let now = Instant::now();
        self.paused_until = self.paused_until.filter(|until| *until > now);
        let times = self.clients.iter().map(|client| client.deadline).chain(self.paused_until);
        // Rounded up, so that the deadline has passed when `poll` returns.
        let pause = times.min().map(|until| until.saturating_duration_since(now) + Duration::from_micros(1));
        let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
        let accepts = if self.paused_until.is_none() { PollFlags::IN } else { PollFlags::empty() };
        let mut polled: Vec<_> = std::iter::once(PollFd::new(self.listener, accepts))
            .chain(self.clients.iter().map(|client| PollFd::new(&client.stream, client.state.waits_for())))
            .collect();
        match poll(&mut polled, pause.as_ref()) {
            Ok(_) => polled.iter().map(|polled| !polled.revents().is_empty()).collect(),
            Err(error) => {
                if error != Errno::INTR {
                    thread::sleep(PAUSE);
                }
                Vec::new()
            }
        }
    }

    /// Accepts all waiting connections.
    fn accept(&mut self) {
        for _ in 0..CLIENTS {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                    continue;
                }
                Err(error) => {
                    // A dropped client makes room. A refusal, such as of SELinux, needs none.
                    if is_out_of_room(&error) && self.drop_one() {
                        continue;
                    }
                    self.paused_until = Some(Instant::now() + PAUSE);
                    return;
                }
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= CLIENTS {
                self.drop_one();
            }
            let mut client = Client { stream, deadline: Instant::now() + ASKING, state: State::Asking(Vec::new()) };
            // A scraper has sent its request by now, and is not replaced after that.
            if client.proceed().is_continue() {
                self.clients.push(client);
            }
        }
    }

    /// Drops the client that has been sending its request for the longest time, or else the first.
    /// Returns false if there is no client.
    fn drop_one(&mut self) -> bool {
        let asks = |client: &Client| matches!(client.state, State::Asking(_));
        let first = self.clients.iter().position(asks).unwrap_or(0);
        let is_there = first < self.clients.len();
        if is_there {
            self.clients.remove(first);
        }
        is_there
    }

    /// Makes one page for all clients that wait for this format.
    fn answer(&mut self, format: Format) {
        let waits = |client: &Client| matches!(&client.state, State::Waiting(request) if request.format == format);
        if !self.clients.iter().any(waits) {
            return;
        }
        self.forget_pages();
        let made = (self.page)(format);
        let (status, kind, body) = match made {
            Ok(text) => ("200 OK", format.content_type(), text),
            Err(why) => ("503 Service Unavailable", PLAIN, why.into_bytes()),
        };
        let page = Rc::new(body);
        self.pages.push(Rc::clone(&page));
        self.clients.retain_mut(|client| match &client.state {
            State::Waiting(request) if request.format == format => {
                let is_head = request.is_head;
                client.respond(status, kind, &page, is_head);
                client.proceed().is_continue()
            }
            _ => true,
        });
    }

    /// Drops pages without readers, and the oldest pages if there are too many.
    fn forget_pages(&mut self) {
        self.pages.retain(|page| Rc::strong_count(page) > 1);
        while self.pages.iter().map(|page| page.len()).sum::<usize>() > KEPT {
            let oldest = self.pages.remove(0);
            self.clients
                .retain(|client| !matches!(&client.state, State::Reading { body, .. } if Rc::ptr_eq(body, &oldest)));
        }
    }
}

/// Too many open files, or no memory.
fn is_out_of_room(error: &io::Error) -> bool {
    let error = Errno::from_io_error(error);
    error.is_some_and(|error| [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&error))
}

impl State {
    fn waits_for(&self) -> PollFlags {
        match self {
            State::Asking(_) | State::Closing => PollFlags::IN,
            State::Waiting(_) => PollFlags::empty(),
            State::Reading { .. } => PollFlags::OUT,
        }
    }
}

impl Client {
    /// Continues as far as possible without blocking. `Break`: the connection has ended.
    fn proceed(&mut self) -> ControlFlow<()> {
        let done = match &mut self.state {
            State::Asking(_) => self.read(),
            State::Waiting(_) => return Continue(()),
            State::Reading { .. } => self.write(),
            State::Closing => discard(&mut self.stream),
        };
        match done {
            Ok(flow) => flow,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Continue(())
            }
            Err(_) => Break(()),
        }
    }

    /// Reads the request.
    fn read(&mut self) -> io::Result<ControlFlow<()>> {
        let State::Asking(text) = &mut self.state else { return Ok(Continue(())) };
        let mut chunk = [0; 2048];
        let request = loop {
            let count = self.stream.read(&mut chunk)?;
            let chunk = &chunk[..count];
            text.extend_from_slice(chunk);
            let is_over = count == 0 || text.len() >= LONGEST;
            // A request ends with a newline, so it is not parsed after every byte.
            if !is_over && !chunk.contains(&b'\n') {
                continue;
            }
            match parse(text) {
                Ok(Some(request)) => break Some(request),
                Ok(None) if !is_over => {}
                _ => break None,
            }
        };
        let (status, kind, body, is_head) = match request {
            Some(request @ Request { resource: Resource::Metrics, .. }) => {
                self.state = State::Waiting(request);
                return Ok(Continue(()));
            }
            Some(Request { resource: Resource::Front, is_head, .. }) => ("200 OK", HTML, FRONT, is_head),
            Some(Request { resource: Resource::Missing, is_head, .. }) => {
                ("404 Not Found", PLAIN, "ask for /metrics\n", is_head)
            }
            Some(Request { resource: Resource::OtherMethod, .. }) => {
                ("405 Method Not Allowed", PLAIN, "only GET and HEAD\n", false)
            }
            None => ("400 Bad Request", PLAIN, "not a request\n", false),
        };
        self.respond(status, kind, &Rc::new(body.into()), is_head);
        self.write()
    }

    /// Prepares a response.
    fn respond(&mut self, status: &str, kind: &str, body: &Page, is_head: bool) {
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Vary: Accept\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        );
        let body = if is_head { Page::default() } else { Rc::clone(body) };
        self.deadline = Instant::now() + READING;
        self.state = State::Reading { head: head.into_bytes(), body, sent: 0 };
    }

    /// Writes the rest of the response. Not by `writev`, which raises SIGPIPE if the client has
    /// gone.
    fn write(&mut self) -> io::Result<ControlFlow<()>> {
        let State::Reading { head, body, sent } = &mut self.state else { return Ok(Continue(())) };
        while *sent < head.len() + body.len() {
            let left = head.get(*sent..).filter(|left| !left.is_empty()).unwrap_or_else(|| &body[*sent - head.len()..]);
            *sent += self.stream.write(left)?;
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.deadline = Instant::now() + CLOSING;
        self.state = State::Closing;
        discard(&mut self.stream)
    }
}

/// Reads and discards what the client has sent. `Break`: the client has closed the connection.
fn discard(stream: &mut TcpStream) -> io::Result<ControlFlow<()>> {
    let mut chunk = [0; 2048];
    Ok(if stream.read(&mut chunk)? == 0 { Break(()) } else { Continue(()) })
}

/// Parses a request. `Ok(None)`: it is incomplete.
fn parse(text: &[u8]) -> Result<Option<Request>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    if request.parse(text)?.is_partial() {
        return Ok(None);
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    // The target may be a whole URL, as for a proxy, and may have a query.
    let path = target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let resource = match (method, path.split('?').next().unwrap_or_default()) {
        ("GET" | "HEAD", METRICS) => Resource::Metrics,
        ("GET" | "HEAD", "/") => Resource::Front,
        ("GET" | "HEAD", _) => Resource::Missing,
        _ => Resource::OtherMethod,
    };
    let accepts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
    let format = preferred(accepts.filter_map(|header| std::str::from_utf8(header.value).ok()));
    Ok(Some(Request { resource, is_head: method == "HEAD", format }))
}

/// OpenMetrics if the client names it and does not prefer the classic format.
fn preferred<'a>(accepts: impl Iterator<Item = &'a str>) -> Format {
    let [mut openmetrics, mut classic] = [0.0; 2];
    for media in accepts.flat_map(|value| value.split(',')) {
        let mut parts = media.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let [mut quality, mut version] = [None; 2];
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim_end().to_ascii_lowercase().as_str() {
                "q" => quality = Some(value.trim()),
                "version" => version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        let quality = quality.map_or(1.0, |text| text.parse::<f64>().unwrap_or(0.0));
        match kind.as_str() {
            "application/openmetrics-text" if version.is_none_or(|version| version == "1.0.0") => {
                openmetrics = quality.max(openmetrics);
            }
            "text/plain" => classic = quality.max(classic),
            _ => {}
        }
    }
    if openmetrics > 0.0 && openmetrics >= classic { Format::OpenMetrics } else { Format::Classic }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A server in a thread that ends with the test program, and how many pages it has made.
    fn server() -> (SocketAddr, &'static AtomicUsize) {
        let made: &AtomicUsize = Box::leak(Box::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let page = |format| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(format!("{format:?}\n").into_bytes())
        };
        thread::spawn(move || serve(&listener, page));
        (at, made)
    }

    fn asked(at: SocketAddr, request: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(at).unwrap();
        client.write_all(request).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client
    }

    fn answer(mut client: TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_port_alone_is_on_the_loopback() {
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
    fn each_request_has_its_status() {
        let (at, _) = server();
        for (request, status, body) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "Classic\n"),
            ("GET /metrics HTTP/1.1\r\nACCEPT: application/openmetrics-text\r\n\r\n", "200 OK", "OpenMetrics\n"),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK", "Classic\n"),
            ("GET http://x:1/metrics HTTP/1.1\r\n\r\n", "200 OK", "Classic\n"),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", "200 OK", ""),
            ("GET / HTTP/1.1\r\n\r\n", "200 OK", FRONT),
            ("GET /etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found", "ask for /metrics\n"),
            ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405 Method Not Allowed", "only GET and HEAD\n"),
            ("nonsense\r\n\r\n", "400 Bad Request", "not a request\n"),
            ("GET /met", "400 Bad Request", "not a request\n"),
            ("", "400 Bad Request", "not a request\n"),
        ] {
            let text = answer(asked(at, request.as_bytes()));
            let (head, rest) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:?}: {text}");
            assert_eq!(rest, body, "{request:?}");
        }
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(LONGEST));
        assert!(answer(asked(at, &long.as_bytes()[..LONGEST])).starts_with("HTTP/1.1 400 "), "too long");
    }

    #[test]
    fn openmetrics_is_served_on_request() {
        for (accept, format) in [
            // Prometheus 2.42 and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
              text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3",
                Format::OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;q=0.7, Application/OpenMetrics-Text ; Version=\"1.0.0\" ; Q=0.6",
                Format::OpenMetrics,
            ),
            ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", Format::Classic),
            ("application/openmetrics-text;version=2.0.0", Format::Classic),
            ("application/openmetrics-text;q=0", Format::Classic),
            ("application/openmetrics-text;q=x", Format::Classic),
            ("*/*", Format::Classic),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Classic),
            (";;=,,", Format::Classic),
            ("", Format::Classic),
        ] {
            assert_eq!(preferred([accept].into_iter()), format, "{accept}");
        }
        assert_eq!(preferred(["text/plain;q=0.1", "application/openmetrics-text"].into_iter()), Format::OpenMetrics);
    }

    /// The first page is made when all other requests have been sent.
    #[test]
    fn requests_during_a_page_share_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let (began, has_begun) = std::sync::mpsc::channel();
        let mut made = 0;
        thread::spawn(move || {
            serve(&listener, move |_| {
                made += 1;
                let _ = began.send(());
                let _ = may_go.recv();
                Ok(format!("{made}\n").into_bytes())
            })
        });
        const ASK: &[u8] = b"GET /metrics HTTP/1.1\r\n\r\n";
        let first = asked(at, ASK);
        has_begun.recv().unwrap();
        let others: Vec<_> = (0..8).map(|_| asked(at, ASK)).collect();
        drop(go);
        assert!(answer(first).ends_with("\r\n\r\n1\n"));
        for other in others {
            assert!(answer(other).ends_with("\r\n\r\n2\n"));
        }
    }

    #[test]
    fn slow_clients_lose_their_places() {
        let (at, made) = server();
        // Each has begun to ask, and there are more than places.
        let slow: Vec<_> = (0..2 * CLIENTS)
            .map(|_| {
                let mut client = TcpStream::connect(at).unwrap();
                client.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
                client
            })
            .collect();
        assert!(answer(asked(at, b"GET /metrics HTTP/1.1\r\n\r\n")).ends_with("Classic\n"));
        assert_eq!(made.load(Ordering::SeqCst), 1);
        // The first was dropped, and the last can still end its request.
        let mut rest = Vec::new();
        let _ = (&slow[0]).read_to_end(&mut rest);
        assert_eq!(rest, b"");
        let mut last = slow.into_iter().next_back().unwrap();
        last.write_all(b"\r\n").unwrap();
        assert!(answer(last).ends_with("Classic\n"));
    }
}
