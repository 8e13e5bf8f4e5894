//! `report` of a real director: no address and no name of it is left in an anonymous one, in no
//! form in which the kernel writes them, and what belonged together still does.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::World;

const RULES: &str = "\
-A -t 10.77.1.80:80 -s rr
-a -t 10.77.1.80:80 -r 10.77.1.11:80 -g
-A -t [2001:db8:77::80]:80 -s rr
-a -t [2001:db8:77::80]:80 -r [2001:db8:77::11]:80 -g
";

const HARDWARE: &str = "52:54:00:77:12:34";

/// In each form in which some file has them.
const ORIGINALS: [&str; 10] = [
    "10.77.1.",
    "198.51.100.",
    "2001:db8:77",
    "20010db80077",
    "2001:0db8:0077",
    "0A4D010B",
    "0A4D0150",
    "FE014D0A",
    "006433C6",
    HARDWARE,
];

fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// All files below, with their texts.
fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![(path.clone(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned())],
        })
        .collect()
}

#[test]
fn an_anonymous_report_has_no_address_left_and_keeps_what_belongs_together() {
    let world = World::new();
    sh("ip link set lo up; ip link add eth7 type veth peer name eth8
        ip link set eth7 up; ip link set eth8 up
        ip address add 10.77.1.1/24 dev eth7; ip address add 2001:db8:77::1/64 dev eth7 nodad
        ip route add 198.51.100.0/24 via 10.77.1.254
        ip link add \"$(printf 'a\\033]0;x')\" type dummy");
    sh(&format!(
        "ip neighbour add 10.77.1.11 lladdr {HARDWARE} dev eth7
        ip neighbour add 2001:db8:77::11 lladdr {HARDWARE} dev eth7"
    ));
    assert_eq!(world.run("apply --quiet -", RULES).status, 0);
    let place = format!("/tmp/report.{}", std::process::id());
    sh(&format!("rm -rf {place}; mkdir {place}"));
    for option in ["", "--anonymize"] {
        let done = world.run(format!("report {option} {place}/report.tar").replace("  ", " ").as_str(), "");
        assert_eq!((done.status, done.stderr.as_str()), (0, ""));
        sh(&format!("cd {place}; rm -rf ipvs-report; tar -xf report.tar"));
        let all = files(&Path::new(&place).join("ipvs-report"));
        let text = |name: &str| {
            let found = all.iter().find(|(path, _)| path.ends_with(name));
            &found.unwrap_or_else(|| panic!("{name}: {all:?}")).1
        };
        let words = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let after = |name: &str, word: &str, next: &str| {
            let words = words(text(name));
            let at = words.iter().position(|found| found == word).unwrap_or_else(|| panic!("{name}: {word}"));
            let next =
                words[at..].iter().position(|found| found == next).unwrap_or_else(|| panic!("{name}: {word} {next}"));
            words[at + next + 1].clone()
        };
        // The real server of IPv4: in the rules, as a neighbour with its hardware address, and in
        // hexadecimal.
        let server: Ipv4Addr = after("show.rules", "-a", "-r").split(':').next().unwrap().parse().unwrap();
        assert_eq!(text("proc/net/ip_vs").matches(&format!("{:08X}:0050", server.to_bits())).count(), 1);
        let hardware = after("ip-neighbour", &server.to_string(), "lladdr");
        let arp = text("proc/net/arp").lines().find(|line| words(line).contains(&server.to_string())).unwrap();
        assert!(words(arp).contains(&hardware), "{arp}");
        // Its network is that of the director's interface, and a route goes through it.
        let network = server.to_bits() >> 8;
        let route = format!("{:08X}\t", (network << 8).to_be());
        assert!(text("proc/net/route").contains(&route), "{route}: {}", text("proc/net/route"));
        let gateway: Ipv4Addr = after("ip-route", "via", "via").parse().unwrap();
        assert_eq!(gateway.to_bits() >> 8, network);
        assert!(text("sysctl").contains("\nnet/ipv4/vs/conntrack = ") || text("sysctl").starts_with("net/ipv4/vs/"));
        assert!(!text("sysctl").contains("stable_secret"));
        // No name of an interface reaches the terminal of a reader as a command.
        assert!(text("ip-link").contains("a\\x1b]0;x"), "{}", text("ip-link"));
        assert!(all.iter().all(|(_, text)| !text.contains('\u{1b}')));
        // What must be gone is there where nothing is changed.
        for original in ORIGINALS {
            let found: Vec<_> = all.iter().filter(|(_, text)| text.contains(original)).map(|(path, _)| path).collect();
            assert_eq!(found.is_empty(), !option.is_empty(), "{original}: {found:?}");
        }
    }
    sh(&format!("rm -r {place}"));
}
