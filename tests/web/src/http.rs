//! HTTP on any stream: one request on a connection (1.0), or many (1.1).

use std::io::{self, BufRead, BufReader, Read, Write};

/// Reads requests, and answers each with one line of text, until the client needs no more.
///
/// # Errors
/// The connection broke.
pub fn answer(connection: impl Read + Write, text: &str) -> io::Result<()> {
    let mut connection = BufReader::new(connection);
    loop {
        // A request ends with an empty line; to close before it is read would reset the connection.
        let mut request = String::new();
        loop {
            let line = request.len();
            if connection.read_line(&mut request)? == 0 {
                return Ok(());
            }
            if request[line..].trim_end().is_empty() {
                break;
            }
        }
        let is_kept = request.lines().next().is_some_and(|line| line.ends_with("HTTP/1.1"))
            && !request.lines().any(|line| line.to_ascii_lowercase().starts_with("connection: close"));
        let (version, length) = (if is_kept { "1.1" } else { "1.0" }, text.len() + 1);
        let answer = connection.get_mut();
        write!(
            answer,
            "HTTP/{version} 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}\n"
        )?;
        answer.flush()?;
        if !is_kept {
            return Ok(());
        }
    }
}

/// Asks once, and gives the answer's body.
///
/// # Errors
/// The connection broke, or this is no good answer.
pub fn fetch(connection: impl Read + Write, host: &str) -> io::Result<String> {
    request(connection, "1.0", host)
}

/// The same on a connection that is kept for more.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_and_keep(connection: impl Read + Write, host: &str) -> io::Result<String> {
    request(connection, "1.1", host)
}

fn request(mut connection: impl Read + Write, version: &str, host: &str) -> io::Result<String> {
    connection.write_all(format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n").as_bytes())?;
    connection.flush()?;
    let (mut reader, mut head, mut length) = (BufReader::new(connection), String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let line = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Err(io::Error::other(format!("unexpected answer {head:?}")));
        }
        if let Some(number) = head[line..].strip_prefix("Content-Length: ") {
            length = number.trim_end().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = String::new();
    // Not to the end: a server that closes need not say so in TLS.
    reader.take(length).read_to_string(&mut body)?;
    if head.starts_with(&format!("HTTP/{version} 200 ")) && body.len() as u64 == length {
        return Ok(body);
    }
    Err(io::Error::other(format!("unexpected answer {head:?} {body:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    #[test]
    fn client_and_server_understand_each_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || answer(listener.accept().unwrap().0, "rs1"));
        assert_eq!(fetch(TcpStream::connect(address).unwrap(), "rs").unwrap(), "rs1\n");
        server.join().unwrap().unwrap();
    }

    #[test]
    fn a_connection_is_kept_for_more_requests() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || answer(listener.accept().unwrap().0, "rs1"));
        let connection = TcpStream::connect(address).unwrap();
        for _ in 0..3 {
            assert_eq!(fetch_and_keep(&connection, "rs").unwrap(), "rs1\n");
        }
        drop(connection);
        server.join().unwrap().unwrap();
    }

    #[test]
    fn half_an_answer_is_none() {
        struct Says(&'static [u8]);
        impl Read for Says {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
        }
        impl Write for Says {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let whole = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nrs1\n";
        assert_eq!(fetch(Says(whole), "rs").unwrap(), "rs1\n");
        for length in 0..whole.len() {
            assert!(fetch(Says(&whole[..length]), "rs").is_err(), "{length} bytes");
        }
        assert!(fetch(Says(b"HTTP/1.0 404 No\r\nContent-Length: 0\r\n\r\n"), "rs").is_err());
    }
}
