//! `metrics`: names, labels and values. That it is OpenMetrics, a checker says:
//! `tests/kernel/tests/programs/metrics.rs`.

use std::collections::HashSet;
use std::fs;

use crate::director::{Director, SHOP, done};

/// Services that differ in one thing each, and in nothing else.
const TWINS: &str = "\
-A -t 192.0.2.1:80
-A -u 192.0.2.1:80
-A --sctp-service 192.0.2.1:80
-A -t 192.0.2.1:81
-A -t [2001:db8::1]:80
-a -t [2001:db8::1]:80 -r [2001:db8::11]:80
-A -f 80
-a -f 80 -r 192.0.2.11:0 -x 9
-A -f 80 -6
-a -f 80 -6 -r [2001:db8::11]:0
";

const CONNECTIONS: &str = include_str!("../../../ipvs-text/src/render/recorded/ip_vs_conn.txt");

fn series(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn every_series_is_there_once() {
    let mut director = Director::new();
    let odd = ipvs::Table::new().with_interface("a\"\\b".parse().unwrap());
    director.kernel = ipvs_cli::director::Director::with(ipvs::Client::fake(odd));
    director.feed("ipvs-cli apply --quiet -", TWINS);
    director.must("ipvsadm --start-daemon backup --mcast-interface a\"\\b --syncid 7");
    let said = director.run("ipvs-cli metrics --destinations");
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    let text = said.stdout;
    assert!(!text.contains("# EOF"), "a file is classic text: {text}");
    assert!(text.contains("# TYPE ipvs_service_connections_total counter\n"), "{text}");
    let names: Vec<_> = series(&text).into_iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{text}");
    // Of 7 services 8 series each, of 3 destinations 11.
    assert_eq!(names.iter().filter(|name| name.starts_with("ipvs_service_")).count(), 56);
    assert_eq!(names.iter().filter(|name| name.starts_with("ipvs_destination_")).count(), 33);
    for line in [
        "ipvs_services 7",
        "ipvs_timeout_seconds{kind=\"tcp_fin\"} 120",
        "ipvs_up 1",
        "ipvs_scrape_privileged 1",
        concat!("ipvs_cli_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "ipvs_sync_daemon_running{sync_role=\"master\"} 0",
        "ipvs_sync_daemon_running{sync_role=\"backup\"} 1",
        "ipvs_sync_daemon_info{sync_role=\"backup\",interface=\"a\\\"\\\\b\",sync_id=\"7\"} 1",
        "ipvs_service_info{virtual_service=\"sctp 192.0.2.1:80\",family=\"ipv4\",protocol=\"sctp\",\
         virtual_address=\"192.0.2.1\",virtual_port=\"80\",scheduler=\"wlc\"} 1",
        "ipvs_service_info{virtual_service=\"mark 80 ipv6\",family=\"ipv6\",protocol=\"mark\",mark=\"80\",\
         scheduler=\"wlc\"} 1",
        "ipvs_service_incoming_bytes_total{virtual_service=\"tcp [2001:db8::1]:80\"} 0",
        "ipvs_service_destinations{virtual_service=\"tcp [2001:db8::1]:80\"} 1",
        "ipvs_service_usable_destinations{virtual_service=\"tcp [2001:db8::1]:80\"} 1",
        "ipvs_service_usable_destinations{virtual_service=\"udp 192.0.2.1:80\"} 0",
        "ipvs_destination_weight{virtual_service=\"mark 80\",destination=\"192.0.2.11:0\"} 1",
        "ipvs_destination_upper_threshold{virtual_service=\"mark 80\",destination=\"192.0.2.11:0\"} 9",
        "ipvs_destination_connections_total{virtual_service=\"mark 80 ipv6\",destination=\"[2001:db8::11]:0\"} 0",
        "ipvs_destination_info{virtual_service=\"mark 80\",destination=\"192.0.2.11:0\",forwarding=\"direct-route\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn destinations_and_connections_are_written_only_on_request() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply --quiet -", SHOP);
    let text = director.run("ipvs-cli metrics").stdout;
    assert!(text.contains("ipvs_service_connections_total{virtual_service=\"mark 10\"} 0\n"), "{text}");
    assert!(text.contains("ipvs_service_usable_destinations{virtual_service=\"mark 10\"} "), "always: {text}");
    assert!(!text.contains("ipvs_destination") && !text.contains("ipvs_connections"), "{text}");
}

#[test]
fn connections_are_counted_by_state() {
    let mut director = Director::new();
    director.connections = director.file("ip_vs_conn", CONNECTIONS).into();
    let text = director.run("ipvs-cli metrics --connections").stdout;
    for line in [
        "ipvs_connections{protocol=\"tcp\",state=\"ESTABLISHED\"} 2",
        "ipvs_connections{protocol=\"tcp\",state=\"CLOSE\"} 1",
        "ipvs_connections{protocol=\"sctp\",state=\"INIT1\"} 1",
        "ipvs_connections{protocol=\"udp\",state=\"UDP\"} 8",
        "ipvs_templates{protocol=\"udp\"} 5",
        "ipvs_templates{protocol=\"mark\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn a_file_is_written_at_once() {
    let mut director = Director::new();
    let file = director.file("ipvs.prom", "old");
    assert_eq!(director.run(&format!("ipvs-cli metrics --output {file}")), done(0, "", ""));
    assert!(fs::read_to_string(&file).unwrap().contains("\nipvs_services 0\n"));
    let around = std::path::Path::new(&file).parent().unwrap();
    assert_eq!(fs::read_dir(around).unwrap().count(), 1, "no draft stays");
    let nowhere = director.run("ipvs-cli metrics --output /no/such/place/file");
    assert_eq!(nowhere, done(1, "", "ipvs-cli: /no/such/place/file: No such file or directory (os error 2)\n"));
    assert_eq!(director.run("ipvs-cli metrics --listen nowhere").status, 2);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let said = director.run(&format!("ipvs-cli metrics --listen {at}"));
    assert_eq!(said, done(1, "", &format!("ipvs-cli: {at}: Address already in use (os error 98)\n")));
}

/// The program runs as root, and the directory may be another user's, who lays links and FIFOs
/// there.
#[test]
fn only_a_regular_file_is_written_and_no_link_is_followed() {
    let mut director = Director::new();
    let target = director.file("target", "kept");
    let around = std::path::Path::new(&target).parent().unwrap().to_owned();
    for (name, made_by, kind) in [
        ("link", "ln -s target", "a symbolic link"),
        ("fifo", "mkfifo", "a FIFO"),
        ("directory", "mkdir", "a directory"),
        ("device", "ln -s /dev/null", "a symbolic link"),
    ] {
        let made =
            std::process::Command::new("sh").args(["-c", &format!("{made_by} {name}")]).current_dir(&around).status();
        assert!(made.unwrap().success(), "{made_by}");
        let file = around.join(name);
        let done = director.run(&format!("ipvs-cli metrics --output {}", file.display()));
        assert_eq!((done.status, &*done.stdout), (1, ""), "{name}");
        assert!(done.stderr.contains(&format!("it is {kind}, but must be a regular file")), "{}", done.stderr);
    }
    // What used to be the draft's name is another user's now.
    let draft = format!("file.{}.new", std::process::id());
    std::os::unix::fs::symlink("target", around.join(draft)).unwrap();
    let file = around.join("file");
    assert_eq!(director.run(&format!("ipvs-cli metrics --output {}", file.display())), done(0, "", ""));
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    assert!(fs::read_to_string(file).unwrap().contains("\nipvs_services 0\n"));
}

/// All words of a text that may be names of metrics.
fn names(text: &str) -> HashSet<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(|letter| !is_part(letter)).filter(|word| word.starts_with("ipvs_")).collect()
}

/// The fake director is nobody's namespace, so that names are refused before one is entered.
#[test]
fn only_metrics_takes_several_namespaces_and_forgets_none() {
    let mut director = Director::new();
    let refused = |message: &str| done(2, "", &format!("ipvs-cli: {message}\n"));
    let once = "--netns may be given once: only `metrics` reads several directors";
    assert_eq!(director.run("ipvs-cli show --netns a --netns b"), refused(once));
    assert_eq!(director.run("ipvs-cli --netns a metrics --netns=b"), refused("give each --netns after `metrics`"));
    let several = director.run("ipvs-cli metrics --netns ipvs-no-a --netns ipvs-no-b");
    assert_eq!((several.status, several.stdout.as_str()), (2, ""));
    assert!(several.stderr.contains("ipvs-no-a: ") && several.stderr.contains("; ipvs-no-b: "), "{}", several.stderr);
    assert_eq!(director.run("ipvs-cli metrics --netns ipvs-no-a").status, 2);
}

/// Those that come from `/proc`, and of several scrapes: `tests/kernel/tests/programs/metrics.rs`.
const NEEDS_A_KERNEL: [&str; 4] =
    ["ipvs_director_", "ipvs_change_seen_", "ipvs_connection_table_entries", "ipvs_connection_table_longest_chain"];

#[test]
fn documented_metrics_are_written() {
    let mut director = Director::new();
    director.connections = director.file("ip_vs_conn", CONNECTIONS).into();
    director.feed("ipvs-cli apply --quiet -", TWINS);
    director.must("ipvsadm --start-daemon master --mcast-interface lo");
    let text = director.run("ipvs-cli metrics --destinations --connections").stdout;
    let written: HashSet<_> = series(&text).into_iter().map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    for file in ["metrics.md", "metrics/grafana.json", "metrics/alerts.yaml"] {
        let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        let documented = fs::read_to_string(&path).unwrap();
        let mut unknown = names(&documented);
        unknown.retain(|name| !written.contains(name) && !NEEDS_A_KERNEL.iter().any(|start| name.starts_with(start)));
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
        if file.ends_with("json") {
            serde_json::from_str::<serde_json::Value>(&documented).unwrap();
        }
    }
    let documented = fs::read_to_string(format!("{}/../docs/metrics.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for name in written {
        let short = name.replace("ipvs_destination_", "…_").replace("ipvs_service_", "…_");
        let is_there = documented.contains(&format!("`{name}`")) || documented.contains(&format!("`{short}`"));
        assert!(is_there || name.starts_with("ipvs_destination_") && name.ends_with("_total"), "{name}");
    }
}
