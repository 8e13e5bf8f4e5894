//! The iptables lines of three web articles on firewall marks, as people paste them, with the
//! mistakes of the web page or its author.

use fwmark::{Action, CommandLine, FirewallMark, MarkGroup, ParseError, Protocol, Reason, parse};

/// Reads a line that must stop at this word.
#[track_caller]
fn refused(line: &str, word: &str) -> ParseError {
    let error = parse(line).unwrap_err();
    assert_eq!(error.word(), word, "{error}");
    assert!(line[error.offset()..].starts_with(word), "{error}");
    error
}

#[test]
fn the_articles_lines_are_read_and_printed_as_they_are() {
    for line in [
        "iptables -t mangle -A PREROUTING -d 172.16.2.100 -p tcp --dport 80 -j MARK --set-mark 6",
        "iptables -t mangle -A PREROUTING -d 172.16.4.1 -p tcp --dport 80 -j MARK --set-mark 10",
        "iptables -t mangle -A PREROUTING -d 192.168.0.1 -p tcp --dport 443 -j MARK --set-mark 10",
    ] {
        assert_eq!(parse(line).unwrap().to_string(), line);
    }
}

/// One of the pages has no-break spaces throughout.
#[test]
fn a_no_break_space_is_named() {
    let line = "iptables\u{a0}-t\u{a0}mangle -A PREROUTING -d 172.16.2.100 -p tcp --dport 80 -j MARK --set-mark 6";
    let error = refused(line, "\u{a0}");
    assert_eq!((error.column(), error.reason()), (9, &Reason::FalseSpace));
    assert!(error.to_string().starts_with(r#"column 9, "\u{a0}": not a space for a shell"#), "{error}");
}

#[test]
fn a_value_may_follow_its_option_without_a_space() {
    let glued = "iptables -t mangle -A PREROUTING -d172.16.4.1 -p tcp --dport 443 -j MARK --set-mark 10  ";
    let spaced = "iptables -t mangle -A PREROUTING -d 172.16.4.1 -p tcp --dport 443 -j MARK --set-mark 10";
    assert_eq!(parse(glued), parse(spaced));
}

#[test]
fn http_and_https_of_one_shop_are_a_group() {
    let vip = "172.16.4.1".parse().unwrap();
    let group =
        MarkGroup::new(FirewallMark::new(10).unwrap()).with(vip, Protocol::Tcp, 80).with(vip, Protocol::Tcp, 443);
    let printed: Vec<String> =
        group.rules().map(|rule| CommandLine { action: Action::Append, rule }.to_string()).collect();
    assert_eq!(
        printed,
        ["iptables -t mangle -A PREROUTING -d 172.16.4.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 10"]
    );
}

/// The article's syntax line: each word that stops the reading is corrected, until the line can be
/// read.
#[test]
fn a_syntax_line_with_placeholders_is_corrected_word_by_word() {
    let mut line =
        r"iptables -t mangle -A PREROUTING-d $vip -p $protocol --dport $port -j MARK --set-mark \[1-99\]".to_owned();
    for (wrong, right) in [
        ("PREROUTING-d", "PREROUTING -d"),
        ("$vip", "172.16.4.1"),
        ("$protocol", "tcp"),
        ("$port", "80"),
        (r"\[1-99\]", "99"),
    ] {
        let at = refused(&line, wrong).offset();
        line.replace_range(at..at + wrong.len(), right);
    }
    assert_eq!(parse(&line).unwrap().rule.set().mark().get(), 99);
}

#[test]
fn the_misspelled_table_is_named() {
    let line = "iptables -t mangel -A PREROUTING -d 192.168.0.1 -p tcp --dport 443 -j MARK --set-mark 10";
    let error = refused(line, "mangel");
    assert_eq!(error.reason(), &Reason::Table);
    assert_eq!(error.to_string(), "column 13, \"mangel\": must be mangle, the table in which marks are set");
}

#[test]
fn a_remark_after_the_line_is_refused() {
    let line = "iptables -t mangle -A PREROUTING -d 192.168.0.1 -p tcp --dport 80 -j MARK --set-mark 10 (0-99范围)";
    assert_eq!(refused(line, "(0-99范围)").reason(), &Reason::Unknown);
}

#[test]
fn a_prompt_before_the_line_is_refused() {
    let line = "[root@LVS ~]# iptables -t mangle -A PREROUTING -d 172.16.4.1 -p tcp --dport 80 -j MARK --set-mark 10";
    assert_eq!(refused(line, "[root@LVS").reason(), &Reason::Program);
}

#[test]
fn other_commands_on_the_table_set_no_mark() {
    refused("iptables -t mangle -F", "-F");
    refused("iptables -t mangle -L -n", "-L");
}

#[test]
fn a_mark_above_the_articles_ninety_nine_is_fine() {
    let line = "iptables -t mangle -A PREROUTING -d 192.168.0.1 -j MARK --set-mark 4294967295";
    assert_eq!(parse(line).unwrap().rule.set().mark().get(), u32::MAX);
    refused(&line.replace("4294967295", "4294967296"), "4294967296");
    refused(&line.replace("4294967295", "0"), "0");
}
