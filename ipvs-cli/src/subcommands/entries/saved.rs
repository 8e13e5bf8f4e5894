//! The file of saved connections.
//!
//! It is text. The first line says what it is, and when and where it was saved; then each entry has
//! a line as the kernel writes it, but for the time that is left, which is counted from the time in
//! the first line; the last line has the number of entries and a checksum. Each line is read by
//! itself, so memory does not grow and damage to one loses only that one.
//!
//! ```text
//! ipvs-connections 1 time=1764470000 boot=7a9c… uptime=1234 kernel=6.12.57
//! TCP CB007109 9C41 C0000201 0050 0A010001 1F90 ESTABLISHED     899
//! end 1 9f8e7d6c5b4a3928
//! ```

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipvs::proc::{Connection, Connections, ConnectionsError};
use ipvs::{Family, ServiceKey};

/// What the first line begins with.
const MAGIC: &str = "ipvs-connections";

const VERSION: u32 = 1;

const END: &str = "end";

/// In bytes. As for the kernel's own lines, of which the longest have some 400.
const LONGEST_LINE: u64 = 4096;

/// When and where connections were saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::subcommands) struct Header {
    /// Since 1970.
    time: Duration,
    /// The kernel's number of this boot.
    boot: String,
    /// Since the boot, time asleep included.
    uptime: Duration,
    kernel: String,
}

impl Header {
    /// Of this machine, now.
    pub(in crate::subcommands) fn now() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        Ok(Header { time: since_1970(), boot, uptime: uptime()?, kernel })
    }

    fn parse(line: &str) -> Result<Self, String> {
        const NONE: &str =
            "this is no file of `ipvs-cli conns --save`: its first line must begin with `ipvs-connections 1`";
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some(MAGIC) {
            return Err(NONE.to_owned());
        }
        match words.next().map(str::parse::<u32>) {
            Some(Ok(VERSION)) => {}
            Some(Ok(version)) => {
                return Err(format!("the file has version {version}, and this ipvs-cli reads version {VERSION}"));
            }
            _ => return Err(NONE.to_owned()),
        }
        let mut header =
            Header { time: Duration::ZERO, boot: String::new(), uptime: Duration::ZERO, kernel: String::new() };
        let seconds = |key: &str, value: &str| {
            let seconds = value.parse().map(Duration::from_secs);
            seconds.map_err(|_| format!("{key}= in the first line must be a number of seconds, not {value:?}"))
        };
        let mut has_time = false;
        // A later version may say more.
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "time" => (header.time, has_time) = (seconds(key, value)?, true),
                "uptime" => header.uptime = seconds(key, value)?,
                "boot" => value.clone_into(&mut header.boot),
                "kernel" => value.clone_into(&mut header.kernel),
                _ => {}
            }
        }
        if has_time { Ok(header) } else { Err("the first line has no time=".to_owned()) }
    }

    /// The time since then; an error if the clock says that it is yet to come. In the same boot, no
    /// clock that is set counts.
    pub(in crate::subcommands) fn age(&self, now: &Header) -> Result<Duration, Duration> {
        if self.boot == now.boot && !self.boot.is_empty() {
            return Ok(now.uptime.saturating_sub(self.uptime));
        }
        now.time.checked_sub(self.time).ok_or_else(|| self.time.saturating_sub(now.time))
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn uptime() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split(['.', ' ']).next().and_then(|seconds| seconds.parse().ok());
    seconds.map(Duration::from_secs).ok_or_else(|| io::Error::other("/proc/uptime is not as the kernel writes it"))
}

/// FNV-1a of 64 bits: it finds damage, not forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checksum(u64);

impl Checksum {
    const EMPTY: Self = Checksum(0xcbf2_9ce4_8422_2325);

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Writes such a file.
pub(in crate::subcommands) struct Writer<'w> {
    output: &'w mut dyn Write,
    line: Vec<u8>,
    entries: u64,
    checksum: Checksum,
}

impl<'w> Writer<'w> {
    pub(in crate::subcommands) fn new(output: &'w mut dyn Write, header: &Header) -> io::Result<Self> {
        let Header { time, boot, uptime, kernel } = header;
        let (time, uptime) = (time.as_secs(), uptime.as_secs());
        writeln!(output, "{MAGIC} {VERSION} time={time} boot={boot} uptime={uptime} kernel={kernel}")?;
        Ok(Writer { output, line: Vec::with_capacity(128), entries: 0, checksum: Checksum::EMPTY })
    }

    /// `expires` is counted from the time in the header.
    pub(in crate::subcommands) fn entry(&mut self, connection: &Connection, expires: u32) -> io::Result<()> {
        self.line.clear();
        write_line(&mut self.line, connection, expires)?;
        self.checksum.add(&self.line);
        self.entries += 1;
        self.output.write_all(&self.line)
    }

    /// Ends the file, and returns the number of entries.
    pub(in crate::subcommands) fn finish(self) -> io::Result<u64> {
        writeln!(self.output, "{END} {} {:016x}", self.entries, self.checksum.0)?;
        self.output.flush()?;
        Ok(self.entries)
    }
}

/// As `/proc/net/ip_vs_conn` has it.
fn write_line(line: &mut Vec<u8>, connection: &Connection, expires: u32) -> io::Result<()> {
    let Connection { client, target, destination, state, engine, .. } = connection;
    let at = match *target {
        ServiceKey::Address { protocol, at } => {
            match protocol.number() {
                6 => line.extend(b"TCP"),
                17 => line.extend(b"UDP"),
                132 => line.extend(b"SCTP"),
                0 => line.extend(b"IP "),
                number => write!(line, "IP_{number}")?,
            }
            at
        }
        ServiceKey::Mark { mark, family } => {
            line.extend(b"IP ");
            let ip = match family {
                Family::V4 => IpAddr::from(mark.get().to_be_bytes()),
                Family::V6 => IpAddr::from((u128::from(mark.get()) << 96).to_be_bytes()),
            };
            SocketAddr::new(ip, 0)
        }
    };
    for address in [*client, at, *destination] {
        match address.ip() {
            IpAddr::V4(ip) => write!(line, " {:08X}", ip.to_bits())?,
            IpAddr::V6(ip) => {
                for (number, segment) in ip.segments().into_iter().enumerate() {
                    write!(line, "{}{segment:04x}", if number == 0 { ' ' } else { ':' })?;
                }
            }
        }
        write!(line, " {:04X}", address.port())?;
    }
    write!(line, " {state:<11} {expires:7}")?;
    if let Some(engine) = engine {
        write!(line, " {} ", engine.engine)?;
        line.extend(&engine.data);
    }
    line.push(b'\n');
    Ok(())
}

/// Reads such a file, entry by entry.
pub(in crate::subcommands) struct Reader<'r> {
    input: &'r mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
    entries: u64,
    checksum: Checksum,
    is_over: bool,
}

/// What is wrong with a file, or with one of its lines.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::subcommands) enum Damage {
    /// This line is no entry. The next one may be.
    Line { number: u64, reason: String },
    /// The file as a whole; there is nothing behind it.
    End(String),
}

impl<'r> Reader<'r> {
    /// Reads the first line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::subcommands) fn new(input: &'r mut dyn BufRead) -> Result<(Self, Header), String> {
        let mut reader =
            Reader { input, line: Vec::new(), number: 0, entries: 0, checksum: Checksum::EMPTY, is_over: false };
        reader.read_line().map_err(|error| error.to_string())?;
        let header = Header::parse(&String::from_utf8_lossy(&reader.line))?;
        Ok((reader, header))
    }

    /// Reads a line with its end into `line`, which is empty at the end of the file.
    fn read_line(&mut self) -> io::Result<()> {
        self.line.clear();
        self.number += 1;
        (&mut *self.input).take(LONGEST_LINE).read_until(b'\n', &mut self.line)?;
        if self.line.len() as u64 == LONGEST_LINE && self.line.last() != Some(&b'\n') {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of more than 4096 bytes"));
        }
        Ok(())
    }

    fn end(&mut self, damage: Option<String>) -> Option<Result<Connection, Damage>> {
        self.is_over = true;
        damage.map(|damage| Err(Damage::End(damage)))
    }

    /// What is wrong behind the last line: nothing may stand there.
    fn rest(&mut self) -> Option<String> {
        let (mut lines, mut is_in_line) = (0_u64, false);
        loop {
            let length = match self.input.fill_buf() {
                Ok([]) => break,
                Ok(bytes) => {
                    lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
                    is_in_line = bytes.last() != Some(&b'\n');
                    bytes.len()
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Some(error.to_string()),
            };
            self.input.consume(length);
        }
        lines += u64::from(is_in_line);
        (lines > 0)
            .then(|| format!("lines behind the line `{END}`, {lines}, are left out: are these two files in one?"))
    }

    /// The last line, if it is one and fits what was read.
    fn last_line(&self) -> Option<Result<(), String>> {
        let mut words = std::str::from_utf8(&self.line).ok()?.strip_prefix(END)?.split_ascii_whitespace();
        let (entries, checksum) = (words.next()?.parse::<u64>().ok()?, u64::from_str_radix(words.next()?, 16).ok()?);
        Some(if entries != self.entries {
            Err(format!("the file has {} entries, and its last line says {entries}", self.entries))
        } else if checksum != self.checksum.0 {
            Err("the file was damaged or changed after it was saved: its checksum does not fit".to_owned())
        } else {
            Ok(())
        })
    }
}

impl Iterator for Reader<'_> {
    /// [`Connection::expires`] is counted from the time in the header.
    type Item = Result<Connection, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        if let Err(error) = self.read_line() {
            return self.end(Some(format!("line {}: {error}", self.number)));
        }
        if let Some(end) = self.last_line() {
            let damage = end.err().or_else(|| self.rest());
            return self.end(damage);
        }
        // Nothing, or half a line.
        if self.line.last() != Some(&b'\n') {
            return self
                .end(Some(format!("the file is cut off after entry {}: its last line is missing", self.entries)));
        }
        self.checksum.add(&self.line);
        self.entries += 1;
        let damage = |reason| Err(Damage::Line { number: self.number, reason });
        Some(match Connections::new(&self.line[..]).next() {
            Some(Ok(connection)) => Ok(connection),
            Some(Err(ConnectionsError::Line { missing, text, .. })) => damage(format!("no {missing} in {text:?}")),
            Some(Err(error)) => damage(error.to_string()),
            None => damage("an entry is expected".to_owned()),
        })
    }
}

/// A file with these lines of the kernel, saved then.
#[cfg(test)]
pub(in crate::subcommands) fn file(lines: &[&str], time: u64, boot: &str, uptime: u64) -> String {
    let (time, uptime) = (Duration::from_secs(time), Duration::from_secs(uptime));
    let mut text = Vec::new();
    let mut writer =
        Writer::new(&mut text, &Header { time, boot: boot.into(), uptime, kernel: "6.12".into() }).unwrap();
    for line in lines {
        let entry = Connections::new(line.as_bytes()).next().unwrap().unwrap();
        writer.entry(&entry, entry.expires).unwrap();
    }
    writer.finish().unwrap();
    String::from_utf8(text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP CB007109 9C41 C0000201 0050 0A010001 1F90 ESTABLISHED     899
IP_51 CB007109 9C41 C0000201 0050 0A010001 1F90 NONE              1
UDP 2001:0db8:0000:0000:0000:0000:0000:0009 9C47 2001:0db8:0000:0000:0000:0000:0000:0001 0038 2001:0db8:0000:0000:0000:0000:0002:0001 0038 UDP             299
IP  2001:0db8:0000:0000:0000:0000:0000:0009 0000 ffff:fffa:0000:0000:0000:0000:0000:0000 0000 2001:0db8:0000:0000:0000:0000:0002:0001 0000 NONE             59
IP  CB007109 0000 FFFFFFFA 0000 0A010001 0000 ASSURED          59
SCTP CB007109 9C40 C0000201 0B58 0A010001 0B58 S-RECEIVED        3
UDP CB007109 0000 C0000201 13C4 0A010001 13C4 NONE             59 sip 12345@example.net
";

    fn header() -> Header {
        let seconds = Duration::from_secs;
        Header { time: seconds(1_764_470_000), boot: "7a".into(), uptime: seconds(1234), kernel: "6.12.57".into() }
    }

    fn saved() -> String {
        let mut text = Vec::new();
        let mut writer = Writer::new(&mut text, &header()).unwrap();
        for connection in Connections::new(TABLE.as_bytes()) {
            let connection = connection.unwrap();
            writer.entry(&connection, connection.expires).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), 7);
        String::from_utf8(text).unwrap()
    }

    type Read = Vec<Result<Connection, Damage>>;

    fn read(text: &str) -> Result<(Header, Read), String> {
        Reader::new(&mut text.as_bytes()).map(|(reader, header)| (header, reader.collect()))
    }

    #[test]
    fn each_line_is_as_the_kernel_writes_it_and_is_read_again() {
        let text = saved();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ipvs-connections 1 time=1764470000 boot=7a uptime=1234 kernel=6.12.57");
        assert_eq!(lines[1..8], TABLE.lines().skip(1).collect::<Vec<_>>());
        assert!(lines[8].starts_with("end 7 ") && lines.len() == 9, "{}", lines[8]);
        let (read_header, entries) = read(&text).unwrap();
        assert_eq!(read_header, header());
        let entries: Vec<_> = entries.into_iter().map(Result::unwrap).collect();
        let expected: Vec<_> = Connections::new(TABLE.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(entries, expected);
    }

    #[test]
    fn what_is_no_such_file_or_of_another_version_is_refused_as_a_whole() {
        for (text, expected) in [
            ("", "no file of"),
            (TABLE, "no file of"),
            ("ipvs-connections x", "no file of"),
            ("ipvs-connections 2 time=1", "the file has version 2, and this ipvs-cli reads version 1"),
            ("ipvs-connections 1 boot=7a", "the first line has no time="),
            ("ipvs-connections 1 time=now", "time= in the first line must be a number of seconds, not \"now\""),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(Reader::new(&mut io::BufReader::new(io::repeat(b'x'))).is_err(), "a line without end");
    }

    #[test]
    fn damage_costs_its_own_line_and_is_named() {
        let text = saved();
        let problems =
            |text: &str| -> Vec<Damage> { read(text).unwrap().1.into_iter().filter_map(Result::err).collect() };
        let (whole, _) = text.split_at(text.find("end ").unwrap());
        let cut = "the file is cut off after entry 7: its last line is missing";
        assert_eq!(problems(whole), [Damage::End(cut.into())]);
        assert_eq!(problems(&whole[..whole.len() - 1]), [Damage::End(cut.replace('7', "6"))], "within a line");
        let changed = text.replacen("CB007109 9C41 C0000201", "CB007109 9C42 C0000201", 1);
        let checksum = "the file was damaged or changed after it was saved: its checksum does not fit";
        assert_eq!(problems(&changed), [Damage::End(checksum.into())]);
        let removed = text.replacen("IP_51 CB007109 9C41 C0000201 0050 0A010001 1F90 NONE              1\n", "", 1);
        let count = "the file has 6 entries, and its last line says 7";
        assert_eq!(problems(&removed), [Damage::End(count.into())]);
        let rest = "lines behind the line `end`, 9, are left out: are these two files in one?";
        assert_eq!(problems(&text.repeat(2)), [Damage::End(rest.into())]);
        assert_eq!(problems(&format!("{text}x")), [Damage::End(rest.replace('9', "1"))]);
        let damaged = text.replacen("TCP CB007109", "TCP CB0071\u{0}9", 1);
        let found = problems(&damaged);
        assert!(
            matches!(&found[0], Damage::Line { number: 2, reason } if reason.contains("no client address")),
            "{found:?}"
        );
        assert_eq!(found[1..], [Damage::End(checksum.into())]);
        assert_eq!(read(&damaged).unwrap().1.iter().filter(|entry| entry.is_ok()).count(), 6);
    }

    #[test]
    fn the_age_is_that_of_the_boot_or_of_the_clock() {
        let later = |boot: &str, time: i64, uptime: u64| {
            let time = Duration::from_secs(1_764_470_000u64.checked_add_signed(time).unwrap());
            Header { time, boot: boot.into(), uptime: Duration::from_secs(uptime), kernel: "7.2".into() }
        };
        let seconds = Duration::from_secs;
        assert_eq!(header().age(&later("7a", -500, 1250)), Ok(seconds(16)), "the clock was set back");
        assert_eq!(header().age(&later("7b", 90, 5)), Ok(seconds(90)));
        assert_eq!(header().age(&later("7b", -90, 5)), Err(seconds(90)), "it is yet to come");
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_no_panic_and_ends(text: Vec<u8>, at in 0..900usize, byte: u8) {
            let mut file = saved().into_bytes();
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
            file.splice(at.min(file.len())..at.min(file.len()), text);
            if let Ok((reader, _)) = Reader::new(&mut &file[..]) {
                let lines = file.iter().filter(|byte| **byte == b'\n').count();
                proptest::prop_assert!(reader.count() <= lines + 2);
            }
        }
    }
}
