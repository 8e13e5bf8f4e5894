//! The smallest web server and client, so that scenes need no other program: a real server answers with its name.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::error::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(5);

/// Answers every request with one line, until it is killed.
pub(crate) fn serve(address: SocketAddr, text: &str) -> Result<()> {
    let listener = TcpListener::bind(address).context(|| format!("listen on {address}"))?;
    for connection in listener.incoming() {
        let text = text.to_owned();
        thread::spawn(move || connection.and_then(|connection| answer(&connection, &text)));
    }
    Ok(())
}

fn answer(mut connection: &TcpStream, text: &str) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    // The request ends with an empty line; closing before it is read would reset the connection.
    for line in BufReader::new(connection).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let length = text.len() + 1;
    write!(connection, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}\n")
}

/// Asks once and prints the answer's body.
pub(crate) fn get(address: SocketAddr) -> Result<()> {
    let body = fetch(address).context(|| format!("get http://{address}/"))?;
    print!("{body}");
    Ok(())
}

fn fetch(address: SocketAddr) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.0 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("unexpected answer {answer:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_server_understand_each_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || answer(&listener.accept().unwrap().0, "rs1"));
        assert_eq!(fetch(address).unwrap(), "rs1\n");
        server.join().unwrap().unwrap();
    }
}
