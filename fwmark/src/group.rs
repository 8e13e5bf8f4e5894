//! Several ports under one mark.

use std::net::IpAddr;

use ipvs::FirewallMark;

use crate::mark::SetMark;
use crate::network::Network;
use crate::ports::{PortRange, Ports};
use crate::protocol::Protocol;
use crate::rule::{MarkRule, Traffic};

/// Several addresses, protocols and ports under one mark, which make one service.
///
/// ```
/// use fwmark::{FirewallMark, MarkGroup, PortRange, Protocol};
///
/// // FTP: the control connection, and the data connections that a client opens in passive mode.
/// let vip = "192.0.2.1".parse()?;
/// let ftp = MarkGroup::new(FirewallMark::new(21)?)
///     .with(vip, Protocol::Tcp, 21)
///     .with(vip, Protocol::Tcp, PortRange::new(1024, 65535)?);
/// assert_eq!(ftp.rules().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkGroup {
    set: SetMark,
    /// In the order in which each address and protocol was first added.
    members: Vec<Members>,
}

/// All ports of an address and a protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Members {
    address: IpAddr,
    protocol: Protocol,
    ports: Vec<PortRange>,
}

impl MarkGroup {
    /// A group without members yet.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkGroup};
    /// assert_eq!(MarkGroup::new(FirewallMark::new(10)?).rules().count(), 0);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn new(set: impl Into<SetMark>) -> Self {
        MarkGroup { set: set.into(), members: Vec::new() }
    }

    /// Adds a port, or a range of ports, if it is not in the group yet.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkGroup, Protocol};
    /// let vip = "192.0.2.1".parse()?;
    /// let once = MarkGroup::new(FirewallMark::new(10)?).with(vip, Protocol::Tcp, 80);
    /// assert_eq!(once.clone().with(vip, Protocol::Tcp, 80), once);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with(mut self, address: IpAddr, protocol: Protocol, ports: impl Into<PortRange>) -> Self {
        let range = ports.into();
        match self.members.iter_mut().find(|members| members.address == address && members.protocol == protocol) {
            Some(members) if members.ports.contains(&range) => {}
            Some(members) => members.ports.push(range),
            None => self.members.push(Members { address, protocol, ports: vec![range] }),
        }
        self
    }

    /// The mark of the group.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkGroup};
    /// assert_eq!(MarkGroup::new(FirewallMark::new(10)?).mark().get(), 10);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn mark(&self) -> FirewallMark {
        self.set.mark()
    }

    /// The rules that mark the group's packets and no others: one for each address and protocol, or
    /// more if one rule can't hold the ports.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkGroup, Protocol};
    /// let dns = |address: &str| address.parse().map(|address| (address, Protocol::Udp, 53));
    /// let (one, two) = (dns("192.0.2.1")?, dns("2001:db8::1")?);
    /// let group = MarkGroup::new(FirewallMark::new(53)?)
    ///     .with(one.0, one.1, one.2)
    ///     .with(two.0, two.1, two.2);
    /// assert_eq!(group.rules().count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rules(&self) -> impl Iterator<Item = MarkRule> + '_ {
        self.members.iter().flat_map(|members| {
            Ports::split(members.ports.iter().copied()).into_iter().map(|ports| {
                MarkRule::new(Network::from(members.address), self.set)
                    .with_traffic(Traffic::Ports(members.protocol, ports))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(count: u16) -> MarkGroup {
        let vip = IpAddr::from([192, 0, 2, 1]);
        (1..=count).fold(MarkGroup::new(FirewallMark::new(10).unwrap()), |group, n| group.with(vip, Protocol::Tcp, n))
    }

    #[test]
    fn a_rule_is_filled_before_the_next_begins() {
        let rules = |count| group(count).rules().count();
        assert_eq!([0, 1, 15, 16, 30, 31].map(rules), [0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn a_range_that_does_not_fit_starts_the_next_rule() {
        let vip = IpAddr::from([192, 0, 2, 1]);
        let group = group(14).with(vip, Protocol::Tcp, PortRange::new(80, 90).unwrap());
        let last = group.rules().last().unwrap();
        assert_eq!(last.traffic(), &Traffic::Ports(Protocol::Tcp, "80:90".parse().unwrap()));
    }

    #[test]
    fn the_same_port_is_added_once() {
        assert_eq!(group(3).with([192, 0, 2, 1].into(), Protocol::Tcp, 2), group(3));
    }

    #[test]
    fn protocols_and_addresses_have_rules_of_their_own() {
        let group = group(2)
            .with([192, 0, 2, 1].into(), Protocol::Udp, 1)
            .with([192, 0, 2, 2].into(), Protocol::Tcp, 1)
            .with([192, 0, 2, 1].into(), Protocol::Tcp, 3);
        let printed: Vec<String> =
            group.rules().map(|rule| format!("{} {:?}", rule.destination(), rule.traffic().protocol())).collect();
        assert_eq!(printed, ["192.0.2.1 Some(Tcp)", "192.0.2.1 Some(Udp)", "192.0.2.2 Some(Tcp)"]);
    }
}
