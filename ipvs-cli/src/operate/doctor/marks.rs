//! What is wrong with firewall marks, as findings.

use fwmark::Conflict as InTheWay;

use super::super::mark::check::{Wrong, add_service};
use super::finding::Finding;

impl Wrong {
    pub(in crate::operate) fn finding(&self) -> Finding {
        let what = self.to_string();
        match self {
            Wrong::InTheWay(finding) => {
                let why = "a packet has one mark, and IPVS compares all of its bits: with another one it misses its service, or comes \
                    to one that it is not for";
                match **finding {
                    InTheWay::OtherMark { certain: false, .. }
                    | InTheWay::SharedBits { certain: false, .. }
                    | InTheWay::Unclear { .. } => Finding::hint("mark-conflict", what, why),
                    _ => Finding::problem("mark-conflict", what, why),
                }
            }
            Wrong::Unread(_) => Finding::hint("rules-unread", what, "rules that are not read may mark packets, too"),
            Wrong::NoService(mark, family) => {
                let why = "packets with it are balanced by no service of a mark";
                Finding::problem("mark-without-service", what, why).mended_by([add_service(*mark, *family)])
            }
            Wrong::NoRule(mark, _) => {
                let why = format!("`ipvs-cli mark add {mark} tcp:ADDRESS:PORTS' gives it to packets");
                Finding::problem("service-without-rule", what, why)
            }
        }
    }
}
