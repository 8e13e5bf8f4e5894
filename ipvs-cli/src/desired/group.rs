//! Mark rules, from and to the plain data of desired states.

use fwmark::{Hook, InterfacePattern, MarkRule, PortRange, Ports, SetMark, Traffic};
use ipvs::desired::parts::{self, Fields};
use ipvs::desired::{self as state, Packets, Place, Problems};
use ipvs::{InvalidValue, ServiceKey};

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
    /// Its place in the file.
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

/// Several rules if there are more ports than fit in one.
fn rules_for(service: ServiceKey, packets: &Packets) -> Result<Vec<MarkRule>, Box<dyn std::error::Error>> {
    let ServiceKey::Mark { mark, .. } = service else { return Ok(Vec::new()) };
    let interface = packets.interface.map(InterfacePattern::try_from).transpose()?;
    let hook = if packets.output { Hook::Output } else { Hook::Prerouting { interface } };
    let set = SetMark::masked(mark, packets.mask)?;
    let mut rule = MarkRule::new(packets.address.into(), set).with_hook(hook);
    if let Some(source) = packets.source {
        rule = rule.with_source(source.into())?;
    }
    Ok(traffic(packets)?.into_iter().map(|traffic| rule.clone().with_traffic(traffic)).collect())
}

fn traffic(packets: &Packets) -> Result<Vec<Traffic>, InvalidValue> {
    let Some(protocol) = packets.protocol else { return Ok(vec![Traffic::Any]) };
    let protocol = protocol.try_into()?;
    if packets.ports.is_empty() {
        return Ok(vec![Traffic::Protocol(protocol)]);
    }
    let ranges = packets.ports.iter().cloned().map(PortRange::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(Ports::split(ranges).into_iter().map(|ports| Traffic::Ports(protocol, ports)).collect())
}

/// The rules as members of `group`, each with its service.
pub fn groups_of(rules: &[MarkRule]) -> Vec<(ServiceKey, Packets)> {
    rules.iter().map(|rule| (service_of(rule), packets_of(rule))).collect()
}

/// The packets that the rule marks.
fn packets_of(rule: &MarkRule) -> Packets {
    let mut packets = Packets::new(rule.destination().into());
    packets.protocol = rule.traffic().protocol().map(Into::into);
    if let Traffic::Ports(_, ports) = rule.traffic() {
        packets.ports = ports.ranges().iter().map(|range| (*range).into()).collect();
    }
    packets.source = Some(rule.source()).filter(|source| !source.is_any()).map(Into::into);
    match rule.hook() {
        Hook::Output => packets.output = true,
        Hook::Prerouting { interface } => packets.interface = interface.map(InterfacePattern::as_name),
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
    ServiceKey::Mark { mark: rule.set().mark(), family: rule.family() }
}
