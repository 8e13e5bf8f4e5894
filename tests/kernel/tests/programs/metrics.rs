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

/// Refuses what is no OpenMetrics; counts families and samples. What node_exporter takes, the older
/// parser must take, too.
const CHECK: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text
page = sys.stdin.read()
families = list(openmetrics(page))
assert sum(len(family.samples) for family in text(page)) == sum(len(family.samples) for family in families)
print(len(families), sum(len(family.samples) for family in families))
";

fn metrics(system: &System, options: &[&str]) -> Command {
    // By this name it has subcommands.
    let mut command = system.command("/usr/sbin/ipvsadm");
    command.arg0("ipvs-cli").arg("metrics").args(options);
    command
}

/// Families and samples.
fn checked(system: &System, page: &[u8]) -> String {
    let outcome = system.run_with("/usr/bin/python3", ["-c", CHECK], page);
    assert!(
        outcome.stderr.is_empty(),
        "{}\n{}",
        String::from_utf8_lossy(&outcome.stderr),
        String::from_utf8_lossy(page)
    );
    String::from_utf8(outcome.stdout).unwrap().trim_end().to_owned()
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
            output.stdout
        };
        assert_eq!(checked(system, &page(&[])), "13 9", "an empty director");
        let filled = system.run_with("/usr/sbin/ipvsadm", ["-R"], TABLE.as_bytes());
        assert!(filled.stderr.is_empty(), "{}", String::from_utf8_lossy(&filled.stderr));
        // 6 series for each of 7 services more, and 11 for each of 5 destinations.
        assert_eq!(checked(system, &page(&[])), "13 51");
        assert_eq!(checked(system, &page(&["--destinations", "--connections"])), "26 106");
        // The checker can refuse.
        let wrong = system.run_with("/usr/bin/python3", ["-c", CHECK], b"# TYPE a gauge\na 1\na 2\n# EOF\n");
        assert!(!wrong.stderr.is_empty());
    });
}

/// The exporter, ended when it is dropped.
struct Exporter {
    child: Child,
    at: SocketAddr,
}

impl Exporter {
    fn start(system: &System) -> Self {
        let mut command = metrics(system, &["--destinations", "--listen", "0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim_end().strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix("/metrics"));
        let at = at.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        Exporter { child, at }
    }

    fn scrape(&self) -> String {
        let mut connection = TcpStream::connect(self.at).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: director\r\n\r\n").unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        text
    }

    /// The most memory that it ever had in use, in kilobytes.
    fn peak(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned()
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
        let filled = system.run_with("/usr/sbin/ipvsadm", ["-R"], rules.as_bytes());
        assert!(filled.stderr.is_empty(), "{}", String::from_utf8_lossy(&filled.stderr));
        let exporter = Exporter::start(system);
        for _ in 0..3 {
            let begun = Instant::now();
            let answer = exporter.scrape();
            let took = begun.elapsed();
            let (head, page) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0;"),
                "{head}"
            );
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", page.len())), "{head}");
            assert_eq!(page.lines().filter(|line| line.starts_with("ipvs_destination_weight{")).count(), services * 5);
            let reading = page.lines().find_map(|line| line.strip_prefix("ipvs_scrape_duration_seconds ")).unwrap();
            let begun = Instant::now();
            let listing = system.run(OBSERVER, ["-L", "-n", "--stats"]);
            let baseline = begun.elapsed();
            assert!(listing.stderr.is_empty() && !listing.stdout.is_empty(), "{listing:?}");
            println!(
                "{services} services x 5: {} ms, of which {reading} s reading the kernel; {} bytes; peak {}; \
                 ipvsadm -L -n --stats: {} ms; ratio {:.2}",
                took.as_millis(),
                page.len(),
                exporter.peak(),
                baseline.as_millis(),
                took.as_secs_f64() / baseline.as_secs_f64()
            );
        }
    });
}
