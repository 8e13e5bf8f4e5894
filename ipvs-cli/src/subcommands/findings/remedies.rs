//! All ways to mend that findings may suggest, with what each costs a site that works.

macro_rules! remedies {
    ($($variant:ident $name:literal $cost:literal)*) => {
        /// A way to mend: docs/doctor.md lists them, tests/kernel/tests/doctor.rs carries out each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Remedy { $($variant),* }

        impl Remedy {
            #[cfg(test)]
            pub(crate) const ALL: &[Remedy] = &[$(Remedy::$variant),*];

            /// A word for programs, which stays.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Remedy::$variant => $name),* }
            }

            /// What it changes beside the fault; nothing if empty.
            pub(crate) fn cost(self) -> &'static str {
                match self { $(Remedy::$variant => $cost),* }
            }
        }
    };
}

remedies! {
    LoadIpvs "load-ipvs" ""
    AddAddress "add-address" "if another director has the address, both answer for it: take it there first"
    ForwardIpv4 "forward-ipv4" "this machine forwards packets between all of its networks, as far as its firewall lets them pass"
    ForwardIpv6 "forward-ipv6" "this machine forwards packets between all of its networks, as far as its firewall lets them pass"
    DeprecateAddress "deprecate-address" ""
    HashFallback "hash-fallback" ""
    LooseReversePath "loose-rp-filter" "packets with a forged sender are dropped only if no route leads to that sender"
    NoRedirects "no-redirects" "machines of this network are no longer shown shorter paths"
    ExpireNodest "expire-nodest" "connections to a deleted real server end at once, also while a table is cleared to be restored"
    ExpireQuiescent "expire-quiescent" "clients of a real server whose weight becomes 0 lose their session"
    TrackConnections "track-connections" "each connection takes an entry of connection tracking, each packet takes longer, and rules that match states may drop connections that are open now"
    AcceptForwarded "accept-forwarded" "the firewall lets pass what these real servers send from these ports"
    DeleteNatRule "delete-nat-rule" "new connections go to IPVS and no longer where the rule sent them; the program that made the rule may make it again"
    OnePacket "one-packet" "each packet is balanced by itself, so packets of one client go to several real servers; a flow that goes on keeps its real server until it pauses for the UDP timeout"
    RunEstimation "run-estimation" "the kernel adds up all counters every two seconds"
    StopEstimation "stop-estimation" "counters and rates of services and real servers stand still in all programs"
    LinkUp "link-up" ""
    BackupOnlyOff "backup-only-off" "if this director is also a real server of the other one, both may send packets to each other in a circle"
    SyncVersion "sync-version" "a backup before Linux 2.6.39 does not understand its messages"
    SyncAll "sync-all" "more messages, as connections are announced, too"
    StartDaemon "start-daemon" ""
    RestartDaemon "restart-daemon" "what is announced between the two commands is lost"
    AddToLoopback "add-to-loopback" ""
    MoveToLoopback "move-to-loopback" "this machine no longer answers ARP requests for the address"
    ArpIgnore "arp-ignore" "this machine answers ARP requests only for addresses of the interface at which they arrive"
    ArpAnnounce "arp-announce" ""
    GuePort "gue-port" ""
    TunnelDevice "tunnel-device" ""
    TunnelMode "tunnel-mode" ""
    TunnelReversePath "tunnel-rp-filter" "packets from the tunnel are accepted from any source; the other interfaces keep their check"
    GreChecksum "gre-checksum" "the tunnel refuses packets of the other kind, which another director may send"
    Route "route" "it is for this client only; for all of them, change the default route"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_documented_with_its_cost() {
        let page = include_str!("../../../../docs/doctor.md");
        for remedy in Remedy::ALL {
            let row = format!(
                "| `{}` | {} |",
                remedy.name(),
                if remedy.cost().is_empty() { "nothing" } else { remedy.cost() }
            );
            assert!(page.contains(&row), "docs/doctor.md lacks {row}");
        }
    }
}
