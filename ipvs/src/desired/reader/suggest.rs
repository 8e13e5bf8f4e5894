//! "Did you mean …?"

use strsim::osa_distance;

/// The word that was probably meant: one that other programs use for it, or one that is mistyped.
pub(super) fn meant(given: &str, words: &[&'static str], others: &[(&str, &'static str)]) -> Option<&'static str> {
    // Longer ones are no slips, and comparing them would take long.
    if given.len() > 40 {
        return None;
    }
    let plain = |word: &str| word.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let given = plain(given);
    if let Some((_, meant)) = others.iter().find(|(other, _)| plain(other) == given) {
        return Some(meant);
    }
    let scored = words.iter().map(|&word| (osa_distance(&given, &plain(word)), word));
    let (slips, word) = scored.min_by_key(|&(slips, _)| slips)?;
    let prefix = words.iter().copied().find(|word| given.len() >= 3 && plain(word).starts_with(&given));
    if slips <= 1.max(word.len() / 4) && slips < word.len() { Some(word) } else { prefix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::reader::destination::{FORWARDING, OTHER_FORWARDING};
    use crate::desired::reader::service::KEYS;

    #[test]
    fn slips_and_other_words_are_understood() {
        for (given, expected) in [
            ("adress", Some("address")),
            ("Address", Some("address")),
            ("shceduler", Some("scheduler")),
            ("sched", Some("scheduler")),
            ("scheduler-flags", Some("scheduler_flags")),
            ("destination", Some("destinations")),
            ("realServers", Some("destinations")),
            ("fwmark", Some("mark")),
            ("color", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(meant(given, KEYS.names, KEYS.others), expected, "{given}");
        }
        assert_eq!(meant("NAT", &FORWARDING, OTHER_FORWARDING), Some("masquerade"));
        assert_eq!(meant("direct_route", &FORWARDING, OTHER_FORWARDING), Some("direct-route"));
    }
}
