//! A connection as a line: for people, and as JSON.

use ipvs::desired::parts::{Fields, Scalar};
use ipvs::{ServiceKey, proc::Connection};
use ipvs_text::render::address::{endpoint, numeric};
use ipvs_text::render::number::{decimal, left};

/// The widths of the columns: an IPv4 address with its port, and with its protocol.
pub(in crate::subcommands) const ENDPOINT: usize = 21;
pub(in crate::subcommands) const SERVICE: usize = 26;
pub(in crate::subcommands) const STATE: usize = 11;
const EXPIRES: usize = 7;

pub(in crate::subcommands) fn titles(line: &mut Vec<u8>) {
    for (title, width) in [("CLIENT", ENDPOINT), ("SERVICE", SERVICE), ("SERVER", ENDPOINT), ("STATE", STATE)] {
        left(line, width, |line| line.extend_from_slice(title.as_bytes()));
        line.push(b' ');
    }
    line.extend_from_slice(b"EXPIRES");
}

pub(in crate::subcommands) fn text(line: &mut Vec<u8>, connection: &Connection) {
    left(line, ENDPOINT, |line| client(line, connection));
    line.push(b' ');
    left(line, SERVICE, |line| service(line, connection.target));
    line.push(b' ');
    left(line, ENDPOINT, |line| endpoint(line, connection.destination, None, None));
    line.push(b' ');
    left(line, STATE, |line| line.extend_from_slice(connection.state.as_bytes()));
    line.push(b' ');
    if !connection.is_template() {
        return decimal(line, connection.expires);
    }
    left(line, EXPIRES, |line| decimal(line, connection.expires));
    line.extend_from_slice(b" template");
    if let Some(engine) = &connection.engine {
        line.push(b' ');
        line.extend_from_slice(engine.engine.as_bytes());
        line.push(b' ');
        // These bytes come from the network and may go to a terminal.
        line.extend(engine.data.escape_ascii());
    }
}

/// The client of a template is a host or a network: its port has no meaning.
fn client(line: &mut Vec<u8>, connection: &Connection) {
    if connection.is_template() {
        numeric(line, connection.client.ip());
    } else {
        endpoint(line, connection.client, None, None);
    }
}

/// As [`ServiceKey`] writes it.
pub(in crate::subcommands) fn service(line: &mut Vec<u8>, key: ServiceKey) {
    match key {
        ServiceKey::Address { protocol, at } => {
            match protocol.number() {
                6 => line.extend_from_slice(b"tcp"),
                17 => line.extend_from_slice(b"udp"),
                132 => line.extend_from_slice(b"sctp"),
                number => decimal(line, number),
            }
            line.push(b' ');
            endpoint(line, at, None, None);
        }
        mark @ ServiceKey::Mark { .. } => line.extend_from_slice(mark.to_string().as_bytes()),
    }
}

/// The fields of its JSON object.
pub(in crate::subcommands) fn fields(connection: &Connection) -> Fields {
    let is_template = connection.is_template();
    let mut fields = vec![
        ("client", written(|text| client(text, connection))),
        ("service", written(|text| service(text, connection.target))),
        ("server", written(|text| endpoint(text, connection.destination, None, None))),
        ("state", written(|text| text.extend_from_slice(connection.state.as_bytes()))),
        ("expires", connection.expires.into()),
        ("template", Scalar::Boolean(is_template)),
    ];
    if let Some(engine) = &connection.engine {
        fields.push(("engine", Scalar::text(engine.engine)));
        fields.push(("engine_data", Scalar::text(String::from_utf8_lossy(&engine.data))));
    }
    fields
}

/// Cheaper than `Display`: there may be millions.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Scalar {
    let mut text = Vec::with_capacity(48);
    write(&mut text);
    Scalar::Text(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use ipvs::proc::Connections;

    use super::*;

    fn shown(line: &str) -> String {
        let connection = Connections::new(line.as_bytes()).next().unwrap().unwrap();
        let mut text = Vec::new();
        super::text(&mut text, &connection);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn services_are_written_as_the_library_does() {
        for key in
            ["tcp 192.0.2.1:80", "udp [2001:db8::1]:53", "sctp 0.0.0.0:0", "51 192.0.2.1:1", "mark 7", "mark 8 ipv6"]
        {
            let mut text = Vec::new();
            service(&mut text, key.parse().unwrap());
            assert_eq!(String::from_utf8(text).unwrap(), key);
        }
    }

    #[test]
    fn what_comes_from_the_network_can_do_no_harm() {
        let line = "UDP 7F000001 0000 7F00000A 13C4 7F00000A 13C4 NONE 59 sip a\x1b[2Jb\"";
        assert!(shown(line).ends_with("59      template sip a\\x1b[2Jb\\\""), "{}", shown(line));
    }
}
