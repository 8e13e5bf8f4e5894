//! Debian's Prometheus and node_exporter with the metrics of `ipvs-cli`, and with the scrape
//! configuration, alerts and dashboard of its package.
//!
//! The targets have the labels that a ServiceMonitor gives them, and some more. Two of three
//! directors have the same services.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use kernel_tests::on_the_fastest_kernel;
use kernel_tests::system::{Installation, System};
use kernel_tests::target::Target;
use serde_json::Value;

use super::metrics::{Exporter, Running, fill, metrics};

const ALERTS: &str = include_str!("../../../../docs/metrics/alerts.yaml");
const CONFIGURATION: &str = include_str!("../../../../docs/metrics/prometheus.yaml");
const DASHBOARD: &str = include_str!("../../../../docs/metrics/grafana.json");
const PAGE: &str = include_str!("../../../../docs/metrics.md");

const PROMTOOL: &str = "/usr/bin/promtool";

/// One service that has two usable servers, one that has none, one that has one of two left.
const RULES: &str = "\
-A -t 192.0.2.1:80 -s rr
-a -t 192.0.2.1:80 -r 127.0.0.1:80 -m
-a -t 192.0.2.1:80 -r 127.0.0.2:80 -m
-A -t 192.0.2.1:81 -s rr
-a -t 192.0.2.1:81 -r 127.0.0.1:81 -m -w 0
-A -t 192.0.2.2:82 -s rr
-a -t 192.0.2.2:82 -r 127.0.0.1:82 -m -w 0
-a -t 192.0.2.2:82 -r 127.0.0.2:82 -m
";

/// In minutes. Directors a and b change roles after an hour: a stops its daemon before it starts
/// the other one, b after that. c stops its only daemon, and d one of two. e has been a backup for
/// ever.
const TESTS: &str = r#"
rule_files: [alerts.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="a",sync_role="master"}'
        values: '1+0x59 0+0x300'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="a",sync_role="backup"}'
        values: '0+0x61 1+0x300'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="b",sync_role="master"}'
        values: '0+0x59 1+0x300'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="b",sync_role="backup"}'
        values: '1+0x61 0+0x300'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="c",netns="blue",sync_role="master"}'
        values: '1+0x59 0+0x300'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="c",netns="blue",sync_role="backup"}'
        values: '0+0x400'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="d",sync_role="master"}'
        values: '1+0x400'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="d",sync_role="backup"}'
        values: '1+0x59 0+0x300'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="e",sync_role="master"}'
        values: '0+0x400'
      - series: 'ipvs_sync_daemon_running{job="ipvs",instance="e",sync_role="backup"}'
        values: '1+0x400'
    alert_rule_test:
      - {eval_time: 59m, alertname: IpvsSyncDaemonStopped, exp_alerts: []}
      - eval_time: 70m
        alertname: IpvsSyncDaemonStopped
        exp_alerts: &stopped
          - exp_labels: {severity: warning, job: ipvs, instance: c, netns: blue, sync_role: master}
            exp_annotations:
              summary: "c: the master sync daemon has stopped"
              description: "Connections are no longer synchronized. One that was stopped on purpose is reported for an hour."
          - exp_labels: {severity: warning, job: ipvs, instance: d, sync_role: backup}
            exp_annotations:
              summary: "d: the backup sync daemon has stopped"
              description: "Connections are no longer synchronized. One that was stopped on purpose is reported for an hour."
      - {eval_time: 115m, alertname: IpvsSyncDaemonStopped, exp_alerts: *stopped}
      - {eval_time: 119m, alertname: IpvsSyncDaemonStopped, exp_alerts: *stopped}
      - {eval_time: 125m, alertname: IpvsSyncDaemonStopped, exp_alerts: []}
      - {eval_time: 130m, alertname: IpvsSyncDaemonStopped, exp_alerts: []}
      - {eval_time: 300m, alertname: IpvsSyncDaemonStopped, exp_alerts: []}
  - interval: 1m
    input_series:
      - series: 'ipvs_service_usable_destinations{job="ipvs",instance="a",virtual_service="mark 7",service="other"}'
        values: '2 1 1 1 1 1 1 1 0 0 0 0'
      - series: 'ipvs_service_destinations{job="ipvs",instance="a",virtual_service="mark 7",service="other"}'
        values: '2+0x20'
      - series: 'ipvs_destination_active_connections{instance="a",virtual_service="mark 7",destination="x"}'
        values: '7+0x20'
      - series: 'ipvs_destination_inactive_connections{instance="a",virtual_service="mark 7",destination="x"}'
        values: '3+0x20'
      - series: 'ipvs_destination_upper_threshold{instance="a",virtual_service="mark 7",destination="x"}'
        values: '10+0x20'
      - series: 'up{job="serviceMonitor/ipvs/0",instance="a"}'
        values: '0+0x20'
      - series: 'up{job="node",instance="a"}'
        values: '0+0x20'
      - series: 'ipvs_scrape_privileged{instance="a"}'
        values: '0+0x20'
      - series: 'ipvs_scrape_duration_seconds{instance="a"}'
        values: '6+0x20'
    alert_rule_test:
      - eval_time: 7m
        alertname: IpvsServiceHasOneServerLeft
        exp_alerts:
          - exp_labels: {severity: warning, job: ipvs, instance: a, virtual_service: mark 7, service: other}
            exp_annotations: {summary: "a: mark 7 has one server left"}
      - {eval_time: 8m, alertname: IpvsServiceHasNoServer, exp_alerts: []}
      - eval_time: 10m
        alertname: IpvsServiceHasNoServer
        exp_alerts:
          - exp_labels: {severity: critical, job: ipvs, instance: a, virtual_service: mark 7, service: other}
            exp_annotations: {summary: "a: mark 7 has no server that takes new connections"}
      - eval_time: 10m
        alertname: IpvsServerAtItsThreshold
        exp_alerts:
          - exp_labels: {severity: warning, instance: a, virtual_service: mark 7, destination: x}
            exp_annotations: {summary: "a: x of mark 7 is full"}
      - eval_time: 10m
        alertname: IpvsExporterDown
        exp_alerts:
          - exp_labels: {severity: warning, job: serviceMonitor/ipvs/0, instance: a}
            exp_annotations:
              summary: "a: the director's metrics can't be read"
              description: "The exporter is gone, or it answers 503 because the kernel can't be asked: its answer says why."
      - eval_time: 20m
        alertname: IpvsMetricsAreIncomplete
        exp_alerts:
          - exp_labels: {severity: info, instance: a}
            exp_annotations:
              summary: "a: the exporter lacks CAP_NET_ADMIN"
              description: "There are no counters of services, and no thresholds. Services may be missing up to Linux 6.12."
      - eval_time: 20m
        alertname: IpvsScrapesAreSlow
        exp_alerts:
          - exp_labels: {severity: info, instance: a}
            exp_annotations: {summary: "a: reading the kernel takes 6s"}
"#;

#[test]
fn promtool_takes_page_configuration_and_alerts() {
    if !on_the_fastest_kernel() {
        return println!("skipped: what is written depends on no kernel");
    }
    System::on(Installation::of(Target::IpvsCli), |system| {
        fill(system, RULES);
        for (path, text) in [("alerts.yaml", ALERTS), ("prometheus.yaml", CONFIGURATION), ("tests.yaml", TESTS)] {
            system.write(&format!("/tmp/{path}"), text);
        }
        let promtool = |words: &str, input: &[u8]| {
            let outcome = system.run_with(PROMTOOL, words.split(' '), input);
            let said = String::from_utf8_lossy(&[outcome.stdout, outcome.stderr].concat()).into_owned();
            assert_eq!(outcome.status, kernel_tests::case::Status::Exit(0), "promtool {words}: {said}");
        };
        promtool("check config /tmp/prometheus.yaml", b"");
        promtool("test rules /tmp/tests.yaml", b"");
        let page = metrics(system, &["--destinations", "--connections"]).output().unwrap().stdout;
        promtool("check metrics", &page);
    });
}

/// The labels and the value of each series.
type Vector = Vec<(BTreeMap<String, String>, f64)>;

/// A Prometheus, asked through its API.
struct Prometheus(#[expect(dead_code, reason = "it ends when this is dropped")] Running);

impl Prometheus {
    const AT: &str = "127.0.0.1:9090";

    fn start(system: &System) -> Self {
        let mut command = system.command("/usr/bin/prometheus");
        command.args(["--config.file=/tmp/prometheus.yaml", "--storage.tsdb.path=/tmp/tsdb"]);
        command.arg(format!("--web.listen-address={}", Self::AT));
        let prometheus = Prometheus(Running(command.stderr(Stdio::null()).spawn().unwrap()));
        system.wait_for(|| prometheus.get("/-/ready")).expect("Prometheus is ready");
        prometheus
    }

    /// The body of an answer with status 200.
    fn get(&self, path: &str) -> Option<String> {
        let mut connection = TcpStream::connect(Self::AT).ok()?;
        write!(connection, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").ok()?;
        let mut text = String::new();
        connection.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        (head.split(' ').nth(1) == Some("200")).then(|| body.to_owned())
    }

    fn api(&self, path: &str) -> Option<Value> {
        serde_json::from_str::<Value>(&self.get(&format!("/api/v1/{path}"))?).ok().map(|answer| answer["data"].clone())
    }

    /// What an expression is now. `None`: it is refused.
    fn ask(&self, expression: &str) -> Option<Vector> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.api(&format!("query?query={encoded}"))?;
        let series = answer["result"].as_array()?.iter().map(|series| {
            let labels = serde_json::from_value(series["metric"].clone()).unwrap();
            (labels, series["value"][1].as_str().unwrap().parse().unwrap())
        });
        Some(series.collect())
    }

    /// The same, when it is no longer empty.
    fn wait_for(&self, system: &System, expression: &str) -> Vector {
        let found = system.wait_for(|| self.ask(expression).filter(|found| !found.is_empty()));
        found.unwrap_or_else(|| panic!("{expression}: {:?}", self.ask(expression)))
    }

    /// Waits until Prometheus has read all targets once more.
    fn scrape_again(&self, system: &System) {
        let counts = || self.ask("sum by (instance) (count_over_time(up[1h]))").map(by_instance);
        let before = counts().unwrap();
        let is_more = |now: BTreeMap<String, f64>| now.iter().all(|(at, count)| *count >= before[at] + 2.0);
        system.wait_for(|| counts().filter(|now| is_more(now.clone()))).expect("another scrape");
    }
}

fn by_instance(found: Vector) -> BTreeMap<String, f64> {
    found.into_iter().map(|(labels, value)| (labels["instance"].clone(), value)).collect()
}

/// The expression of an alert.
fn alert(prometheus: &Prometheus, name: &str) -> String {
    let rules = prometheus.api("rules").unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    let rule = rules.iter().find(|rule| rule["name"] == name).unwrap_or_else(|| panic!("{name}"));
    rule["query"].as_str().unwrap().to_owned()
}

/// Two values of a label, in order.
fn values<'v>(found: &'v Vector, labels: [&str; 2]) -> BTreeSet<[&'v str; 2]> {
    found.iter().map(|(of, _)| labels.map(|label| of.get(label).map_or("", String::as_str))).collect()
}

#[test]
fn prometheus_and_node_exporter_take_types_joins_alerts_and_the_dashboard() {
    if !on_the_fastest_kernel() {
        return println!("skipped: what is written depends on no kernel");
    }
    System::on(Installation::of(Target::IpvsCli), play);
}

fn play(system: &System) {
    let sh = |line: &str| {
        let outcome = system.sh(line);
        assert!(outcome.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&outcome.stderr));
    };
    sh("ip link set lo up; ip netns add blue; ip netns add green");
    sh("ip -n blue link set lo up; ip -n green link set lo up");
    system.write("/tmp/rules", RULES);
    let daemon = |netns: &str, act: &str| sh(&format!("{netns} ipvsadm {act}"));
    const BLUE: &str = "ip netns exec blue";
    sh(&format!("ipvsadm -R </tmp/rules; {BLUE} ipvsadm -R </tmp/rules"));
    daemon("", "--start-daemon master --mcast-interface lo --syncid 7");
    daemon(BLUE, "--start-daemon backup --mcast-interface lo --syncid 7");
    let all = ["--destinations", "--connections", "--listen"];
    let _one = Exporter::start(metrics(system, &[&all[..], &["9875"]].concat()));
    let two = [&["--netns", "blue", "--netns", "green"], &all[..], &["9876"]].concat();
    let _two = Exporter::start(metrics(system, &two));
    sh("mkdir /tmp/textfile");
    let to_file = || {
        let written = metrics(system, &["--destinations", "--output", "/tmp/textfile/ipvs.prom"]).status();
        assert!(written.unwrap().success());
    };
    to_file();
    let mut node = system.command("/usr/bin/prometheus-node-exporter");
    node.args(["--collector.disable-defaults", "--collector.textfile"]);
    node.args(["--collector.textfile.directory=/tmp/textfile", "--web.listen-address=127.0.0.1:9100"]);
    let _node = Running(node.stderr(Stdio::null()).spawn().unwrap());

    let targets = "[\"192.0.2.1:9875\", \"192.0.2.2:9875\"]";
    assert!(CONFIGURATION.contains(targets));
    let labelled = "[\"127.0.0.1:9875\", \"127.0.0.1:9876\"]\n        labels: {service: monitoring, namespace: shop, \
        pod: ipvs-0, container: ipvs, endpoint: metrics, role: director, port: http, address: x}";
    let node = "  - job_name: node\n    static_configs:\n      - targets: [\"127.0.0.1:9100\"]\nrule_files:";
    let configuration = CONFIGURATION.replace(targets, labelled).replace("rule_files:", node);
    system.write(
        "/tmp/prometheus.yaml",
        &format!("global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{configuration}"),
    );
    system.write("/tmp/alerts.yaml", ALERTS);
    let prometheus = Prometheus::start(system);
    prometheus.wait_for(system, "count(up == 1) == 3");
    prometheus.scrape_again(system);

    // Types, by OpenMetrics and by node_exporter, which reads the classic text.
    let known = prometheus.api("metadata").unwrap();
    let types: BTreeMap<_, _> =
        known.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("ipvs_")).collect();
    for (name, said) in &types {
        let is_counter = ["connections", "packets", "bytes"]
            .iter()
            .any(|end| name.trim_end_matches("_total").ends_with(end))
            && ["director", "service", "destination"].iter().any(|of| name.starts_with(&format!("ipvs_{of}_")))
            && !["active", "inactive", "persistent"].iter().any(|kind| name.ends_with(&format!("{kind}_connections")));
        let expected = if is_counter { "counter" } else { "gauge" };
        assert!(said.as_array().unwrap().iter().all(|said| said["type"] == expected), "{name}: {said}");
    }
    for name in ["ipvs_service_connections", "ipvs_service_connections_total"] {
        assert!(types.contains_key(&name.to_owned()), "by OpenMetrics and by classic text: {name}");
    }

    // The join of the page, with the same services in several directors.
    let join = PAGE.split("```promql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let joined = prometheus.wait_for(system, join);
    assert_eq!(values(&joined, ["virtual_address", "x"]), BTreeSet::from([["192.0.2.1", ""], ["192.0.2.2", ""]]));

    // What is wrong with the services is pending, under the targets' labels.
    let pending = "ALERTS{alertname=~\"IpvsService.*\",job=\"ipvs\",service=\"monitoring\"}";
    let is_whole = |found: &Vector| found.len() >= 4;
    let found = system.wait_for(|| prometheus.ask(pending).filter(is_whole)).expect("four alerts");
    assert_eq!(
        values(&found, ["alertname", "virtual_service"]),
        BTreeSet::from([
            ["IpvsServiceHasNoServer", "tcp 192.0.2.1:81"],
            ["IpvsServiceHasOneServerLeft", "tcp 192.0.2.2:82"],
        ])
    );
    assert_eq!(
        values(&found, ["instance", "netns"]),
        BTreeSet::from([["127.0.0.1:9875", ""], ["127.0.0.1:9876", "blue"]])
    );
    let others = prometheus.ask("ALERTS{alertname!~\"IpvsService.*\"}").unwrap();
    assert_eq!(others, [], "nothing else is wrong");

    // Each panel has data.
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let expression = target["expr"].as_str().unwrap();
        let asked = ["$instance", "$service"].iter().fold(expression.to_owned(), |text, name| text.replace(name, ".*"));
        let asked = asked.replace("$__rate_interval", "10s");
        if asked.contains("ipvs_connections") || asked.contains("ipvs_templates") {
            assert!(prometheus.ask(&asked).is_some(), "there are no connections: {asked}");
        } else {
            prometheus.wait_for(system, &asked);
        }
    }

    // A failover is no fault, and a daemon that stops is one.
    let stopped = alert(&prometheus, "IpvsSyncDaemonStopped");
    let has_stopped = "ipvs_sync_daemon_running == 0 and max_over_time(ipvs_sync_daemon_running[1h]) == 1";
    daemon("", "--stop-daemon master");
    daemon("", "--start-daemon backup --mcast-interface lo --syncid 7");
    daemon(BLUE, "--stop-daemon backup");
    daemon(BLUE, "--start-daemon master --mcast-interface lo --syncid 7");
    to_file();
    prometheus.wait_for(system, &format!("count({has_stopped}) == 3"));
    prometheus.scrape_again(system);
    assert_eq!(prometheus.ask(&stopped).unwrap(), []);
    daemon(BLUE, "--stop-daemon master");
    let found = prometheus.wait_for(system, &stopped);
    assert_eq!(values(&found, ["netns", "sync_role"]), BTreeSet::from([["blue", "backup"], ["blue", "master"]]));

    // A namespace that goes, and comes again.
    sh("ip netns delete green");
    let found = prometheus.wait_for(system, "ALERTS{alertname=\"IpvsDirectorUnreadable\"}");
    assert_eq!(values(&found, ["netns", "service"]), BTreeSet::from([["green", "monitoring"]]));
    prometheus.scrape_again(system);
    assert!(!prometheus.ask("ipvs_services{netns=\"blue\"} == 3").unwrap().is_empty());
    sh("ip netns add green; ip -n green link set lo up; ip netns exec green ipvsadm -A -f 7");
    prometheus.wait_for(system, "ipvs_services{netns=\"green\"} == 1");

    // A file that is no longer written.
    sh("touch -d '1 hour ago' /tmp/textfile/ipvs.prom");
    prometheus.wait_for(system, "ALERTS{alertname=\"IpvsMetricsAreOld\",job=\"node\"}");
}
