//! `conns`, over a table that Linux 6.1 wrote.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use ipvs::{Client, Table};
use ipvs_cli::env::Environment;
use ipvs_cli::io::Input;

use crate::director::{Director, done};

const TABLE: &str = include_str!("../../../ipvs-text/src/render/recorded/ip_vs_conn.txt");

/// The same without the template that has data of a hundred letters.
fn table() -> String {
    TABLE.lines().filter(|line| !line.contains("LLLL")).map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn shows(options: &str, expected: &str) {
    let line = format!("ipvs-cli conns --from - {options}");
    let said = Director::new().feed(line.trim_end(), &table());
    assert_eq!(said, done(0, expected, ""), "{options}");
}

#[test]
fn connections_and_templates_are_distinguished() {
    shows(
        "--vip 127.0.0.10 --vip 127.0.0.13",
        "\
CLIENT                SERVICE                    SERVER                STATE       EXPIRES
127.0.0.1             udp 127.0.0.10:5060        127.0.0.10:5060       NONE        59      template sip 12345@example.net
127.0.0.1:40000       sctp 127.0.0.10:2904       127.0.0.10:2904       INIT1       3
127.0.0.1:40004       udp 127.0.0.10:53          127.0.0.10:53         UDP         299
127.0.0.1:40001       tcp 127.0.0.10:80          127.0.0.10:80         ESTABLISHED 899
127.0.0.1             udp 127.0.0.10:53          127.0.0.10:53         NONE        3599    template
127.0.0.1:40008       udp 127.0.0.10:9000        127.0.0.10:9000       UDP         299
127.0.0.1:40006       udp 127.0.0.13:55          [2001:db8::11]:55     UDP         299
",
    );
    shows(
        "--service mark:4294967290 --service mark:4294967290:ipv6",
        "\
CLIENT                SERVICE                    SERVER                STATE       EXPIRES
127.0.0.1             mark 4294967290            127.0.0.10:0          NONE        59      template
::1                   mark 4294967290 ipv6       [::1]:0               NONE        59      template
",
    );
}

#[test]
fn each_filter_leaves_out_what_it_says() {
    for (options, count) in [
        ("", 18),
        ("--templates", 6),
        ("--no-templates", 12),
        ("--client 127.0.0.0/8", 10),
        ("--client ::1", 8),
        ("--client 127.0.0.1:40001", 1),
        ("--vip 127.0.0.10:53", 2),
        ("--vip 127.0.0.10:53 --no-templates", 1),
        ("--server [2001:db8::/32]:58", 1),
        ("--server 192.0.2.0/24", 3),
        ("--server 192.0.2.0/24 --client 127.0.0.1", 1),
        ("--state established,close", 3),
        ("--state UDP", 8),
        ("--protocol tcp", 3),
        ("--protocol tcp,132", 4),
        ("--expires-within 9", 3),
        ("--expires-after 899", 2),
        ("--expires-after 8 --expires-within 59", 4),
        ("--service udp:[::1]:54", 2),
    ] {
        shows(&format!("--count {options}"), &format!("{count}\n"));
    }
}

#[test]
fn a_state_that_no_kernel_has_is_refused_with_those_that_there_are() {
    let refused = Director::new().feed("ipvs-cli conns --from - --state UDP,FOO", &table());
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.starts_with("error: invalid value 'FOO' for '--state <STATE>'\n"), "{}", refused.stderr);
    assert!(refused.stderr.contains("[possible values: NONE, ESTABLISHED, SYN_SENT, "), "{}", refused.stderr);
}

#[test]
fn connections_are_counted_by_a_shared_field() {
    shows(
        "--by client",
        "CONNECTIONS  TEMPLATES  CLIENT\n          7          3  127.0.0.1\n          5          3  ::1\n         12          6  total of 2 groups\n",
    );
    shows(
        "--by state",
        "CONNECTIONS  TEMPLATES  STATE
          8          0  UDP
          0          6  NONE
          2          0  ESTABLISHED
          1          0  CLOSE
          1          0  INIT1
         12          6  total of 5 groups
",
    );
    shows(
        "--by server --limit 1 --protocol udp",
        "CONNECTIONS  TEMPLATES  SERVER\n          1          1  127.0.0.10:53\n          8          4  total of 9 groups\n",
    );
    shows(
        "--by protocol --json --templates",
        "{\"version\": 1, \"protocol\": \"udp\", \"connections\": 0, \"templates\": 4}\n{\"version\": 1, \"protocol\": \"mark\", \"connections\": 0, \"templates\": 2}\n",
    );
    shows("--json --count", "{\"version\": 1, \"connections\": 12, \"templates\": 6}\n");
}

#[test]
fn connections_are_counted_by_several_fields_at_once() {
    shows(
        "--by client,state --no-templates",
        "\
CONNECTIONS  TEMPLATES  CLIENT          STATE
          4          0  127.0.0.1       UDP
          4          0  ::1             UDP
          1          0  127.0.0.1       CLOSE
          1          0  127.0.0.1       ESTABLISHED
          1          0  127.0.0.1       INIT1
          1          0  ::1             ESTABLISHED
         12          0  total of 6 groups
",
    );
    shows(
        "--by state,client --sort client --reverse --limit 3 --no-templates",
        "\
CONNECTIONS  TEMPLATES  STATE       CLIENT
          1          0  ESTABLISHED ::1
          4          0  UDP         ::1
          1          0  INIT1       127.0.0.1
         12          0  total of 6 groups
",
    );
    shows(
        "--by protocol,client --json --state close",
        "{\"version\": 1, \"protocol\": \"tcp\", \"client\": \"127.0.0.1\", \"connections\": 1, \"templates\": 0}\n",
    );
    for (options, wrong) in [
        ("--by client,client", "--by has 'client' twice"),
        ("--by client --sort expires", "--sort must be one of the keys of --by, client; "),
        ("--by client,server --sort state", "--sort must be one of the keys of --by, client, server; "),
    ] {
        let refused = Director::new().feed(&format!("ipvs-cli conns --from - {options}"), &table());
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{options}");
        assert!(refused.stderr.contains(wrong), "{options}: {}", refused.stderr);
    }
}

#[test]
fn an_order_has_a_beginning_and_an_end() {
    let first = |options: &str| {
        let said = Director::new().feed(&format!("ipvs-cli conns --from - {options}"), &table());
        let expiries = said.stdout.lines().skip(1).map(|line| line[83..].split(' ').next().unwrap().parse().unwrap());
        expiries.collect::<Vec<u32>>()
    };
    assert_eq!(first("--sort expires --limit 4"), [3, 8, 9, 59]);
    assert_eq!(first("--sort expires --reverse --limit 3"), [2_678_399, 3599, 899]);
    assert!(first("--sort expires").is_sorted());
    assert_eq!(first("--sort expires").len(), 18);
    assert!(first("--limit 0").is_empty());
}

#[test]
fn json_has_an_object_on_each_line() {
    let said = Director::new().feed("ipvs-cli conns --json --from -", TABLE);
    let objects: Vec<serde_json::Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 19);
    let sip = objects.iter().find(|object| object["engine"] == "sip").unwrap();
    let expected = serde_json::json!({
        "version": 1, "client": "127.0.0.1", "service": "udp 127.0.0.10:5060", "server": "127.0.0.10:5060", "state": "NONE",
        "expires": 59, "template": true, "engine": "sip", "engine_data": "12345@example.net"
    });
    assert_eq!(*sip, expected);
    let tcp = objects.iter().find(|object| object["service"] == "tcp 127.0.0.11:80").unwrap();
    assert_eq!((&tcp["client"], &tcp["template"]), (&"127.0.0.1:40002".into(), &false.into()));
}

#[test]
fn unknown_entries_are_skipped_and_reported() {
    let mut director = Director::new();
    let said = director
        .feed("ipvs-cli conns --count --from -", "TCP x\nTCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 FIN 1\n");
    let complaint = "ipvs-cli: -: line 1 of the connection table has no client address: \"TCP x\"\n";
    assert_eq!(said, done(1, "1\n", complaint));
    let said = director.feed("ipvs-cli conns --count --from -", "huh\nhuh\nhuh\n");
    assert!(said.stderr.ends_with("\"huh\"; 2 more were not understood either\n"), "{}", said.stderr);
    // The file of this director's kernel is empty.
    assert_eq!(director.run("ipvs-cli conns --count"), done(0, "0\n", ""));
    let missing = director.run("ipvs-cli conns --from /no/such/file");
    assert_eq!(missing, done(1, "", "ipvs-cli: /no/such/file: No such file or directory (os error 2)\n"));
    for wrong in
        ["--client 1.2.3", "--service 1.2.3.4:80", "--count --by server", "--by server --sort state", "--limit x"]
    {
        assert_eq!(director.run(&format!("ipvs-cli conns {wrong}")).status, 2, "{wrong}");
    }
}

/// The bytes that were written when the table's end was read.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

struct Table10MB {
    line: Vec<u8>,
    left: usize,
    written_at_end: usize,
}

impl Read for Table10MB {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let lines = (buffer.len() / self.line.len()).min(self.left);
        buffer.chunks_exact_mut(self.line.len()).take(lines).for_each(|place| place.copy_from_slice(&self.line));
        self.left -= lines;
        if lines == 0 {
            self.written_at_end = WRITTEN.load(Ordering::Relaxed);
        }
        Ok(lines * self.line.len())
    }
}

impl Input for Table10MB {
    fn would_block(&self) -> bool {
        false
    }
}

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_is_kept_that_can_be_shown() {
    let line = b"TCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 ESTABLISHED     899\n".to_vec();
    let mut table = Table10MB { line, left: 150_000, written_at_end: 0 };
    let (mut stdout, mut stderr) = (Sink, Vec::new());
    let mut environment = Environment::new(&mut table, &mut stdout, &mut stderr);
    let mut kernel = ipvs_cli::director::Director::with(Client::fake(Table::new()));
    let argv = ["ipvs-cli", "conns", "--from", "-"].map(Into::into);
    assert_eq!(ipvs_cli::run(&argv, &mut environment, &mut kernel), 0);
    let left = WRITTEN.load(Ordering::Relaxed) - table.written_at_end;
    assert!(left < 256 << 10, "{left} bytes were held back until the end");
}
