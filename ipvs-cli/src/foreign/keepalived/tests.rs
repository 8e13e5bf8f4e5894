use super::super::{Files, Format, Surroundings, read};
use ipvs::desired::{Problem, Source};
use ipvs_text::ipvsadm::value::NoNames;
use std::io;
use std::path::{Path, PathBuf};

/// Files in memory.
#[derive(Debug)]
struct InMemory(&'static [(&'static str, &'static str)]);

impl Files for InMemory {
    fn matching(&self, directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let wanted = directory.join(pattern);
        Ok(self.0.iter().map(|(name, _)| PathBuf::from(name)).filter(|path| *path == wanted).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = self.0.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn with(files: &InMemory, config_id: &str, text: &str) -> Result<String, String> {
    let surroundings = Surroundings { path: Path::new("k.conf"), files, names: &mut NoNames, config_id };
    let lines = |problems: Vec<Problem>| problems.iter().map(|problem| format!("{problem}\n")).collect::<String>();
    let read = read(Format::Keepalived, &Source::new("k.conf", text), surroundings).map_err(lines)?;
    let notes = read.notes.iter().map(|note| format!("# {note}\n"));
    Ok(read.desired.commands.iter().map(|located| format!("{}\n", located.command)).chain(notes).collect())
}

fn commands(text: &str) -> Result<String, String> {
    with(&InMemory(&[]), "main", text)
}

#[test]
fn parameters_sequences_lists_and_conditions() {
    let text = "$P=10.0\n$N=3\n$RS= \\\nreal_server ${P}.0.${N} 80 { \\\n  weight ${N} \\\n}\n\
        @main virtual_server ${P}.0.1 $N {\n@other virtual_server 10.9.9.9 80 {\n protocol TCP # TCP\n lb_algo rr!x\n\
        $RS\n$N=4\n$RS\n~SEQ(N, 5, 6) $RS\n@^main $RS\n}\n\
        virtual_server_group G {\n ~LST({A, B}, {1,2}, {3,4}) ~SEQx(C, 9, 10) 10.${A}.${B}.${C} 8\n}\n";
    let written = commands(text).unwrap_err();
    assert!(written.starts_with("k.conf:18: a group's line must be"), "10.1.2.a is no address: {written}");
    let written = commands(&text.replace("SEQx", "SEQ")).unwrap();
    let expected = "-A -t 10.0.0.1:3 -s rr\n\
        -a -t 10.0.0.1:3 -r 10.0.0.3:80 -m -w 3\n\
        -a -t 10.0.0.1:3 -r 10.0.0.4:80 -m -w 4\n\
        -a -t 10.0.0.1:3 -r 10.0.0.5:80 -m -w 5\n\
        -a -t 10.0.0.1:3 -r 10.0.0.6:80 -m -w 6\n";
    assert_eq!(written, expected);
}

#[test]
fn included_files_are_read_where_they_stand() {
    let files = InMemory(&[
        ("conf.d/rs.conf", "real_server 10.0.0.3 80 {\n weight 2\n}\ninclude more.conf\n"),
        ("conf.d/more.conf", "real_server 10.0.0.4 80 {\n}\n"),
        ("loop.conf", "include loop2.conf\n"),
        ("loop2.conf", "include loop.conf\n"),
    ]);
    let text = "virtual_server 10.0.0.1 80 {\n protocol TCP\n include conf.d/{rs,none}.conf\n}\n";
    let expected = "-A -t 10.0.0.1:80 -s wlc\n\
        -a -t 10.0.0.1:80 -r 10.0.0.3:80 -m -w 2\n\
        -a -t 10.0.0.1:80 -r 10.0.0.4:80 -m -w 1\n\
        # k.conf:3: include conf.d/none.conf: no such file, so keepalived reads nothing here\n";
    assert_eq!(with(&files, "", text).unwrap(), expected);
    let wrong = with(&files, "", "include loop.conf\n").unwrap_err();
    assert_eq!(wrong, "loop2.conf:1: include: loop.conf includes itself\n");
}

/// What keepalived itself misreads is refused where it stands.
#[test]
fn what_cannot_be_known_is_an_error_with_its_place() {
    let server = "virtual_server 10.0.0.1 80 {\n protocol TCP\n real_server 10.0.0.3 80 {\n }\n}\n";
    for (line, part) in [
        ("virtual_server 10.0.0.1 {\n}\n}\n", "closes nothing"),
        ("virtual_server 10.0.0.1 80\n", "'{' is missing"),
        ("virtual_server 10.0.0.1 80 {\n weight \"3\n}\n", "closing '\"'"),
        ("virtual_server 10.0.0.300 80 {\n}\n", "an IP address"),
        ("virtual_server 10.0.0.1 80 {\n nonsense {\n }\n}\n", "end the outer block"),
        ("virtual_server 10.0.0.1 ${PORT} {\n}\n", "'PORT' is not defined"),
        ("virtual_server 10.0.0.1 ${_RANDOM 1 9} {\n}\n", "random"),
        ("virtual_server 10.0.0.1 80 {\n", "missing at the end"),
        ("global_defs {\n nftables_ipvs\n}\n", "nftables_ipvs"),
        ("lb_algo \\\n rr\n", "continues only definitions"),
        ("$A=${A}x\nx ${A}\n", "too deeply"),
    ] {
        let wrong = commands(line).unwrap_err();
        assert!(wrong.contains(part) && wrong.starts_with("k.conf:"), "{line}: {wrong}");
    }
    let twice = commands(&server.repeat(2)).unwrap_err();
    assert!(twice.starts_with("k.conf:6: the service tcp 10.0.0.1:80 is there twice"), "{twice}");
}

#[test]
fn a_hostile_text_costs_little() {
    let bomb = "$A=${B}${B}\n$B=${C}${C}\n$C=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".to_owned();
    for text in [
        bomb + "~SEQ(N, 1, 9223372036854775807) ~SEQ(M, 1, 9223372036854775807) ${A}\n",
        "virtual_server_group G {\n ::/0 80\n}\nvirtual_server group G {\n real_server ::1 80 {\n }\n}\n".to_owned(),
        "a {\n".repeat(100_000),
        "virtual_server 10.0.0.1 80 {\n protocol T\0CP\n}\n".to_owned(),
        format!("include {}\n", "*/".repeat(4000)),
        "$A=\\\n x \\\n ${A} \\\n ${A}\n$A\n".to_owned(),
    ] {
        assert!(commands(&text).is_err(), "{}", &text[..text.len().min(60)]);
    }
}

#[test]
fn included_files_that_include_each_other_end() {
    let files =
        InMemory(&[("a", "include b\ninclude ./b\n"), ("b", "include a\ninclude ./a\n"), ("./b", "include a\n")]);
    let wrong = with(&files, "", "include a\n").unwrap_err();
    assert!(wrong.lines().next().is_some_and(|line| line.ends_with("includes itself")), "{wrong}");
}

#[test]
fn many_notes_are_counted() {
    const SERVICE: &str = "virtual_server fwmark 1 {\n real_server 10.0.0.2 {\n }\n}\n";
    let rules = commands(SERVICE).unwrap().lines().count();
    let missing = "include no-such\n".repeat(100_000);
    let notes = commands(&(SERVICE.to_owned() + &missing)).unwrap();
    assert_eq!(notes.lines().count(), rules + 1001);
    assert!(notes.ends_with(": 99000 more warnings are left out\n"));
    let unknown: String = (0..100_000).map(|number| format!("unknown{number}\n")).collect();
    assert_eq!(commands(&(SERVICE.to_owned() + &unknown)).unwrap().lines().count(), rules + 1001);
}

/// Applied, it would remove all services.
#[test]
fn a_configuration_without_services_is_an_error() {
    for text in ["", "# nothing\n", "vrrp_instance A {\n}\n", "include no-such\n", "virtual_server 10.0.0.1 80 {\n}\n"]
    {
        let wrong = commands(text).unwrap_err();
        assert!(wrong.starts_with("k.conf:1: there is no virtual server with real servers"), "{text}: {wrong}");
    }
    let reasons = commands("\ninclude no-such\n").unwrap_err();
    assert!(reasons.contains("\nk.conf:2: include no-such: no such file"), "{reasons}");
}

#[test]
fn line_ends_of_other_systems_and_other_encodings_are_read() {
    let text = "virtual_server 10.0.0.1 80 {\r\n protocol TCP\r\n real_server 10.0.0.3 80 {\r\n }\r\n}\r\n# \u{e9}\n";
    let expected = "-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.0.0.3:80 -m -w 1\n";
    assert_eq!(commands(text).unwrap(), expected);
}

/// What both keepalived 2.2.7 and 2.3.3 made of the same text in a guest.
#[test]
fn ports_persistence_and_families_are_those_of_keepalived() {
    let text = "virtual_server 10.0.1.1 {\n protocol TCP\n real_server 10.0.0.2 {\n }\n real_server 10.0.0.3 80 {\n }\n}\n\
        virtual_server 10.0.1.2 80 {\n protocol TCP\n lvs_method DR\n real_server 10.0.0.2 8080 {\n }\n real_server 10.0.0.3 {\n }\n}\n\
        virtual_server 10.0.1.3 80 {\n protocol TCP\n real_server 10.0.0.2 {\n }\n real_server 10.0.0.3 8080 {\n }\n}\n\
        virtual_server 10.0.1.7 80 { protocol TCP\n lb_algo rr lb_kind DR\n real_server 10.0.0.2 80 { weight 3 inhibit_on_failure }\n \
        real_server 10.0.0.4 80 {}\n real_server 10.0.0.5 80 {\n } real_server 10.0.0.6 80 {\n }\n}\n\
        virtual_server 10.0.1.11 80 {\n protocol TCP\n persistence_granularity 255.255.255.0\n real_server 10.0.0.2 80 {\n }\n}\n\
        virtual_server_group G7 {\n 10.0.7.1 80\n 10.0.7.2\n}\nvirtual_server group G7 {\n protocol TCP\n persistence_timeout 7\n \
        real_server 10.0.0.3 {\n }\n}\n\
        virtual_server fwmark 7 {\n real_server 10.0.0.2 80 {\n }\n real_server 10.0.0.3 {\n }\n}\n\
        virtual_server fwmark 8 {\n real_server 2001:db8::1 80 {\n }\n}\n\
        virtual_server fwmark 24 {\n lvs_method TUN\n ip_family inet6\n real_server 10.0.0.2 80 {\n }\n}\n\
        virtual_server fwmark 25 {\n lvs_method TUN\n real_server 10.0.0.2 80 {\n }\n real_server 2001:db8::2 80 {\n }\n}\n\
        virtual_server fwmark 27 {\n ops\n real_server 10.0.0.2 80 {\n }\n real_server 2001:db8::2 80 {\n }\n}\n";
    let expected = "\
        -A -t 10.0.1.1:0 -s wlc -p 360\n\
        -a -t 10.0.1.1:0 -r 10.0.0.2:0 -m -w 1\n\
        -a -t 10.0.1.1:0 -r 10.0.0.3:80 -m -w 1\n\
        -A -t 10.0.1.2:80 -s wlc\n\
        -a -t 10.0.1.2:80 -r 10.0.0.2:80 -g -w 1\n\
        -a -t 10.0.1.2:80 -r 10.0.0.3:80 -g -w 1\n\
        -A -t 10.0.1.3:80 -s wlc\n\
        -a -t 10.0.1.3:80 -r 10.0.0.2:80 -m -w 1\n\
        -a -t 10.0.1.3:80 -r 10.0.0.3:8080 -m -w 1\n\
        -A -t 10.0.1.7:80 -s rr\n\
        -a -t 10.0.1.7:80 -r 10.0.0.2:80 -m -w 3\n\
        -a -t 10.0.1.7:80 -r 10.0.0.4:80 -m -w 1\n\
        -a -t 10.0.1.7:80 -r 10.0.0.5:80 -m -w 1\n\
        -a -t 10.0.1.7:80 -r 10.0.0.6:80 -m -w 1\n\
        -A -t 10.0.1.11:80 -s wlc -p 360 -M 255.255.255.0\n\
        -a -t 10.0.1.11:80 -r 10.0.0.2:80 -m -w 1\n\
        -A -t 10.0.7.1:80 -s wlc -p 7\n\
        -a -t 10.0.7.1:80 -r 10.0.0.3:0 -m -w 1\n\
        -A -t 10.0.7.2:0 -s wlc -p 7\n\
        -a -t 10.0.7.2:0 -r 10.0.0.3:0 -m -w 1\n\
        -A -f 7 -s wlc\n\
        -a -f 7 -r 10.0.0.2:80 -m -w 1\n\
        -a -f 7 -r 10.0.0.3:0 -m -w 1\n\
        -A -f 8 -6 -s wlc\n\
        -a -f 8 -6 -r [2001:db8::1]:80 -m -w 1\n\
        -A -f 24 -6 -s wlc\n\
        -a -f 24 -6 -r 10.0.0.2:0 -i -w 1 --tun-type ipip\n\
        -A -f 25 -s wlc\n\
        -a -f 25 -r 10.0.0.2:0 -i -w 1 --tun-type ipip\n\
        -a -f 25 -r [2001:db8::2]:0 -i -w 1 --tun-type ipip\n\
        -A -f 27 -s wlc -o\n\
        -a -f 27 -r 10.0.0.2:80 -m -w 1\n";
    let written = commands(text).unwrap();
    let rules: String = written.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(rules, expected);
}

/// What keepalived 2.2.7 makes of it.
#[test]
fn a_group_of_another_family_than_its_first_plain_server_is_ignored() {
    let text = "virtual_server_group G {\n 2001:db8:1::1 80\n}\nvirtual_server group G {\n lvs_method TUN\n \
        real_server 2001:db8::4 80 {\n }\n real_server 192.0.2.46 {\n  lvs_method NAT\n }\n}\n\
        virtual_server fwmark 1 {\n real_server 192.0.2.9 {\n }\n}\n";
    let written = commands(text).unwrap();
    assert!(!written.contains("2001:db8:1::1") && written.contains("so keepalived ignores it"), "{written}");
    let tunnels = commands(&text.replace("NAT", "TUN")).unwrap();
    assert!(tunnels.contains("-a -u [2001:db8:1::1]:80 -r 192.0.2.46:80 -i"), "{tunnels}");
}

/// What keepalived 2.2.7 makes of it: real servers say nothing of a mark beside addresses.
#[test]
fn a_mark_without_family_has_that_of_the_addresses_of_its_group() {
    let text = "virtual_server_group G {\n fwmark 9\n 2001:db8::10 80\n}\nvirtual_server group G {\n protocol TCP\n lvs_method TUN\n \
        real_server 10.0.0.2 80 {\n }\n real_server 2001:db8::2 80 {\n }\n}\n";
    let expected = "-A -f 9 -6 -s wlc\n\
        -a -f 9 -6 -r 10.0.0.2:0 -i -w 1 --tun-type ipip\n\
        -a -f 9 -6 -r [2001:db8::2]:0 -i -w 1 --tun-type ipip\n\
        -A -t [2001:db8::10]:80 -s wlc\n\
        -a -t [2001:db8::10]:80 -r 10.0.0.2:80 -i -w 1 --tun-type ipip\n\
        -a -t [2001:db8::10]:80 -r [2001:db8::2]:80 -i -w 1 --tun-type ipip\n";
    assert_eq!(commands(text).unwrap(), expected);
}

mod properties {
    use super::*;
    use crate::foreign::NoFiles;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Pieces of both languages, and arbitrary bytes.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::sample::select(vec![
                "virtual_server ",
                "real_server ",
                "10.0.0.1 80 ",
                "fwmark 7 ",
                "group G ",
                "{\n",
                "}\n",
                "\n",
                "$A=",
                "$A ",
                "${A}",
                "\\\n",
                "\"",
                "#",
                "!",
                "@a ",
                "@^a ",
                "~SEQ(A, 1, 3) ",
                "~LST({A,B}, {1,2}) ",
                "include *.conf\n",
                "virtual_server_group G {\n",
                "10.0.0.0/28 80\n",
                "weight 3\n",
                "lvs_method TUN type gue port 6080\n",
                "virtual = 192.0.2.1:80\n",
                "\treal = 192.0.2.1->192.0.2.9:80 masq 3\n",
                "\tprotocol = fwm\n",
                "virtual6 = 7\n",
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
            vec(any::<u8>(), 0..4),
        ];
        vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Any text is a state, which is written and has its places in it, or has problems.
        #[test]
        fn no_text_makes_a_reader_panic(text in text()) {
            for format in [Format::Keepalived, Format::Ldirectord] {
                let source = Source::new("text", text.clone());
                let surroundings =
                    Surroundings { path: Path::new("text"), files: &NoFiles, names: &mut NoNames, config_id: "a" };
                match read(format, &source, surroundings) {
                    Ok(read) => drop(read.desired.table(&ipvs::Table::new())),
                    Err(problems) => prop_assert!(!problems.is_empty()),
                }
            }
        }
    }
}
