//! "Did you mean …?"

/// The word that was probably meant: one that others use for it, or one that differs by a slip of the finger.
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
    let scored = words.iter().map(|&word| (distance(&given, &plain(word)), word));
    let (slips, word) = scored.min_by_key(|&(slips, _)| slips)?;
    let prefix = words.iter().copied().find(|word| given.len() >= 3 && plain(word).starts_with(&given));
    if slips <= 1.max(word.len() / 4) && slips < word.len() { Some(word) } else { prefix }
}

/// How many letters must be put in, left out, changed, or swapped with their neighbour to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before_last = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in to.iter().enumerate() {
            let changed = last[j] + usize::from(letter != other);
            let mut least = changed.min(row[j] + 1).min(last[j + 1] + 1);
            if i > 0 && j > 0 && from[i - 1] == *other && *letter == to[j - 1] {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::keys::{FORWARDING, OTHER_FORWARDING, SERVICE};

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
            assert_eq!(meant(given, SERVICE.names, SERVICE.others), expected, "{given}");
        }
        assert_eq!(meant("NAT", &FORWARDING, OTHER_FORWARDING), Some("masquerade"));
        assert_eq!(meant("direct_route", &FORWARDING, OTHER_FORWARDING), Some("direct-route"));
    }

    #[test]
    fn distances() {
        for (from, to, slips) in [("", "ab", 2), ("ab", "ba", 1), ("abc", "abd", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), slips, "{from} {to}");
        }
    }
}
