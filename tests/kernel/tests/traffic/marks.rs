//! Firewall marks, by what the kernel has: iptables as in the articles, or the filter of an
//! interface.

use std::process::Command;

use kernel_tests::network::Network;

/// Marks what goes to these TCP ports of the address or network, on the director.
pub(crate) fn mark(network: &Network, mark: u32, to: &str, ports: &[u16]) {
    let iptables = network.director.run(|| succeeds("iptables -t mangle -L -n"));
    let script: Vec<String> = if iptables {
        let rule =
            |port| format!("iptables -t mangle -A PREROUTING -d {to} -p tcp --dport {port} -j MARK --set-mark {mark}");
        ports.iter().map(rule).collect()
    } else {
        println!("no iptables on this kernel: tc marks the packets");
        let rule = |port| {
            format!(
                "tc filter add dev eth0 ingress protocol ip flower dst_ip {to} ip_proto tcp dst_port {port} \
                 action skbedit mark {mark}"
            )
        };
        // It is there already when there are other marks.
        let _ = network.director.run(|| succeeds("tc qdisc add dev eth0 clsact"));
        ports.iter().map(rule).collect()
    };
    for line in script {
        assert!(network.director.run(|| succeeds(&line)), "{line}");
    }
}

fn succeeds(line: &str) -> bool {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).output().is_ok_and(|output| output.status.success())
}
