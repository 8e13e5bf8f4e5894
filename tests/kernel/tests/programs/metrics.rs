//! `ipvs-cli metrics` as Prometheus sees it: checked by the reference parser of OpenMetrics, of
//! Debian's package python3-prometheus-client, and scraped over HTTP.
//!
//! Prints what a scrape costs, beside ipvsadm's listing of the same on a machine that is as busy;
//! the figures are in docs/performance.md. `METRICS_SERVICES` makes the table larger.

use kernel_tests::on_the_fastest_kernel;
use kernel_tests::system::{Installation, OBSERVER, System};
use kernel_tests::target::Target;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Services that differ in one thing each, with destinations of both families, and a daemon.
const TABLE: &str = "\
-A -t 192.0.2.1:80 -s rr
-a -t 192.0.2.1:80 -r 127.0.0.1:80 -m
-a -t 192.0.2.1:80 -r [::1]:80 -i
-A -u 192.0.2.1:80 -s rr -o
-A --sctp-service 192.0.2.1:80 -s rr
-A -t [2001:db8::1]:80 -s rr -p 60
-a -t [2001:db8::1]:80 -r [::1]:80 -m
-A -f 80 -s rr
-a -f 80 -r 127.0.0.1:0
-A -f 80 -6 -s rr
-a -f 80 -6 -r [::1]:0
-A -f 4294967295 -s rr
";

/// Refuses what is not in this format; counts families and samples.
const CHECK: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic
families = list({'openmetrics': openmetrics, 'classic': classic}[sys.argv[1]](sys.stdin.read()))
print(len(families), sum(len(family.samples) for family in families))
";

pub(crate) fn metrics(system: &System, options: &[&str]) -> Command {
    // By this name it has subcommands.
    let mut command = system.command("/usr/sbin/ipvsadm");
    command.arg0("ipvs-cli").arg("metrics").args(options);
    command
}

/// Families and samples.
fn checked(system: &System, format: &str, page: &str) -> String {
    let outcome = system.run_with("/usr/bin/python3", ["-c", CHECK, format], page.as_bytes());
    assert!(outcome.stderr.is_empty(), "{}\n{page}", String::from_utf8_lossy(&outcome.stderr));
    String::from_utf8(outcome.stdout).unwrap().trim_end().to_owned()
}

pub(crate) fn fill(system: &System, rules: &str) {
    let filled = system.run_with("/usr/sbin/ipvsadm", ["-R"], rules.as_bytes());
    assert!(filled.stderr.is_empty(), "{}", String::from_utf8_lossy(&filled.stderr));
}

#[test]
fn the_checker_takes_every_page() {
    if !on_the_fastest_kernel() {
        return println!("skipped: what is written depends on no kernel");
    }
    System::on(Installation::of(Target::IpvsCli), |system| {
        let page = |options: &[&str]| {
            let output = metrics(system, options).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(checked(system, "classic", &page(&[])), "25 19", "an empty director");
        fill(system, TABLE);
        // 8 series for each of 7 services more, and 11 for each of 5 destinations.
        assert_eq!(checked(system, "classic", &page(&[])), "25 75");
        let all = ["--destinations", "--connections"];
        assert_eq!(checked(system, "classic", &page(&all)), "38 130");
        let exporter = Exporter::start(metrics(system, &[&all[..], &["--listen", "0"]].concat()));
        let (head, scraped) = exporter.scrape(OPENMETRICS);
        assert!(head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
        assert_eq!(checked(system, "openmetrics", &scraped), "38 130");
        let (head, scraped) = exporter.scrape("");
        assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert_eq!(checked(system, "classic", &scraped), "38 130");
        // A change is seen by the next scrape, and not before.
        assert!(!scraped.contains("ipvs_change_seen_timestamp_seconds"));
        fill(system, "-E -f 80 -s wrr\n");
        let (_, scraped) = exporter.scrape("");
        assert!(scraped.contains("\nipvs_change_seen_timestamp_seconds "), "{scraped}");
        // The checkers can refuse.
        for format in ["classic", "openmetrics"] {
            let wrong = system.run_with("/usr/bin/python3", ["-c", CHECK, format], b"# TYPE a gauge\na{ 1\n");
            assert!(!wrong.stderr.is_empty());
        }
    });
}

/// As Prometheus asks.
pub(crate) const OPENMETRICS: &str =
    "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";

/// The exporter, ended when it is dropped.
pub(crate) struct Exporter {
    child: Child,
    at: SocketAddr,
}

impl Exporter {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim_end().strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix("/metrics"));
        let at = at.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        Exporter { child, at }
    }

    /// The head and the page.
    pub(crate) fn scrape(&self, headers: &str) -> (String, String) {
        let mut connection = TcpStream::connect(self.at).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(connection, "GET /metrics HTTP/1.1\r\nHost: director\r\n{headers}\r\n").unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        let (head, page) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        (format!("{head}\r\n"), page.to_owned())
    }

    fn memory(&self, of_what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(of_what)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn scrapes_are_answered() {
    let services = std::env::var("METRICS_SERVICES").map_or(100, |text| text.parse().unwrap());
    if !on_the_fastest_kernel() {
        return println!("skipped: what is written depends on no kernel");
    }
    System::on(Installation::of(Target::IpvsCli), |system| {
        let mut rules = String::new();
        for number in 0..services {
            let service = format!("-t 10.{}.{}.1:80", number / 250, number % 250);
            rules += &format!("-A {service} -s wrr\n");
            (1..=5).for_each(|host| rules += &format!("-a {service} -r 127.0.0.{host}:80 -m\n"));
        }
        fill(system, &rules);
        let exporter = Exporter::start(metrics(system, &["--destinations", "--listen", "0"]));
        for _ in 0..3 {
            let begun = Instant::now();
            let (head, page) = exporter.scrape(OPENMETRICS);
            let took = begun.elapsed();
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", page.len())), "{head}");
            assert_eq!(page.lines().filter(|line| line.starts_with("ipvs_destination_weight{")).count(), services * 5);
            let reading = page.lines().find_map(|line| line.strip_prefix("ipvs_scrape_duration_seconds ")).unwrap();
            let begun = Instant::now();
            let listing = system.run(OBSERVER, ["-L", "-n", "--stats"]);
            let baseline = begun.elapsed();
            assert!(listing.stderr.is_empty() && !listing.stdout.is_empty(), "{listing:?}");
            println!(
                "{services} services x 5: {} ms, of which {reading} s reading the kernel; {} bytes; peak {} kB; \
                 ipvsadm -L -n --stats: {} ms; ratio {:.2}",
                took.as_millis(),
                page.len(),
                exporter.memory("VmHWM"),
                baseline.as_millis(),
                took.as_secs_f64() / baseline.as_secs_f64()
            );
        }
    });
}

/// A thousand clients that ask, half of them nothing and half of them a byte at a time. Who is
/// disconnected comes again.
const SLOW: &str = "
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
at = ('127.0.0.1', int(sys.argv[1]))
request = b'GET /metrics HTTP/1.1\\r\\nX: ' + b'x' * 1000

def new():
    client = socket.create_connection(at)
    client.setblocking(False)
    return [client, 0]

clients = [new() for _ in range(1000)]
print('ready', flush=True)
while True:
    for number in range(0, len(clients), 2):
        client, sent = clients[number]
        try:
            clients[number][1] += client.send(request[sent:sent + 1])
        except OSError:
            client.close()
            clients[number] = new()
    time.sleep(0.5)
";

/// Another program, ended when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn slow_clients(system: &System, exporter: &Exporter) -> Running {
    let mut command = system.command("/usr/bin/python3");
    let mut child = command.args(["-c", SLOW, &exporter.at.port().to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Running(child)
}

#[test]
fn scrapes_are_answered_beside_a_thousand_slow_clients() {
    if !on_the_fastest_kernel() {
        return println!("skipped: what is served depends on no kernel");
    }
    System::on(Installation::of(Target::IpvsCli), |system| {
        fill(system, TABLE);
        let exporter = Exporter::start(metrics(system, &["--listen", "0"]));
        let _slow = slow_clients(system, &exporter);
        for _ in 0..50 {
            assert!(exporter.scrape("").1.contains("\nipvs_services 7\n"));
        }
    });
}

/// Becomes a user without any right, who may have one process and 16 open files, and runs a
/// program.
const POOR: &str = "
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.execv('/usr/sbin/ipvsadm', ['ipvs-cli', 'metrics', '--destinations', '--connections', '--listen', '0'])
";

#[test]
fn a_user_without_rights_and_processes_serves_what_proc_shows() {
    if !on_the_fastest_kernel() {
        return println!("skipped: what is served depends on no kernel");
    }
    System::on(Installation::of(Target::IpvsCli), |system| {
        fill(system, TABLE);
        let mut command = system.command("/usr/bin/python3");
        command.args(["-c", POOR]);
        let exporter = Exporter::start(command);
        let _slow = slow_clients(system, &exporter);
        let (_, page) = exporter.scrape(OPENMETRICS);
        for line in [
            "ipvs_scrape_privileged 0",
            "ipvs_director_connections_total 0",
            "ipvs_service_usable_destinations{virtual_service=\"tcp 192.0.2.1:80\"} 2",
            "ipvs_destination_weight{virtual_service=\"tcp 192.0.2.1:80\",destination=\"127.0.0.1:80\"} 1",
            "ipvs_service_info{virtual_service=\"mark 4294967295\",protocol=\"mark\",mark=\"4294967295\",scheduler=\"rr\"} 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        let is_absent = |name: &str| !page.lines().any(|line| line.starts_with(&format!("{name}{{")));
        assert!(is_absent("ipvs_service_connections_total") && is_absent("ipvs_destination_upper_threshold"), "{page}");
        // Two services of one mark look alike there, and are one series.
        checked(system, "openmetrics", &page);
    });
}

/// `METRICS_SCRAPES` makes it longer.
#[test]
fn scrapes_take_no_memory_for_good() {
    let scrapes: u32 = std::env::var("METRICS_SCRAPES").map_or(2_000, |text| text.parse().unwrap());
    if !on_the_fastest_kernel() {
        return println!("skipped: the program's memory depends on no kernel");
    }
    System::on(Installation::of(Target::IpvsCli), |system| {
        fill(system, TABLE);
        let exporter = Exporter::start(metrics(system, &["--destinations", "--connections", "--listen", "0"]));
        let scrape = |number| drop(exporter.scrape(if number % 2 == 0 { OPENMETRICS } else { "" }));
        (0..scrapes / 10).for_each(scrape);
        let before = exporter.memory("VmRSS");
        (0..scrapes).for_each(scrape);
        let after = exporter.memory("VmRSS");
        println!("figures: {scrapes} scrapes: {before} kB before, {after} kB after");
        assert!(after <= before + 64, "{before} kB grew to {after} kB");
    });
}
