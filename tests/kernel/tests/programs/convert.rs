//! `convert --from` predicts the table that keepalived and ldirectord make: the samples of their
//! packages, and generated configurations.
//!
//! Both tables are shown by the original: the predicted one after the original has restored the
//! rules that `convert` prints. Checks succeed, or are left out where that has the same effect.
//!
//! `CONVERT_FILES` says how many configurations are generated, with forty services each, and has
//! all samples read; without it, there is one for each program, on one kernel.

use crate::keepalived::{CONFIGURED, Daemon, LOG};
use crate::web::Web;
use kernel_tests::case::{Status, Transcript};
use kernel_tests::on_the_fastest_kernel;
use kernel_tests::system::{Installation, OBSERVER, Release, System};
use kernel_tests::target::Target;
use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

const DIRECTORY: &str = "/etc/keepalived/conf.d";
const LDIRECTORD: &str = "/etc/ha.d/ldirectord.cf";
const SERVICES: u32 = 40;
/// Each of ldirectord's commands is a Perl program's look at the whole table.
const FEW_SERVICES: u32 = 5;
const GLANCE: &str = "/proc/thread-self/net/ip_vs";
const NO_NUMBER: &str = "CONVERT_FILES must be a number";

/// The last service of each configuration: once it is there, all others are.
const LAST: &str = "\nvirtual_server 198.51.100.1 9 {\n\tprotocol TCP\n\treal_server 198.51.100.2 9 {\n\t}\n}\n";
const LAST_OF_LDIRECTORD: &str =
    "\nvirtual = 198.51.100.1:9\n\treal = 198.51.100.2:9 masq\n\tprotocol = tcp\n\tchecktype = on\n";

#[test]
fn keepalived_of_debian_12_makes_the_predicted_table() {
    of_keepalived(Release::Debian12);
}

#[test]
fn keepalived_of_debian_13_makes_the_predicted_table() {
    of_keepalived(Release::Debian13);
}

#[test]
fn ldirectord_makes_the_predicted_table() {
    if is_elsewhere() {
        return;
    }
    System::on(Installation::of(Target::IpvsCli), |system| {
        prepare(system);
        system.write("/etc/hosts", "127.0.0.1 localhost\n192.0.2.81 sql01\n192.0.2.82 sql02\n192.0.2.83 sql03\n");
        let mut compared = 0;
        for (number, sample) in samples_of_ldirectord(system).iter().enumerate().take(files().map_or(1, |_| usize::MAX))
        {
            compare_ldirectord(system, &format!("sample {number}"), &format!("{sample}{LAST_OF_LDIRECTORD}"));
            compared += 1;
        }
        let services = files().map_or(FEW_SERVICES, |_| SERVICES);
        for file in 0..files().unwrap_or(1) {
            let text = Dice::of(file).ldirectord(services) + LAST_OF_LDIRECTORD;
            compare_ldirectord(system, &format!("generated file {file}"), &text);
            compared += 1;
        }
        println!("ldirectord: {compared} configurations");
    });
}

/// Lines as people write them, and lines that are wrong.
const ODD_LINES: [&str; 34] = [
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\treal = 192.0.2.11:80 masq # comment\n",
    "virtual = 192.0.2.1:80 # comment\n\tchecktype = on\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on # comment\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n  checktype = on\n  real = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n     checktype = on\n      real = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\n\tchecktype = on\n\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n# comment\n\tchecktype = on\n\t# comment\n\treal = 192.0.2.11:80 masq\n",
    "VIRTUAL = 192.0.2.1:80\n\tchecktype = on\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tREAL = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\treal = 192.0.2.11:80 MASQ\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\treal = 192.0.2.11:80 masq 0\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\treal   =   192.0.2.11:80   masq   7   \n",
    "virtual = 192.0.2.1:80\r\n\tchecktype = on\r\n\treal = 192.0.2.11:80 masq\r\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\treal = 192.0.2.11 masq\n",
    "virtual = 192.0.2.1:http\n\tchecktype = on\n\treal = 192.0.2.11:http masq\n",
    "virtual = sql01:80\n\tchecktype = on\n\treal = sql02:80 gate\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\treal = 192.0.2.11:80 masq 3 \"a b\", \"c\"\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tscheduler = \"rr\"\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tscheduler = rr\n\tscheduler = lc\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tprotocol = TCP\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tpersistent = x\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tpersistent\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tnetmask = 255.255.255.0\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\treal = 192.0.2.12->192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n",
    "checktype = on\nvirtual = 192.0.2.1:80\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tautoreload = no\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tscheduler = rr # comment\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tscheduler = rr#comment\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tpersistent = 600 # comment\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\tprotocol = udp # comment\n\treal = 192.0.2.11:80 masq\n",
    "virtual = 192.0.2.1:80\n\tchecktype = on\n\treal = 192.0.2.11:80 masq 3 # 7\n",
    "virtual = 192.0.2.1:80#comment\n\tchecktype = on\n\treal = 192.0.2.11:80 masq#comment\n",
    "virtual = 192.0.2.1:80\n\tchecktype = off # comment\n\treal = 192.0.2.11:80 masq\n",
];

#[test]
fn ldirectord_reads_odd_lines_as_predicted() {
    if is_elsewhere() {
        return;
    }
    System::on(Installation::of(Target::IpvsCli), |system| {
        prepare(system);
        system.write("/etc/hosts", "127.0.0.1 localhost\n192.0.2.81 sql01\n192.0.2.82 sql02\n");
        let wrong: Vec<String> = ODD_LINES
            .iter()
            .filter_map(|text| {
                let compare = || compare_ldirectord(system, "odd", &format!("{text}{LAST_OF_LDIRECTORD}"));
                let error = std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare)).err()?;
                Some(error.downcast::<String>().map_or_else(|_| format!("{text:?}"), |text| *text))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

fn is_elsewhere() -> bool {
    let is_elsewhere = files().is_none() && !on_the_fastest_kernel();
    if is_elsewhere {
        println!("skipped: the prediction depends on no kernel");
    }
    is_elsewhere
}

fn files() -> Option<u32> {
    std::env::var("CONVERT_FILES").ok().map(|text| text.parse().expect(NO_NUMBER))
}

/// Every address is one of this machine, where checks of port 9 find somebody.
fn prepare(system: &System) {
    let outcome = system.sh("/bin/ip link set lo up && /bin/ip route add local 192.0.2.0/24 dev lo");
    assert_eq!(outcome.status, Status::Exit(0), "{}", String::from_utf8_lossy(&outcome.stderr));
}

fn of_keepalived(release: Release) {
    if is_elsewhere() {
        return;
    }
    System::of(release, Installation::of(Target::IpvsCli), |system| {
        prepare(system);
        let _checked = Web::serve("0.0.0.0:9", "alive");
        let mut compared = 0;
        for (name, text) in samples_of_keepalived() {
            if files().is_some() {
                compare_keepalived(
                    system,
                    &name,
                    &format!("{text}{LAST}"),
                    &format!("{}{LAST}", without_checks(&text)),
                );
                compared += 1;
            }
        }
        for file in 0..files().unwrap_or(1) {
            let text = Dice::of(file).keepalived(system) + LAST;
            compare_keepalived(system, &format!("generated file {file}"), &text, &text);
            compared += 1;
        }
        println!("keepalived of {release:?}: {compared} configurations");
    });
}

/// keepalived reads `checked`, in which checks that nobody would answer are left out.
fn compare_keepalived(system: &System, name: &str, text: &str, checked: &str) {
    system.write(CONFIGURED, text);
    let predicted =
        predicted(system, "keepalived", CONFIGURED).unwrap_or_else(|refused| panic!("{name}: {refused}{text}"));
    system.write(CONFIGURED, checked);
    empty(system);
    let daemon = Daemon::start_with(system, &["--config-id", "left"]);
    wait(system, name, &predicted, LOG, text);
    // It removes its services.
    drop(daemon);
}

fn compare_ldirectord(system: &System, name: &str, text: &str) {
    const LOG: &str = "/var/log/convert-ldirectord.log";
    system.write(LDIRECTORD, text);
    let predicted = predicted(system, "ldirectord", LDIRECTORD);
    empty(system);
    let log = File::create(LOG).unwrap_or_else(|error| panic!("{LOG}: {error}"));
    let mut command = system.command("/usr/sbin/ldirectord");
    command.args(["-d", LDIRECTORD, "start"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut ldirectord = Ldirectord(command.spawn().unwrap_or_else(|error| panic!("ldirectord: {error}")));
    match predicted {
        Ok(predicted) => wait(system, name, &predicted, LOG, text),
        // Its table changes with each check.
        Err(refused) if refused.contains("is the fallback, too") => {}
        // What `convert` refuses, ldirectord refuses.
        Err(refused) => {
            let status = system.wait_for(|| ldirectord.0.try_wait().unwrap_or_else(|error| panic!("{name}: {error}")));
            let is_refused = status.is_some_and(|status| !status.success()) && refused.contains(LDIRECTORD);
            assert!(is_refused, "{name}: {status:?}: {refused}{}{text}", system.read(LOG));
        }
    }
}

/// It would remove its services one by one.
struct Ldirectord(Child);

impl Drop for Ldirectord {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the original shows after it has restored what `convert` prints; or why it prints nothing.
fn predicted(system: &System, program: &str, file: &str) -> Result<String, String> {
    let mut command = system.command("/usr/sbin/ipvsadm");
    command.arg0("ipvs-cli").args(["convert", "--rules", "--config-id", "left", "--from", program, file]);
    let output = command.output().unwrap_or_else(|error| panic!("ipvs-cli: {error}"));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let rules = String::from_utf8_lossy(&output.stdout);
    let rules: String = rules.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    empty(system);
    let restored = system.run_with(OBSERVER, ["-R"], rules.as_bytes());
    assert_eq!(restored.transcript(), Transcript::default(), "{rules}");
    Ok(seen(system))
}

fn empty(system: &System) {
    for arguments in [["-C", ""].as_slice(), &["--set", "900", "120", "300"]] {
        let outcome = system.run(OBSERVER, arguments.iter().filter(|argument| !argument.is_empty()));
        assert_eq!(outcome.transcript(), Transcript::default());
    }
}

/// Rules and thresholds, each with its service, and timeouts. The kernel has an order of its own.
fn seen(system: &System) -> String {
    let rules = system.table();
    let thresholds = system.observe(&["-L", "-n", "--thresholds"]);
    let mut service = String::new();
    let mut lines: Vec<String> = rules.lines().map(str::to_owned).collect();
    for line in thresholds.lines().skip(3) {
        match line.strip_prefix("  -> ") {
            Some(destination) => {
                let words: Vec<_> = destination.split_whitespace().collect();
                lines.push(format!("{service} -> {}", words.join(" ")));
            }
            None => service = line.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        }
    }
    lines.sort();
    lines.push(system.observe(&["-L", "--timeout"]));
    lines.join("\n")
}

fn wait(system: &System, name: &str, predicted: &str, log: &str, text: &str) {
    // The original is a program, and seldom asked: when a glance at the table shows no change.
    let (mut glance, mut looks) = (None, 0u8);
    let found = system.wait_for(|| {
        let before = glance.replace(system.read(GLANCE));
        looks = looks.wrapping_add(1);
        let is_quiet = glance == before || looks.is_multiple_of(16);
        (is_quiet && seen(system) == predicted).then_some(())
    });
    if found.is_none() {
        let now = seen(system);
        let only = |these: &str, those: &str| {
            let those: Vec<_> = those.lines().collect();
            these.lines().filter(|line| !those.contains(line)).map(|line| format!("{line}\n")).collect::<String>()
        };
        let (missing, more) = (only(predicted, &now), only(&now, predicted));
        panic!("{name}: predicted only:\n{missing}there only:\n{more}{}\n{text}", system.read(log));
    }
}

/// Names and texts.
fn samples_of_keepalived() -> Vec<(String, String)> {
    let mut paths = vec!["/etc/keepalived/keepalived.conf.sample".to_owned()];
    let directory = "/usr/share/doc/keepalived/samples";
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory}: {error}")) {
        let path = entry.expect("it is a directory").path().to_string_lossy().into_owned();
        if path.contains("keepalived.conf.") {
            paths.push(path);
        }
    }
    paths.sort();
    assert!(paths.len() > 20, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).expect("it is a text"))).collect()
}

/// The sample, and each of its parts that is commented out, with checks that always succeed.
fn samples_of_ldirectord(system: &System) -> Vec<String> {
    let text = system.read("/usr/share/doc/ldirectord/examples/ldirectord.cf");
    assert!(text.contains("\nvirtual"), "{text}");
    let answered = |line: &str| {
        if line.trim_start().starts_with("checktype") { "\tchecktype=on\n".to_owned() } else { format!("{line}\n") }
    };
    let mut samples = vec![text.lines().map(answered).collect::<String>()];
    let mut is_sample = false;
    for line in text.lines() {
        let Some(line) = line.strip_prefix('#') else {
            is_sample = false;
            continue;
        };
        if line.starts_with("virtual") {
            samples.push(String::new());
            is_sample = true;
        }
        if let Some(sample) = samples.last_mut().filter(|_| is_sample) {
            *sample += &answered(line);
        }
    }
    assert!(samples.len() > 10, "{}", samples.len());
    samples
}

/// The text without blocks of checks.
fn without_checks(text: &str) -> String {
    let (mut rest, mut depth) = (String::new(), 0);
    for line in text.lines() {
        let code = line.split(['#', '!']).next().unwrap_or_default();
        let is_check =
            code.split_whitespace().next().is_some_and(|word| word.ends_with("_CHECK") || word.ends_with("_GET"));
        if depth == 0 && !is_check {
            rest += line;
            rest += "\n";
            continue;
        }
        depth += code.matches('{').count();
        depth -= code.matches('}').count();
    }
    rest
}

/// Makes configurations.
struct Dice {
    state: u64,
    file: u32,
}

impl Dice {
    fn of(file: u32) -> Self {
        Self { state: u64::from(file) + 1, file }
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as u32 % limit
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.below(many) == 0
    }

    fn pick<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// A configuration of keepalived with forty services, some of them in files that it includes.
    fn keepalived(&mut self, system: &System) -> String {
        let _ = fs::remove_dir_all(DIRECTORY);
        fs::create_dir(DIRECTORY).unwrap_or_else(|error| panic!("{DIRECTORY}: {error}"));
        let mut text = String::from(
            "# generated\nglobal_defs {\n\trouter_id test ! a comment\n\tscript_user root\n\tenable_script_security\n",
        );
        if self.one_in(4) {
            let _ =
                writeln!(text, "\tlvs_timeouts tcp {} tcpfin {} udp {}", 60 + self.below(900), 9 + self.below(90), 30);
        }
        text += "}\n$NET=192.0.2\n$PORT=8080\n$DELAY=delay_loop 6\n\
            $SERVERS= \\\n\treal_server ${NET}.200 ${PORT} { \\\n\t\tweight ${W} \\\n\t} \\\n\treal_server ${NET}.201 { \\\n\t}\n$W=5\n";
        for number in 0..SERVICES {
            let service = self.virtual_server(number);
            if self.one_in(5) {
                system.write(&format!("{DIRECTORY}/{number}.conf"), &service);
                let _ = writeln!(text, "{} conf.d/{number}.c*", self.pick(&["include", "include", "includem"]));
            } else {
                text += &service;
            }
        }
        text
    }

    fn virtual_server(&mut self, number: u32) -> String {
        let (mut text, file) = (String::new(), self.file);
        let is_v6 = self.one_in(4);
        let port = 1 + self.below(60_000);
        let head = match self.below(10) {
            0 | 1 => format!("fwmark {}", 1 + number + 1000 * file),
            2 => {
                let _ = writeln!(text, "virtual_server_group G{number} {{");
                for entry in 0..1 + self.below(3) {
                    let _ = match (is_v6, self.below(4)) {
                        (false, 0) => writeln!(text, "\t10.{number}.{entry}.1-{} {port}", 2 + self.below(5)),
                        (false, 1) => writeln!(text, "\t10.{number}.{entry}.1-10.{number}.{entry}.3 {port}"),
                        (false, _) => writeln!(text, "\t10.{number}.{entry}.1 {port} # entry"),
                        (true, 0) => writeln!(text, "\t2001:db8:{number}:{entry}::1-{:x} {port}", 2 + self.below(20)),
                        (true, _) => writeln!(text, "\t2001:db8:{number}:{entry}::1 {port}"),
                    };
                }
                if self.one_in(3) {
                    let _ = writeln!(text, "\tfwmark {}", 500 + number + 1000 * file);
                }
                text += "}\n";
                format!("group G{number}")
            }
            3 if is_v6 => format!("2001:db8::{number:x}"),
            3 => format!("10.{number}.9.1"),
            _ if is_v6 => format!("2001:db8::{number:x} {port}"),
            4 => format!("10.{number}.9.1 ${{PORT}}"),
            _ => format!("10.{number}.9.1 {port}"),
        };
        if self.one_in(8) {
            // Only one of the two is read.
            let (other, own) = (self.pick(&["@right", "@^left"]), self.pick(&["@left", "@^right"]));
            let _ = writeln!(text, "{other} virtual_server 10.255.{number}.1 80 {{\n{own} virtual_server {head} {{");
        } else {
            let _ = writeln!(text, "virtual_server {head} {{");
        }
        if self.one_in(3) {
            text += "\t$DELAY\n";
        }
        let is_udp = !head.starts_with("fwmark") && self.one_in(4);
        if is_udp {
            text += self.pick(&["\tprotocol UDP\n", "\tprotocol udp\n", ""]);
        } else {
            text += self.pick(&["\tprotocol TCP\n", "\tprotocol TCP # always\n", "\tprotocol SCTP\n"]);
        }
        let scheduler = self
            .pick(&["", "rr", "wrr", "lc", "wlc", "sh", "mh", "dh", "lblc", "lblcr", "sed", "nq", "fo", "ovf", "none"]);
        if !scheduler.is_empty() {
            let _ = writeln!(text, "\t{} {scheduler}", self.pick(&["lvs_sched", "lb_algo"]));
        }
        if self.one_in(4) {
            let _ = writeln!(
                text,
                "\t{}",
                self.pick(&["sh-port", "sh-fallback", "mh-port", "mh-fallback", "flag-1", "flag-2"])
            );
        }
        if !self.one_in(5) {
            let _ = writeln!(text, "\t{} {}", self.pick(&["lvs_method", "lb_kind"]), self.method());
        }
        let is_persistent = self.one_in(3);
        if is_persistent {
            text += &match self.below(3) {
                0 => "\tpersistence_timeout\n".to_owned(),
                _ => format!("\tpersistence_timeout {}\n", 1 + self.below(90_000)),
            };
            if self.one_in(3) && !head.starts_with("fwmark") && !head.starts_with("group") {
                text +=
                    if is_v6 { "\tpersistence_granularity 64\n" } else { "\tpersistence_granularity 255.255.255.0\n" };
            }
        }
        if self.one_in(8) {
            text += "\tops\n";
        }
        for line in [
            "alpha",
            "omega",
            "quorum 2",
            "hysteresis 1",
            "quorum_up /usr/bin/true",
            "virtualhost \"a b # c\"",
            "ha_suspend",
        ] {
            if self.one_in(8) {
                let _ = writeln!(text, "\t{line}");
            }
        }
        if self.one_in(6) {
            let _ = writeln!(text, "\tsorry_server {} 80", if is_v6 { "2001:db8::fff" } else { "192.0.2.250" });
        }
        if !is_v6 && self.one_in(6) {
            text += "\t$SERVERS\n";
        }
        if !is_v6 && self.one_in(8) {
            let last = 3 + self.below(4);
            let _ = writeln!(text, "\t~SEQ(N, 1, {last}) real_server 192.0.2.10${{N}} 80 {{ }}");
        }
        // A real server with a weight comes first: all of weight 0 would call the sorry server.
        for server in 0..1 + self.below(4) {
            self.real_server(&mut text, is_v6, server);
        }
        text += "}\n";
        text
    }

    fn real_server(&mut self, text: &mut String, is_v6: bool, server: u32) {
        let other_family = server > 0 && self.one_in(12);
        let address = match is_v6 != other_family {
            true => format!("2001:db8:f::{:x}", 1 + self.below(40)),
            false => format!("192.0.2.{}", 1 + self.below(60)),
        };
        let port = self.pick(&["", " 80", " 8080", " ${PORT}", " 443"]);
        let _ = writeln!(text, "\treal_server {address}{port} {{");
        let least = u32::from(server == 0);
        if self.one_in(2) {
            let _ = writeln!(text, "\t\tweight {}", least + self.below(300));
        }
        if self.one_in(6) {
            let _ = writeln!(text, "\t\tlvs_method {}", self.method());
        }
        if self.one_in(5) {
            let lower = self.below(100);
            let _ = writeln!(text, "\t\tuthreshold {}\n\t\tlthreshold {lower}", 100 + self.below(1000));
        }
        if self.one_in(6) {
            text.push_str("\t\tinhibit_on_failure\n");
        }
        match self.below(16) {
            0 => text.push_str("\t\tMISC_CHECK {\n\t\t\tmisc_path \"/usr/bin/true\"\n\t\t}\n"),
            1 => text.push_str("\t\tTCP_CHECK {\n\t\t\tconnect_ip 192.0.2.1\n\t\t\tconnect_port 9\n\t\t}\n"),
            2 => text.push_str("\t\tHTTP_GET {\n\t\t\turl {\n\t\t\t\tpath /\n\t\t\t\tstatus_code 200\n\t\t\t}\n\t\t\tconnect_ip 192.0.2.1\n\t\t\tconnect_port 9\n\t\t}\n"),
            _ => {}
        }
        text.push_str("\t}\n");
    }

    fn method(&mut self) -> String {
        match self.below(9) {
            0..=2 => "NAT".to_owned(),
            3 | 4 => "DR".to_owned(),
            5 => "TUN".to_owned(),
            6 => "TUN type ipip".to_owned(),
            7 => format!(
                "TUN type gue port {}{}",
                1 + self.below(65_000),
                self.pick(&["", " nocsum", " csum", " remcsum"])
            ),
            _ => format!("TUN type gre{}", self.pick(&["", " nocsum", " csum"])),
        }
    }

    /// A configuration of ldirectord.
    fn ldirectord(&mut self, services: u32) -> String {
        let mut text = String::from("# generated\nchecktimeout = 3\ncheckinterval=5\nautoreload = no\n");
        text += self.pick(&["quiescent = no\n", "quiescent=yes\n", ""]);
        for number in 0..services {
            self.virtual_service(&mut text, number);
        }
        text
    }

    fn virtual_service(&mut self, text: &mut String, number: u32) {
        let (is_v6, is_mark) = (self.one_in(5), self.one_in(5));
        let indent = self.pick(&["\t", "    ", "\t\t"]);
        let (virtual_word, real_word) = if is_v6 { ("virtual6", "real6") } else { ("virtual", "real") };
        let port = 100 + self.below(60_000);
        let address = match (is_mark, is_v6) {
            (true, _) => format!("{}", 1 + number),
            (_, true) => format!("[2001:db8::{:x}]:{port}", 1 + number),
            (_, false) => format!("192.0.2.{}:{port}", 1 + number),
        };
        let equals = self.pick(&["=", " = "]);
        let _ = writeln!(text, "{virtual_word}{equals}{address}");
        let protocol = if is_mark { "fwm" } else { self.pick(&["tcp", "udp"]) };
        let mut lines = vec![format!("protocol{equals}{protocol}")];
        lines.push(
            self.pick(&[
                "checktype = on",
                "checktype=on",
                "checktype = external\ncheckcommand = /usr/bin/true",
                "checktype = on",
                "checktype = off",
            ])
            .to_owned(),
        );
        if !self.one_in(3) {
            lines.push(format!(
                "scheduler{equals}{}",
                self.pick(&["rr", "wrr", "lc", "wlc", "sh", "dh", "sed", "nq", "lblc", "lblcr", "mh"])
            ));
        }
        if self.one_in(3) {
            lines.push(format!("persistent{equals}{}", 1 + self.below(9000)));
            if self.one_in(2) {
                lines.push(if is_v6 { "netmask = 64".to_owned() } else { "netmask = 255.255.255.0".to_owned() });
            }
        }
        if protocol == "udp" && self.one_in(2) {
            lines.push(format!("ops = {}", self.pick(&["yes", "no"])));
        }
        if self.one_in(4) {
            lines.push(if is_v6 {
                "fallback6 = [::1]:80 gate".to_owned()
            } else {
                "fallback=127.0.0.1:80 gate".to_owned()
            });
        }
        for line in ["servicename = Web # one", "request = \"a.html\"", "receive=\"ok\"", "comment = x"] {
            if self.one_in(5) {
                lines.push(line.to_owned());
            }
        }
        for server in 0..1 + self.below(3) {
            let method = self.pick(&["masq", "gate", "ipip"]);
            let port = self.pick(&["", ":80", ":8080"]);
            let address = match is_v6 {
                true => format!("[2001:db8:f::{:x}]{}", 1 + server, if port.is_empty() { ":80" } else { port }),
                false if self.one_in(5) => {
                    format!("192.0.2.{}->192.0.2.{}{port}", 100 + 10 * server, 102 + 10 * server)
                }
                false => format!("192.0.2.{}{port}", 200 + server),
            };
            let weight = if self.one_in(2) { format!(" {}", 1 + self.below(99)) } else { String::new() };
            let thresholds = if self.one_in(4) { " \"a.html\", \"alive\" l:5 u:50" } else { "" };
            lines.push(format!("{real_word}{equals}{address} {method}{weight}{thresholds}"));
        }
        for line in lines.iter().flat_map(|lines| lines.lines()) {
            let _ = writeln!(text, "{indent}{line}");
        }
    }
}
