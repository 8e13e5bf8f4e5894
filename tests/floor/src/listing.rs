//! ipvsadm's `-S -n` and `-L -n`, of the tables that the floor can make.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::netlink::{Error, Kernel, attributes, native16, native32};

struct Service {
    address: SocketAddrV4,
    scheduler: String,
}

struct Destination {
    address: SocketAddrV4,
    forward: u32,
    weight: u32,
    active: u32,
    inactive: u32,
}

/// The table as commands.
pub(crate) fn save(kernel: &mut Kernel) -> Result<String, Error> {
    let mut out = String::new();
    each(kernel, &mut out, |out, service, destinations| {
        let at = service.address.to_string();
        join(out, &["-A -t ", &at, " -s ", &service.scheduler, "\n"]);
        for to in destinations {
            join(out, &["-a -t ", &at, " -r "]);
            put_address(out, to.address);
            join(out, &[" -", letter(to.forward), " -w "]);
            put_number(out, to.weight);
            out.push('\n');
        }
    })?;
    Ok(out)
}

/// The table for people.
pub(crate) fn list(kernel: &mut Kernel) -> Result<String, Error> {
    let mut out = title(&kernel.info()?);
    each(kernel, &mut out, |out, service, destinations| {
        join(out, &["TCP  ", &service.address.to_string(), " ", &service.scheduler, "\n"]);
        for to in destinations {
            out.push_str("  -> ");
            column(out, 28, |out| put_address(out, to.address));
            column(out, 7, |out| out.push_str(method(to.forward)));
            column(out, 6, |out| put_number(out, to.weight));
            column(out, 10, |out| put_number(out, to.active));
            column(out, 10, |out| put_number(out, to.inactive));
            // ipvsadm's last column is padded too, but no blank follows.
            out.pop();
            out.push('\n');
        }
    })?;
    Ok(out)
}

fn join(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

/// Left-aligned, and one blank. By hand, as is the rest: the standard formatting would be most of a
/// listing's work.
fn column(out: &mut String, width: usize, put: impl FnOnce(&mut String)) {
    const BLANKS: &str = "                             ";
    let start = out.len();
    put(out);
    let missing = (start + width).saturating_sub(out.len());
    out.push_str(&BLANKS[..missing + 1]);
}

fn put_address(out: &mut String, address: SocketAddrV4) {
    for octet in address.ip().octets() {
        put_number(out, octet.into());
        out.push('.');
    }
    out.pop();
    out.push(':');
    put_number(out, address.port().into());
}

fn put_number(out: &mut String, number: u32) {
    if number >= 10 {
        put_number(out, number / 10);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

fn title(info: &[u8]) -> String {
    let number = |kind| attributes(info).find(|(found, _)| *found == kind).and_then(|(_, value)| native32(value));
    let (version, size) = (number(1).unwrap_or(0), number(2).unwrap_or(0));
    let [_, major, minor, patch] = version.to_be_bytes();
    format!(
        "IP Virtual Server version {major}.{minor}.{patch} (size={size})\n\
         Prot LocalAddress:Port Scheduler Flags\n  \
         -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
    )
}

/// Calls `print` for each service with its destinations, both in ipvsadm's order.
fn each(
    kernel: &mut Kernel,
    out: &mut String,
    print: impl Fn(&mut String, &Service, &[Destination]),
) -> Result<(), Error> {
    let (mut services, mut destinations) = (Vec::new(), Vec::new());
    kernel.services(|attributes| services.push(service(attributes)))?;
    // ipvsadm compares by wrapped differences; within one network, as our tables are, it is the
    // same.
    services.sort_by_key(|service| service.address);
    for service in &services {
        destinations.clear();
        kernel.destinations(service.address, |attributes| destinations.push(destination(attributes)))?;
        destinations.sort_by_key(|destination| destination.address);
        print(out, service, &destinations);
    }
    Ok(())
}

fn service(bytes: &[u8]) -> Service {
    let (mut address, mut port, mut scheduler) = (Ipv4Addr::UNSPECIFIED, 0, String::new());
    for (kind, value) in attributes(bytes) {
        match kind {
            3 => address = ipv4(value),
            4 => port = big_endian(value),
            6 => scheduler = String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned(),
            _ => {}
        }
    }
    Service { address: SocketAddrV4::new(address, port), scheduler }
}

fn destination(bytes: &[u8]) -> Destination {
    let (mut address, mut port) = (Ipv4Addr::UNSPECIFIED, 0);
    let [mut forward, mut weight, mut active, mut inactive] = [0; 4];
    for (kind, value) in attributes(bytes) {
        let number = || native32(value).unwrap_or(0);
        match kind {
            1 => address = ipv4(value),
            2 => port = big_endian(value),
            3 => forward = number(),
            4 => weight = number(),
            7 => active = number(),
            8 => inactive = number(),
            _ => {}
        }
    }
    Destination { address: SocketAddrV4::new(address, port), forward, weight, active, inactive }
}

fn ipv4(value: &[u8]) -> Ipv4Addr {
    value.first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |octets| (*octets).into())
}

fn big_endian(value: &[u8]) -> u16 {
    native16(value).map_or(0, u16::from_be)
}

fn method(forward: u32) -> &'static str {
    match forward & 7 {
        0 => "Masq",
        1 => "Local",
        2 => "Tunnel",
        _ => "Route",
    }
}

fn letter(forward: u32) -> &'static str {
    match forward & 7 {
        0 => "m",
        2 => "i",
        _ => "g",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_tells_version_and_size() {
        let info = [8, 0, 1, 0, 1, 2, 1, 0, 8, 0, 2, 0, 0, 16, 0, 0];
        assert!(title(&info).starts_with("IP Virtual Server version 1.2.1 (size=4096)\nProt "));
    }

    #[test]
    fn columns_are_ipvsadms() {
        let mut out = String::new();
        column(&mut out, 12, |out| put_address(out, "10.0.0.1:80".parse().unwrap()));
        column(&mut out, 3, |out| put_number(out, 4_294_967_295));
        assert_eq!(out, "10.0.0.1:80  4294967295 ");
    }

    #[test]
    fn a_destination_is_read_from_its_attributes() {
        let bytes = [8, 0, 1, 0, 192, 168, 0, 9, 6, 0, 2, 0, 0x1f, 0x90, 0, 0, 8, 0, 4, 0, 5, 0, 0, 0];
        let read = destination(&bytes);
        assert_eq!((read.address.to_string().as_str(), read.weight, read.forward), ("192.168.0.9:8080", 5, 0));
    }
}
