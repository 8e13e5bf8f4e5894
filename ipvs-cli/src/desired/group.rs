//! Which packets get the mark of a service.

use fwmark::MarkRule;
use ipvs::{Family, FirewallMark, ServiceKey};

use super::Place;

/// Which packets get the mark of a service: these rules, and no others of ours.
///
/// ```
/// # fn count(group: &ipvs_cli::desired::Group) -> usize {
/// println!("{}: {}", group.place, group.service);
/// group.rules.len()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    /// Where the text says so.
    pub place: Place,
    /// The service.
    pub service: ServiceKey,
    /// Its rules; the mark of each is the service's.
    pub rules: Vec<MarkRule>,
}

/// The service that the rule's packets are for.
pub(crate) fn service_of(rule: &MarkRule) -> Option<ServiceKey> {
    let family = match rule.family() {
        fwmark::Family::V4 => Family::V4,
        fwmark::Family::V6 => Family::V6,
    };
    let mark = FirewallMark::new(rule.set().mark().get()).ok()?;
    Some(ServiceKey::Mark { mark, family })
}
