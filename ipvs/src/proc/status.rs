//! How full the kernel's tables are: `/proc/net/ip_vs_status`.

use std::fs;
use std::io;

use super::table::Error;

const FILE: &str = "/proc/net/ip_vs_status";

/// How full the kernel's tables of connections and services are.
///
/// The kernel counts all chains for it, so a reading takes as long as the tables are large. Kernel:
/// `ip_vs_status_show` of `net/netfilter/ipvs/ip_vs_ctl.c`, since Linux 7.2.
///
/// ```
/// use ipvs::proc::Status;
/// let text = "Conns:\t3\nConn buckets:\t256 (8 bits, lfactor 4)\n\
///     Conn buckets empty:\t254 (99%)\nConn buckets len-1:\t1 (50%)\n\
///     Conn buckets len-2:\t1 (50%)\nServices:\t0\n\
///     Service buckets:\t16 (4 bits, lfactor 3)\n";
/// let status = Status::parse(text)?;
/// assert_eq!((status.connections.entries, status.connections.buckets), (3, 256));
/// assert_eq!(status.connections.longest(), 2);
/// # Ok::<(), ipvs::proc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Connections and persistence templates of this network namespace.
    pub connections: HashTable,
    /// Its services.
    pub services: HashTable,
}

/// How full one of the kernel's hash tables is: part of a [`Status`].
///
/// ```
/// fn is_slow(table: &ipvs::proc::HashTable) -> bool { table.longest() == 7 }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashTable {
    /// How many entries it has.
    pub entries: u32,
    /// How many buckets; 0 before the table is made. The kernel makes them more when it fills.
    pub buckets: u32,
    /// The setting `conn_lfactor` or `svc_lfactor` that the table was made with: it has 2 to this
    /// power times as many buckets as entries, at least.
    pub load_factor: i32,
    /// How many buckets have as many entries as the place says; in the last, 7 or more. All are 0
    /// if there is no entry, as then the kernel does not count.
    pub chains: [u32; 8],
}

impl HashTable {
    /// The length of the longest chain of a bucket; 7 is 7 or more.
    pub fn longest(&self) -> usize {
        self.chains.iter().rposition(|count| *count > 0).unwrap_or_default()
    }
}

impl Status {
    /// That of the calling thread's network namespace; `None` if the kernel does not show it, as
    /// Linux before 7.2.
    ///
    /// ```no_run
    /// if let Some(status) = ipvs::proc::Status::read()? {
    ///     println!("{} connections", status.connections.entries);
    /// }
    /// # Ok::<(), ipvs::proc::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Read`] if it can't be read: only root may; [`Error::Line`] if a line is not what
    /// the kernel writes.
    pub fn read() -> Result<Option<Self>, Error> {
        const PATH: &str = "/proc/thread-self/net/ip_vs_status";
        match fs::read_to_string(PATH) {
            Ok(text) => Self::parse(&text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path: PATH.into(), source }),
        }
    }

    /// What the kernel's text says. Lines that are not known are left to newer kernels.
    ///
    /// # Errors
    /// [`Error::Line`] if one that is known has no number where the kernel writes one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut status = Status::default();
        for (at, line) in text.lines().enumerate() {
            if status.take(line).is_none() {
                return Err(Error::Line { file: FILE, line: at + 1, text: line.to_owned() });
            }
        }
        Ok(status)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let Some((name, value)) = line.split_once(':') else { return Some(()) };
        let mut words = value.split_ascii_whitespace();
        let (table, what) = match (name.strip_prefix("Conn"), name.strip_prefix("Service")) {
            (Some(what), _) => (&mut self.connections, what),
            (_, Some(what)) => (&mut self.services, what),
            _ => return Some(()),
        };
        match what {
            "s" => table.entries = words.next()?.parse().ok()?,
            " buckets" => {
                table.buckets = words.next()?.parse().ok()?;
                let factor = value.split_once("lfactor ")?.1;
                table.load_factor = factor.trim_end_matches(')').parse().ok()?;
            }
            " buckets empty" => table.chains[0] = words.next()?.parse().ok()?,
            _ => {
                let Some(length) = what.strip_prefix(" buckets len-") else { return Some(()) };
                // A newer kernel may count longer ones apart.
                let length = length.parse::<usize>().ok()?.min(table.chains.len() - 1);
                let count: u32 = words.next()?.parse().ok()?;
                table.chains[length] = table.chains[length].saturating_add(count);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of Linux 7.2.
    const TEXT: &str = "Conns:\t5
Conn buckets:\t256 (8 bits, lfactor -1)
Conn buckets empty:\t253 (98%)
Conn buckets len-1:\t2 (66%)
Conn buckets len-7:\t1 (33%)
Services:\t1
Service buckets:\t16 (4 bits, lfactor 3)
Service buckets empty:\t15 (93%)
Service buckets len-1:\t1 (100%)
Stats thread slots:\t1 (max 16)
Stats chain max len:\t1
Stats thread ests:\t1200
";

    #[test]
    fn a_status_is_read() {
        let status = Status::parse(TEXT).unwrap();
        let chains = |few: [(usize, u32); 3]| {
            let mut chains = [0; 8];
            few.into_iter().for_each(|(length, count)| chains[length] = count);
            chains
        };
        let connections =
            HashTable { entries: 5, buckets: 256, load_factor: -1, chains: chains([(0, 253), (1, 2), (7, 1)]) };
        let services = HashTable { entries: 1, buckets: 16, load_factor: 3, chains: chains([(0, 15), (1, 1), (7, 0)]) };
        assert_eq!(status, Status { connections, services });
        assert_eq!((status.connections.longest(), status.services.longest()), (7, 1));
    }

    #[test]
    fn without_tables_and_from_a_newer_kernel_it_is_read_too() {
        let empty =
            "Conns:\t0\nConn buckets:\t0 (0 bits, lfactor 0)\nServices:\t0\nService buckets:\t0 (0 bits, lfactor 0)\n";
        assert_eq!(Status::parse(empty).unwrap(), Status::default());
        let newer = "Conn colour:\tred\nAnything\nConn buckets len-9:\t3 (1%)\n";
        assert_eq!(Status::parse(newer).unwrap().connections.chains[7], 3);
    }

    #[test]
    fn a_line_without_its_number_is_an_error() {
        for text in ["Conns:\tmany", "x\nConn buckets:\t1 (0 bits)", "Service buckets len-x:\t1", "Services:"] {
            let line = text.lines().count();
            assert!(matches!(Status::parse(text), Err(Error::Line { line: at, .. }) if at == line), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((Conn|Service)(s| buckets| buckets empty| buckets len-[0-9x]{1,3}):\t[0-9-]{0,11}( \\([a-z0-9 -]{0,20}\\))?\n){0,9}.{0,50}") {
            let _ = Status::parse(&text);
        }
    }
}
