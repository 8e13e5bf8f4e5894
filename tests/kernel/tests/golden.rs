//! The golden bytes of the codec's tests are what the real ipvsadm sends: recorded again on every
//! run.
//!
//! Needs `IPVSADM` and strace, which the lab provides.

use std::process::Command;

use kernel_tests::sandbox;

const GOLDEN: &str = include_str!("../../../ipvs/src/wire/golden.txt");

#[test]
fn ipvsadm_sends_the_golden_bytes() {
    sandbox::enter_network().unwrap();
    let ipvsadm = std::env::var("IPVSADM").expect("IPVSADM names the real ipvsadm; `cargo lab test` sets it");
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let (typed, hex) = line.split_once(" => ").unwrap();
        assert_eq!(sent(&ipvsadm, typed), hex, "ipvsadm {typed}");
    }
}

/// The last message that ipvsadm sends to the family, in hexadecimal, without its netlink header.
fn sent(ipvsadm: &str, arguments: &str) -> String {
    let output = Command::new("strace")
        .args(["-xx", "-s", "4000", "-e", "trace=sendmsg", ipvsadm])
        .args(arguments.split(' '))
        .output()
        .expect("strace");
    let trace = String::from_utf8_lossy(&output.stderr);
    let call = trace.lines().rfind(|line| line.starts_with("sendmsg") && !line.contains("=nlctrl")).unwrap_or_default();
    let bytes = call.split_once("}, \"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(bytes, _)| bytes);
    bytes.replace("\\x", "")
}
