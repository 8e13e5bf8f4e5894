//! On a terminal, hints after an edit that has changed what was not asked; the command that they
//! name sets it back.

use crate::director::{Director, Done, done};

/// A director with a service and a destination of each kind.
fn director() -> Director {
    let mut director = Director::new();
    for line in [
        "-A -t 192.0.2.1:80 -s wrr -p 60 -M 255.255.255.0",
        "-a -t 192.0.2.1:80 -r 192.0.2.11 -m -w 3 -x 90 -y 40",
        "-a -t 192.0.2.1:80 -r 192.0.2.12 -i -w 3 --tun-type gue --tun-port 6080 --tun-csum",
        "-A -u 192.0.2.1:53 -s rr -o",
        "-A -f 10 -6 -s mh -p 60 -b mh-port",
    ] {
        director.must(&format!("ipvsadm {line}"));
    }
    director
}

#[test]
fn the_command_of_a_hint_sets_back_what_the_edit_changed() {
    for (edit, mentions, asked) in [
        (
            "-e -t 192.0.2.1:80 -r 192.0.2.11 -w 5",
            &[
                "forwarding was masquerade, is direct-route",
                "the upper threshold was 90, is 0",
                "the lower threshold was 40",
            ][..],
            ("-r 192.0.2.11:80 -m -w 3", "-r 192.0.2.11:80 -m -w 5"),
        ),
        (
            "-e -t 192.0.2.1:80 -r 192.0.2.12 -w 5",
            &["forwarding was tunnel gue:6080+checksum, is direct-route"],
            ("-i -w 3", "-i -w 5"),
        ),
        (
            "-e -t 192.0.2.1:80 -r 192.0.2.12 -w 5 -i",
            &["the tunnel was tunnel gue:6080+checksum, is tunnel ipip"],
            ("-i -w 3", "-i -w 5"),
        ),
        ("-e -t 192.0.2.1:80 -r 192.0.2.11 -m -x 70 -y 40", &["the weight was 3, is 1"], ("-x 90", "-x 70")),
        (
            "-E -t 192.0.2.1:80 -s rr",
            &["persistence was 60 s, is none", "the netmask was 255.255.255.0"],
            ("-s wrr", "-s rr"),
        ),
        ("-E -t 192.0.2.1:80 -p 90", &["the scheduler was wrr, is wlc", "the netmask was"], ("-p 60 -M", "-p 90 -M")),
        ("-E -u 192.0.2.1:53 -s wrr", &["one-packet scheduling was on, is off"], ("-s rr -o", "-s wrr -o")),
        ("-E -f 10 -6 -s mh -p 90", &["the scheduler's flags were"], ("-p 60 -b", "-p 90 -b")),
    ] {
        let mut director = director();
        let expected = director.saved().replacen(asked.0, asked.1, 1);
        assert_ne!(expected, director.saved(), "{edit}");
        let Done { status, stdout, stderr } = director.answer(&format!("ipvsadm {edit}"), "");
        assert_eq!((status, stdout.as_str()), (0, ""), "{stderr}");
        assert!(stderr.starts_with("hint: not given, and so changed: "), "{stderr}");
        assert!(mentions.iter().all(|part| stderr.contains(&part.replace("flags were", "flags was"))), "{stderr}");
        let (_, command) = stderr.trim_end().split_once("sets it back: ").unwrap();
        assert_eq!(director.answer(command, ""), done(0, "", ""), "{command}: all of it was given");
        assert_eq!(director.saved(), expected, "{edit}, then {command}");
        // Into a pipe nothing more is said than by ipvsadm.
        director.must(&format!("ipvsadm {edit}"));
    }
}

#[test]
fn an_edit_that_changes_what_was_given_has_no_hint() {
    let mut director = director();
    for line in [
        "-e -t 192.0.2.1:80 -r 192.0.2.11 -g -w 3 -x 0 -y 0",
        "-e -t 192.0.2.1:80 -r 192.0.2.12 -i -w 9 --tun-type gre",
        "-E -t 192.0.2.1:80 -s rr -p 90 -M 255.255.255.0",
        "-a -t 192.0.2.1:80 -r 192.0.2.13:80",
        "-a -t 192.0.2.1:80 -r 192.0.2.14:8080 -m",
        "-A -t 192.0.2.3:80 -p 60 -M 255.255.0.0",
        "-A -t [2001:db8::1]:80 -p 60 -M 24",
    ] {
        assert_eq!(director.answer(&format!("ipvsadm {line}"), ""), done(0, "", ""), "{line}");
    }
}

#[test]
fn a_port_and_a_netmask_that_are_not_as_typed_are_reported() {
    let mut director = director();
    for (line, hint) in [
        (
            "-a -t 192.0.2.1:80 -r 192.0.2.13:8080 -g",
            "it is 192.0.2.13:80, not 192.0.2.13:8080: direct routing and tunnels keep the service's port; -m \
             (masquerading) can change it",
        ),
        (
            "-A -t 192.0.2.3:80 -p 60 -M 24",
            "the netmask is 0.0.0.24, which is not one of a network; for a prefix of 24 bits write -M 255.255.255.0",
        ),
        ("-A -t 192.0.2.4:80 -p 60 -M 255.0.255.0", "the netmask is 255.0.255.0, which is not one of a network"),
    ] {
        assert_eq!(director.answer(&format!("ipvsadm {line}"), ""), done(0, "", &format!("hint: {hint}\n")));
    }
}
