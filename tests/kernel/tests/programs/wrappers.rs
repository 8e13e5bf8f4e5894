//! `ipvsadm-save` and `ipvsadm-restore`: Debian's scripts with the original, Debian's scripts with
//! `ipvs-cli` as their ipvsadm, and `ipvs-cli` in place of all three.

use crate::protocol::{self, Protocol};
use kernel_tests::case::Transcript;
use kernel_tests::system::{Installation, System};
use kernel_tests::target::Target;

const IPVS_CLI: [Installation; 2] = [
    Installation { ipvsadm: Target::IpvsCli, wrappers: Target::Ipvsadm },
    Installation { ipvsadm: Target::IpvsCli, wrappers: Target::IpvsCli },
];

const TABLE: &str = "\
-A -t 192.0.2.1:80 -s wrr -p 300
-a -t 192.0.2.1:80 -r 192.0.2.11:8080 -m -w 3
-A -t 192.0.2.2:99 -s lc
-A -u 192.0.2.1:53 -s rr -o
-a -u 192.0.2.1:53 -r 192.0.2.12:53 -i -w 1
-A -t [2001:db8::1]:443 -s sh
-a -t [2001:db8::1]:443 -r [2001:db8::11]:443 -g -w 100
-A -f 9 -s mh
-a -f 9 -r 192.0.2.13:0 -g -w 7
";

/// What is saved by name is looked up here.
const HOSTS: &str = "192.0.2.1 shop.example.net shop\n192.0.2.11 rs1\n2001:db8::1 shop6\n";

#[test]
fn saving_with_every_option() {
    let options: [&[&str]; 13] = [
        &[],
        &["-n"],
        &["-h"],
        &["--help"],
        &["-x"],
        &["--numeric"],
        &["-"],
        &["--"],
        &["--", "-n"],
        &["word"],
        &["word", "-n"],
        &["-n", "-h"],
        &["-nn"],
    ];
    protocol::assert_same(&IPVS_CLI, |system| {
        let mut protocol = Protocol::default();
        prepare(system);
        for words in options {
            protocol.add(format!("ipvsadm-save {}", words.join(" ")), &system.run("/sbin/ipvsadm-save", words));
        }
        protocol.add_table("after all", system);
        protocol
    });
}

#[test]
fn restoring_what_there_may_be() {
    let long = format!("-A -f 1 -s rr\n# {}\n-A -f 2 -s rr\n", "x".repeat(70_000));
    let inputs = [
        TABLE,
        "",
        "\n",
        "#",
        "# nothing\n",
        "-A -f 1 -s rr",
        "-A -f 1\r\n-A -f 2\r\n",
        "  -A -f 1 -s wlc  \n\n\n",
        " # not at the beginning\n",
        "-A -f 1\n#-A -f 2\n-A -f 3\n",
        "-A -f 1\n-A -f 1\n-A -f 2\n",
        "-A -f 1\nnonsense\n-A -f 2\n",
        "-a -f 77 -r 192.0.2.11\n",
        "ipvsadm -A -f 8 -s rr\n",
        "-L -n\n-S -n\n-Z\n",
        "-C\n",
        "-A -t shop:http\n-a -t shop:http -r rs1:webcache -m\n",
        "-A -t nobody.example.net:80\n",
        &long,
    ];
    protocol::assert_same(&IPVS_CLI, |system| {
        let mut protocol = Protocol::default();
        prepare(system);
        for (number, input) in inputs.iter().enumerate() {
            let outcome = system.run_with("/sbin/ipvsadm-restore", [""; 0], input.as_bytes());
            protocol.add(format!("input {number}: {input:.100}"), &outcome);
            protocol.add_table(&format!("input {number}"), system);
        }
        protocol
    });
}

#[test]
fn restoring_with_options() {
    protocol::assert_same(&IPVS_CLI, |system| {
        let mut protocol = Protocol::default();
        prepare(system);
        let options: [&[&str]; 6] = [&["-n"], &["-h"], &["--help"], &["word"], &["-x", "-y"], &["--"]];
        for words in options {
            let outcome = system.run_with("/sbin/ipvsadm-restore", words, b"-A -f 3 -s rr\n");
            protocol.add(format!("ipvsadm-restore {}", words.join(" ")), &outcome);
            protocol.add_table(words[0], system);
        }
        protocol
    });
}

#[test]
fn in_scripts_as_people_have_them() {
    let lines = [
        "ipvsadm-save -n > /tmp/saved && ipvsadm -C && ipvsadm-restore < /tmp/saved",
        "ipvsadm-save | ipvsadm-restore",
        "{ sleep 1; ipvsadm-save -n; } | ipvsadm-restore",
        "ipvsadm-save -n | sed s/wrr/rr/ | ipvsadm-restore; ipvsadm -L -n",
        "ipvsadm-save -n >> /etc/ipvsadm.rules; cat /etc/ipvsadm.rules",
        "ipvsadm-restore </etc/ipvsadm.rules; echo $?; ipvsadm-save -n | wc -l",
        "cd /sbin && ./ipvsadm-save -n",
        "ln -s /sbin/ipvsadm-save /tmp/ipvsadm-save && PATH=/tmp:$PATH ipvsadm-save -h",
        "/sbin/ipvsadm-save -n >&-",
        "if ipvsadm-save --no-such 2>/dev/null; then echo saved; else echo $?; fi",
    ];
    protocol::assert_same(&IPVS_CLI, |system| {
        let mut protocol = Protocol::default();
        prepare(system);
        for line in lines {
            protocol.add(line, &system.sh(line));
            protocol.add_table(line, system);
        }
        protocol
    });
}

/// `ipvs-cli` saves what the scripts around the original lose, also when the scripts are Debian's.
#[test]
fn thresholds_are_saved_and_restored() {
    for installation in IPVS_CLI {
        System::on(installation, |system| {
            let with = "-A -f 9 -s lc\n-a -f 9 -r 192.0.2.13:0 -g -w 7 -x 100 -y 10\n";
            let run = |program, input: &str| system.run_with(program, ["-n"], input.as_bytes()).transcript();
            assert_eq!(run("/sbin/ipvsadm-restore", with), Transcript::default());
            let saved = run("/sbin/ipvsadm-save", "");
            assert_eq!(saved.stdout.join("\n") + "\n", with);
        });
    }
}

/// Names, and a table.
fn prepare(system: &System) {
    system.write("/etc/hosts", HOSTS);
    let filled = system.run_with("/sbin/ipvsadm", ["-R"], TABLE.as_bytes());
    assert_eq!(filled.transcript(), Transcript::default());
}
