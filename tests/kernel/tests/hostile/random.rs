//! Input that nobody typed: the same for the same seed, so that a failure can be repeated.

/// Words of which random command lines are made: correct ones, wrong ones, and the nearly correct.
///
/// Without what differs on purpose: `-S` (which forgets thresholds) and dashes between letters.
const WORDS: &[&str] = &[
    "-A",
    "-E",
    "-D",
    "-a",
    "-e",
    "-d",
    "-L",
    "-l",
    "-C",
    "-Z",
    "-R",
    "-t",
    "-u",
    "-f",
    "-r",
    "-s",
    "-p",
    "-M",
    "-w",
    "-x",
    "-y",
    "-g",
    "-i",
    "-m",
    "-n",
    "-X",
    "-6",
    "-o",
    "-b",
    "-Ln",
    "-At",
    "-q",
    "-",
    "--",
    "--list",
    "--sctp-service",
    "--set",
    "--scheduler",
    "--persistent",
    "--tun-type",
    "--tun-port",
    "--tun-csum",
    "--tun-nocsum",
    "--pe",
    "--nosort",
    "--sort",
    "--stats",
    "--rate",
    "--exact",
    "--thresholds",
    "--timeout",
    "--daemon",
    "--numeric=",
    "--bogus",
    "--mcast-group",
    "--add-service",
    "--weight=7",
    "192.0.2.1:80",
    "192.0.2.2",
    "192.0.2.11:80",
    "192.0.2.12",
    "[2001:db8::1]:80",
    "[2001:db8::11]:80",
    "2001:db8::1",
    "192.0.2.1:http",
    "192.0.2.999:80",
    ":80",
    "80",
    "0",
    "1",
    "-1",
    "7",
    "65536",
    "4294967296",
    "0x10",
    "010",
    "rr",
    "wlc",
    "sh",
    "mh",
    "none",
    "gue",
    "gre",
    "ipip",
    "sip",
    "sh-port",
    "flag-1,flag-2",
    "255.255.255.0",
    "64",
    "129",
    "é",
    "!#:+",
    "=",
    "ipvsadm",
    "#",
];

/// Beginnings of lines that lead deeper than any random word would.
const BEGINNINGS: &[&str] = &[
    "-A -t 192.0.2.1:80",
    "-A -f 1",
    "-A -u 192.0.2.1:53 -s rr",
    "-A -t [2001:db8::1]:80 -s sh",
    "-E -t 192.0.2.1:80",
    "-a -t 192.0.2.1:80 -r 192.0.2.11",
    "-a -f 1 -r 192.0.2.12",
    "-e -t 192.0.2.1:80 -r 192.0.2.11",
    "-D -f 1",
    "-L -n",
    "",
];

/// A generator (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % end
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Bytes of all values.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Lines that are nearly commands.
    pub(crate) fn script(&mut self) -> String {
        let mut script = String::new();
        for _line in 0..=self.below(6) {
            script.push_str(self.pick(BEGINNINGS));
            for _word in 0..self.below(5) {
                script.push(' ');
                script.push_str(self.pick(WORDS));
            }
            script.push('\n');
        }
        script
    }
}
