//! A director's connection table of any size, with each kind of entry, as a file of
//! `ipvs-cli conns --save`.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use ipvs::{Client, Destination, Error, Forwarding, Persistence, PersistenceEngine, Scheduler, Service, ServiceKey};

/// Adds the services of the entries.
///
/// # Errors
/// What the kernel refuses.
///
/// # Panics
/// Never.
pub fn configure(client: &mut Client) -> Result<(), Error> {
    for (key, servers) in [
        ("tcp 192.0.2.1:80", ["127.0.0.1:80", "127.0.0.2:80"]),
        ("udp 192.0.2.1:53", ["127.0.0.1:53", "127.0.0.2:53"]),
        ("udp 192.0.2.1:5060", ["127.0.0.1:5060", "127.0.0.2:5060"]),
        ("sctp 192.0.2.1:2904", ["127.0.0.1:2904", "127.0.0.2:2904"]),
        ("tcp [2001:db8::1]:443", ["[::1]:443", "[2001:db8::12]:443"]),
        ("mark 7", ["127.0.0.3:0", "127.0.0.4:0"]),
    ] {
        let key: ServiceKey = key.parse().expect("a service");
        let persistence = Persistence::new(600).expect("a timeout");
        let mut service = Service::new(key).with_scheduler(Scheduler::RR).with_persistence(persistence);
        if key.to_string().ends_with(":5060") {
            service = service.with_engine(PersistenceEngine::SIP);
        }
        client.add_service(&service)?;
        for server in servers {
            // The kernel takes no foreign address of IPv6 without a route to it.
            let server = Destination::new(server.parse().expect("an address")).with_forwarding(Forwarding::Masquerade);
            client.add_destination(&key, &server)?;
        }
    }
    Ok(())
}

/// The entry of this number, as the kernel shows it.
#[must_use]
pub fn line(number: u32, expires: u32) -> String {
    const STATES: [&str; 4] = ["ESTABLISHED", "TIME_WAIT", "FIN_WAIT", "SYN_RECV"];
    let (client, port) = (0x0A01_0000 + number / 100, 1024 + number % 100 * 7);
    let server = 1 + number % 2;
    let state = STATES[number as usize / 3 % 4];
    match number % 10 {
        0 => format!("UDP {client:08X} {port:04X} C0000201 0035 7F00000{server} 0035 UDP         {expires:7}"),
        1 => format!(
            "UDP {client:08X} 0000 C0000201 13C4 7F00000{server} 13C4 NONE        {expires:7} sip {number}@example.net"
        ),
        2 => format!("SCTP {client:08X} {port:04X} C0000201 0B58 7F00000{server} 0B58 ESTABLISHED {expires:7}"),
        3 => format!(
            "TCP 2001:0db8:0000:0000:0000:0000:{:04x}:{:04x} {port:04X} 2001:0db8:0000:0000:0000:0000:0000:0001 01BB \
             0000:0000:0000:0000:0000:0000:0000:0001 01BB {state:<11} {expires:7}",
            number >> 16,
            number & 0xffff
        ),
        // The mark's service is found by the real server.
        4 => format!("TCP {client:08X} {port:04X} C0000209 0050 7F00000{} 0050 {state:<11} {expires:7}", server + 2),
        5 => format!("IP  {:08X} 0000 00000007 0000 7F000003 0000 NONE        {expires:7}", 0x0A02_0000 + number),
        6 => {
            format!("UDP {:08X} 0000 C0000201 0035 7F00000{server} 0035 NONE        {expires:7}", 0x0A02_0000 + number)
        }
        _ => format!("TCP {client:08X} {port:04X} C0000201 0050 7F00000{server} 0050 {state:<11} {expires:7}"),
    }
}

/// Writes a file of `--save`, saved this number of seconds ago in another boot.
///
/// # Errors
/// What the writer says.
pub fn write(out: &mut dyn Write, lines: impl IntoIterator<Item = String>, age: u64) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    writeln!(out, "ipvs-connections 1 time={} boot=another uptime=9 kernel=6.1.0", now - age)?;
    let (mut count, mut checksum) = (0, 0xcbf2_9ce4_8422_2325_u64);
    for mut line in lines {
        line.push('\n');
        for byte in line.bytes() {
            checksum = (checksum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        out.write_all(line.as_bytes())?;
        count += 1;
    }
    writeln!(out, "end {count} {checksum:016x}")?;
    out.flush()
}
