//! How often names are asked for: each once, however often it stands in a listing or a script. What they look like is in the cases.

use kernel_tests::case::Status;
use kernel_tests::target::Target;
use std::collections::BTreeMap;
use std::fs;

#[path = "shell/mod.rs"]
mod shell;

/// Writes down what is asked, then asks.
const WATCHED_GETENT: &str = r#"cat >/usr/local/sbin/getent <<'END'
#!/bin/sh
for word in "$@"; do echo "$word" >>/run/asked; done
exec /usr/bin/getent "$@"
END
chmod 755 /usr/local/sbin/getent"#;

/// The questions of one command, each with how often it was asked.
fn asked(line: &str) -> BTreeMap<String, usize> {
    shell::with(Target::Ours, |shell| {
        shell.type_in(WATCHED_GETENT, b"");
        let mut script = String::new();
        for port in 1..=150 {
            script +=
                &format!("-A -t www.example.net:{port}\n-a -t www.example.net:{port} -r app1.example.net:http -m\n");
            script +=
                &format!("-a -t www.example.net:{port} -r app2.example.net:http -m\n-A -t [2001:db8::1]:{port}\n");
        }
        fs::write("/run/script", script).expect("/run is the guest's own");
        shell.type_in("ipvsadm -R </run/script; : >/run/asked", b"");
        assert_eq!(
            shell.table()[0].stdout.split(|&byte| byte == b'\n').count(),
            4 * 150 + 1,
            "the script was carried out"
        );
        let outcome = shell.type_in(line, b"");
        assert_eq!((outcome.status, &*outcome.stderr), (Status::Exit(0), &b""[..]), "{line}");
        let mut count = BTreeMap::new();
        for word in fs::read_to_string("/run/asked").expect("something was asked").lines() {
            *count.entry(word.to_owned()).or_default() += 1;
        }
        count
    })
}

#[track_caller]
fn once(asked: &BTreeMap<String, usize>, names: &[&str]) {
    let of = |name: &&str| asked.get(*name).copied().unwrap_or(0);
    assert!(names.iter().map(of).all(|count| count == 1), "each of {names:?} once: {asked:?}");
    // The databases' names stand there as often as getent runs.
    let twice: Vec<_> =
        asked.iter().filter(|(word, count)| **count > 1 && !["hosts", "services"].contains(&&***word)).collect();
    assert!(twice.is_empty(), "asked for more than once: {twice:?}");
}

#[test]
fn in_a_listing() {
    for listing in ["ipvsadm -L", "ipvsadm -S", "ipvsadm -L --stats"] {
        once(&asked(listing), &["192.0.2.1", "192.0.2.11", "192.0.2.12", "2001:db8::1", "80/tcp", "150/tcp"]);
    }
}

#[test]
fn in_a_script() {
    once(
        &asked("ipvsadm -C; ipvsadm -R </run/script"),
        &["www.example.net", "app1.example.net", "app2.example.net", "http/tcp"],
    );
}

/// Answers, but has somebody add a service first.
const SLOW_GETENT: &str = r#"cat >/usr/local/sbin/getent <<'END'
#!/bin/sh
ipvsadm -A -f 9 2>/dev/null
exec /usr/bin/getent "$@"
END
chmod 755 /usr/local/sbin/getent"#;

#[test]
fn a_director_that_changes_while_names_are_looked_up_is_read_again() {
    shell::with(Target::Ours, |shell| {
        shell.type_in(SLOW_GETENT, b"");
        let outcome = shell.type_in("ipvs-cli apply --quiet -", b"-A -t www.example.net:80 -s rr\n");
        assert_eq!((outcome.status, &*outcome.stderr), (Status::Exit(0), &b""[..]));
        let saved = shell.type_in("ipvsadm -S -n", b"").stdout;
        assert_eq!(String::from_utf8_lossy(&saved), "-A -t 192.0.2.1:80 -s rr\n");
    });
}
