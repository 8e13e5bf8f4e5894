//! Rules of iptables that take packets away from IPVS: read as `iptables-save` writes them, then
//! judged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use ipvs::{Family, Forwarding, Protocol, ServiceKey, Weight};
use ipvs_text::escape::ShellCommand;

use super::director::Director;
use super::machine::{Route, whole};
use crate::subcommands::findings::{Finding, Remedy};

/// What one program of iptables has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Firewall {
    /// The program that changes it: `iptables`, `ip6tables-legacy`.
    program: String,
    family: Family,
    tables: BTreeMap<String, Table>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    policies: BTreeMap<String, String>,
    /// The words of each rule after `-A`, which begin with its chain.
    rules: Vec<Vec<String>>,
}

/// The rules of both families, of each variant of iptables that is here.
pub(super) fn read() -> Vec<Firewall> {
    let mut all: Vec<Firewall> = Vec::new();
    for (family, program) in [(Family::V4, "iptables"), (Family::V6, "ip6tables")] {
        for variant in ["", "-legacy", "-nft"] {
            let program = format!("{program}{variant}");
            let mut save = Command::new(format!("{program}-save"));
            let output = save.stdin(Stdio::null()).stderr(Stdio::null()).output();
            let Some(output) = output.ok().filter(|output| output.status.success()) else { continue };
            let tables = parse(&String::from_utf8_lossy(&output.stdout));
            // The plain name is one of the variants.
            let is_known = all.iter().any(|other| other.family == family && other.tables == tables);
            if !tables.is_empty() && !is_known {
                all.push(Firewall { program, family, tables });
            }
        }
    }
    all
}

fn parse(text: &str) -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    let mut table: &mut Table = &mut Table::default();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = tables.entry(name.to_owned()).or_default();
        } else if let Some((chain, policy)) = line.strip_prefix(':').and_then(|rest| rest.split_once(' ')) {
            let policy = policy.split(' ').next().unwrap_or_default();
            table.policies.insert(chain.to_owned(), policy.to_owned());
        } else if let Some(rule) = line.strip_prefix("-A ") {
            table.rules.push(words(rule));
        }
    }
    tables
}

/// As `iptables-save` quotes them: double quotes, in which a backslash precedes what is special.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().extend(letters.next()),
            ' ' if !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The value after an option.
fn value<'r>(rule: &'r [String], option: &str) -> Option<&'r str> {
    let at = rule.iter().position(|word| word == option)?;
    rule.get(at + 1).map(String::as_str)
}

impl Firewall {
    fn rules<'f>(&'f self, table: &str, chain: &str) -> impl Iterator<Item = &'f [String]> {
        let rules = self.tables.get(table).into_iter().flat_map(|table| &table.rules);
        rules.map(Vec::as_slice).filter(move |rule| rule.first().is_some_and(|of| of == chain))
    }

    /// Whether nothing that is forwarded can pass.
    fn forwards_nothing(&self) -> bool {
        let policy = self.tables.get("filter").and_then(|table| table.policies.get("FORWARD"));
        for rule in self.rules("filter", "FORWARD") {
            match value(rule, "-j") {
                // Without conditions, it ends the chain.
                Some("DROP" | "REJECT") if rule.get(1).is_some_and(|word| word == "-j") => return true,
                Some("DROP" | "REJECT" | "LOG" | "NFLOG") | None => {}
                // What it accepts, or another chain does, is not judged.
                Some(_) => return false,
            }
        }
        policy.is_some_and(|policy| policy == "DROP")
    }

    /// The rule that leads packets for this service away from it before IPVS sees them, and whether
    /// all of its conditions are known.
    fn takes(&self, chain: &str, service: (Protocol, SocketAddr), depth: usize) -> Option<(&[String], bool)> {
        // Chains can't be a circle; this bounds what is not from the kernel.
        if depth > 16 {
            return None;
        }
        for rule in self.rules("nat", chain) {
            let Some(is_certain) = matches(rule, service) else { continue };
            let Some(target) = value(rule, "-j").or(value(rule, "-g")) else { continue };
            let taken = match target {
                "DNAT" | "REDIRECT" => Some((rule, is_certain)),
                "ACCEPT" | "RETURN" if is_certain => return None,
                other => self.takes(other, service, depth + 1).map(|(inner, also)| {
                    // The outer one is about the service if it names an address or a port.
                    let is_specific = ["-d", "--dport", "--dports"].iter().any(|option| value(rule, option).is_some());
                    (if is_specific { rule } else { inner }, is_certain && also)
                }),
            };
            if taken.is_some() {
                return taken;
            }
        }
        None
    }
}

/// Whether a rule matches the first packet to a service: `None` if it does not; otherwise whether
/// that is certain.
fn matches(rule: &[String], (protocol, at): (Protocol, SocketAddr)) -> Option<bool> {
    let mut is_certain = true;
    let mut options = rule.get(1..)?.iter().map(String::as_str);
    while let Some(option) = options.next() {
        let fits = match option {
            "-j" | "-g" => break,
            "-d" => network(options.next().unwrap_or_default()).is_some_and(|network| network.contains(at.ip())),
            "-p" => options.next().unwrap_or_default() == protocol.to_string(),
            "--dport" => {
                let text = options.next().unwrap_or_default();
                let (first, last) = text.split_once(':').unwrap_or((text, text));
                let [first, last] = [first, last].map(|text| text.parse::<u16>().ok());
                first.zip(last).is_some_and(|(first, last)| (first..=last).contains(&at.port()))
            }
            "--dports" => options.next().unwrap_or_default().split(',').any(|port| port.parse() == Ok(at.port())),
            // All that is for IPVS is local.
            "--dst-type" => options.next().unwrap_or_default() == "LOCAL",
            // What is excluded is not judged.
            "!" => {
                is_certain = false;
                options.next();
                options.next();
                true
            }
            "--comment" => {
                options.next();
                true
            }
            "-m" => {
                is_certain &= ["tcp", "udp", "sctp", "multiport", "comment", "addrtype"]
                    .contains(&options.next().unwrap_or_default());
                true
            }
            _ => {
                is_certain = false;
                true
            }
        };
        if !fits {
            return None;
        }
    }
    Some(is_certain)
}

fn network(text: &str) -> Option<fwmark::Network> {
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip.parse().ok()?, prefix.parse().ok()?),
        None => text.parse().map(|ip| (ip, whole(ip))).ok()?,
    };
    fwmark::Network::new(ip, prefix).ok()
}

pub(super) fn judge(director: &Director) -> Vec<Finding> {
    let mut found = Vec::new();
    for firewall in &director.firewalls {
        found.extend(forwarded(director, firewall));
        found.extend(redirected(director, firewall));
    }
    found
}

/// Replies of NAT are forwarded.
fn forwarded(director: &Director, firewall: &Firewall) -> Option<Finding> {
    let mut accept = Vec::new();
    for entry in director.table.services() {
        let ServiceKey::Address { protocol, .. } = entry.service().key() else { continue };
        for state in entry.destinations() {
            let at = state.destination.address;
            let is_meant = state.destination.forwarding == Forwarding::Masquerade
                && state.destination.weight != Weight::ZERO
                && Family::of(at.ip()) == firewall.family
                && *director.machine.route(at.ip(), 0) != Route::Local;
            if is_meant && at.port() != 0 {
                let (ip, port, protocol) = (at.ip().to_string(), at.port().to_string(), protocol.to_string());
                let words =
                    [&*firewall.program, "-I", "FORWARD", "-s", &ip, "-p", &protocol, "--sport", &port, "-j", "ACCEPT"];
                accept.push(ShellCommand::new(words));
            }
        }
    }
    let is_found = !accept.is_empty() && firewall.forwards_nothing();
    let what =
        format!("{} lets nothing be forwarded: no rule of FORWARD accepts, and the rest is dropped", firewall.program);
    let why = "replies of NAT are forwarded, so they do not reach the clients";
    is_found.then(|| Finding::problem("forward-policy", what, why).mended_by(Remedy::AcceptForwarded, accept))
}

/// NAT of another program comes before IPVS.
fn redirected(director: &Director, firewall: &Firewall) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for entry in director.table.services() {
        let ServiceKey::Address { protocol, at } = entry.service().key() else { continue };
        if Family::of(at.ip()) != firewall.family {
            continue;
        }
        let Some((rule, is_certain)) = firewall.takes("PREROUTING", (protocol, at), 0) else { continue };
        let delete = [&*firewall.program, "-t", "nat", "-D"].into_iter().chain(rule.iter().map(String::as_str));
        let delete = ShellCommand::new(delete);
        if found.iter().any(|known| known.mend.as_ref().is_some_and(|mend| mend.commands.contains(&delete))) {
            continue;
        }
        let what = format!("a rule of {} takes packets for {protocol} {at}: -A {}", firewall.program, rule.join(" "));
        found.push(if is_certain {
            let why =
                "addresses are translated before IPVS sees the packets, so new connections never reach the service";
            Finding::problem("nat-rule", what, why).mended_by(Remedy::DeleteNatRule, [delete])
        } else {
            let why =
                "addresses are translated before IPVS sees the packets; which ones the rule matches is not known here";
            Finding::hint("nat-rule", what, why)
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBE: &str = "\
# Generated by iptables-save
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment \"kubernetes \\\"service\\\" portals\" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j KUBE-SVC-DNS
-A KUBE-SERVICES -d 192.0.2.1/32 -p tcp -m comment --comment \"default/web\" -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SVC-DNS -j KUBE-SEP
-A KUBE-SVC-WEB -j KUBE-SEP
-A KUBE-SEP -p tcp -m tcp -j DNAT --to-destination 10.0.0.11:80
COMMIT
";

    fn firewall(text: &str) -> Firewall {
        Firewall { program: "iptables".to_owned(), family: Family::V4, tables: parse(text) }
    }

    fn taken(text: &str, at: &str) -> Option<(String, bool)> {
        let firewall = firewall(text);
        firewall
            .takes("PREROUTING", (Protocol::TCP, at.parse().unwrap()), 0)
            .map(|(rule, certain)| (rule.join(" "), certain))
    }

    #[test]
    fn a_rule_that_leads_elsewhere_is_found_by_its_conditions() {
        let web =
            "KUBE-SERVICES -d 192.0.2.1/32 -p tcp -m comment --comment default/web -m tcp --dport 80 -j KUBE-SVC-WEB";
        assert_eq!(taken(KUBE, "192.0.2.1:80"), Some((web.to_owned(), true)));
        assert_eq!(taken(KUBE, "192.0.2.1:81"), None);
        assert_eq!(taken(KUBE, "192.0.2.2:80"), None);
        let with_set = KUBE.replace("-p tcp -m comment", "-m set --match-set x dst -m comment");
        assert!(!taken(&with_set, "192.0.2.1:80").unwrap().1);
        let docker = "*nat\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER -p tcp -m tcp --dport 8000:8080 -j DNAT --to-destination 172.17.0.2:80\n";
        assert!(taken(docker, "192.0.2.1:8080").unwrap().1);
        assert_eq!(taken(docker, "192.0.2.1:80"), None);
        let first = format!("*nat\n-A PREROUTING -d 192.0.2.0/24 -j ACCEPT\n{}", &KUBE[KUBE.find("-A PRE").unwrap()..]);
        assert_eq!(taken(&first, "192.0.2.1:80"), None);
    }

    #[test]
    fn words_are_as_they_were() {
        let rule = &firewall(KUBE).tables["nat"].rules[0];
        assert_eq!(rule[4], "kubernetes \"service\" portals");
    }

    #[test]
    fn only_a_chain_that_accepts_nothing_forwards_nothing() {
        let is_shut = |policy: &str, rules: &str| {
            firewall(&format!("*filter\n:FORWARD {policy} [0:0]\n{rules}")).forwards_nothing()
        };
        assert!(is_shut("DROP", ""));
        assert!(is_shut("DROP", "-A FORWARD -j LOG\n-A INPUT -j ACCEPT\n"));
        assert!(!is_shut("DROP", "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"));
        assert!(!is_shut("DROP", "-A FORWARD -j DOCKER-USER\n"));
        assert!(is_shut("ACCEPT", "-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n"));
        assert!(!is_shut("ACCEPT", "-A FORWARD -s 10.0.0.0/8 -j DROP\n"));
    }
}
