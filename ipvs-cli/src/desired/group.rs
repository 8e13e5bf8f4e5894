//! Rules that mark packets, from and to the plain data of desired states.

use fwmark::{Hook, InvalidValue, Mark, MarkGroup, MarkRule, Network, PortRange, SetMark, Traffic};
use ipnet::IpNet;
use ipvs::ServiceKey;
use ipvs::desired::parts::{self, Fields};
use ipvs::desired::{self as state, Packets, Place, Problems};

/// Which packets get the mark of a service: these rules, and no others of ipvs-cli.
///
/// ```
/// # fn count(group: &ipvs_cli::desired::Group) -> usize {
/// println!("{}: {}", group.place, group.service);
/// group.rules.len()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    /// Where the file says so.
    pub place: Place,
    /// The service.
    pub service: ServiceKey,
    /// Its rules; the mark of each is the service's.
    pub rules: Vec<MarkRule>,
}

/// The rules that the groups of the state ask for.
pub(super) fn rules_of(state: &state::Desired, problems: &mut Problems) -> Vec<Group> {
    let rules = |group: &state::Group| {
        let mut rules = Vec::new();
        for (place, packets) in &group.packets {
            match rules_for(group.service, packets) {
                Ok(made) => rules.extend(made),
                Err(error) => problems.add(place.clone(), error.to_string()),
            }
        }
        Group { place: group.place.clone(), service: group.service, rules }
    };
    state.groups.iter().map(rules).collect()
}

/// More than one if there are many ports, of which a rule has fifteen.
fn rules_for(service: ServiceKey, packets: &Packets) -> Result<Vec<MarkRule>, Box<dyn std::error::Error>> {
    let ServiceKey::Mark { mark, .. } = service else { return Ok(Vec::new()) };
    let set = SetMark::masked(mark.into(), packets.mask)?;
    let interface = packets.interface.map(|name| name.to_string().parse()).transpose()?;
    let hook = if packets.output { Hook::Output } else { Hook::Prerouting { interface } };
    let mut rule = MarkRule::new(network(packets.address)?, set).with_hook(hook);
    if let Some(source) = packets.source {
        rule = rule.with_source(network(source)?)?;
    }
    Ok(traffic(packets)?.into_iter().map(|traffic| rule.clone().with_traffic(traffic)).collect())
}

fn network(network: IpNet) -> Result<Network, InvalidValue> {
    Network::new(network.addr(), network.prefix_len())
}

fn traffic(packets: &Packets) -> Result<Vec<Traffic>, InvalidValue> {
    let Some(protocol) = packets.protocol else { return Ok(vec![Traffic::Any]) };
    let protocol = protocol.try_into()?;
    if packets.ports.is_empty() {
        return Ok(vec![Traffic::Protocol(protocol)]);
    }
    // A group makes as few rules as the ports need, whatever the address and the mark.
    let mut group = MarkGroup::new(Mark::new(1)?);
    for ports in &packets.ports {
        group = group.with([0, 0, 0, 0].into(), protocol, PortRange::new(*ports.start(), *ports.end())?);
    }
    Ok(group.rules().map(|rule| rule.traffic().clone()).collect())
}

/// The rules as desired states have them, each with its service.
pub fn groups_of(rules: &[MarkRule]) -> Vec<(ServiceKey, Packets)> {
    rules.iter().map(|rule| (service_of(rule), packets_of(rule))).collect()
}

/// The packets that the rule marks.
fn packets_of(rule: &MarkRule) -> Packets {
    // The prefix fits its address in both types.
    let network =
        |network: Network| IpNet::new(network.address(), network.prefix()).unwrap_or(network.address().into());
    let mut packets = Packets::new(network(rule.destination()));
    packets.protocol = rule.traffic().protocol().and_then(|protocol| protocol.to_string().parse().ok());
    if let Traffic::Ports(_, ports) = rule.traffic() {
        packets.ports = ports.ranges().iter().map(|range| range.first()..=range.last()).collect();
    }
    if !rule.source().is_any() {
        packets.source = Some(network(rule.source()));
    }
    match rule.hook() {
        Hook::Output => packets.output = true,
        Hook::Prerouting { interface } => {
            packets.interface = interface.as_ref().and_then(|name| name.as_str().parse().ok());
        }
    }
    packets.mask = rule.set().mask();
    packets
}

/// A member of `group`, as it is written.
pub(crate) fn fields(rule: &MarkRule) -> Fields {
    parts::packets(&packets_of(rule))
}

/// The service that the rule's packets are for.
pub(crate) fn service_of(rule: &MarkRule) -> ServiceKey {
    ServiceKey::Mark { mark: rule.set().mark().into(), family: rule.family() }
}
