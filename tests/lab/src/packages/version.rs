//! The order of versions (Debian Policy, section 5.6.12).

use std::cmp::Ordering;

/// Which of two versions is newer.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let ((epoch, upstream, revision), (other_epoch, other_upstream, other_revision)) = (split(one), split(other));
    let by_part = epoch.cmp(&other_epoch).then_with(|| order(upstream, other_upstream));
    by_part.then_with(|| order(revision, other_revision))
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.parse().unwrap_or_default(), upstream, revision)
}

/// Text and numbers in turn.
fn order(mut one: &str, mut other: &str) -> Ordering {
    while !(one.is_empty() && other.is_empty()) {
        let (text, other_text) = (cut(&mut one, |c| !c.is_ascii_digit()), cut(&mut other, |c| !c.is_ascii_digit()));
        let (number, other_number) = (cut(&mut one, |c| c.is_ascii_digit()), cut(&mut other, |c| c.is_ascii_digit()));
        let [number, other_number] = [number, other_number].map(|number| number.trim_start_matches('0'));
        // The longer number is the larger one.
        let by_number = || (number.len(), number).cmp(&(other_number.len(), other_number));
        let order = weights(text).cmp(weights(other_text)).then_with(by_number);
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn cut<'a>(text: &mut &'a str, is_part: impl Fn(char) -> bool) -> &'a str {
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    *text = rest;
    part
}

/// A tilde comes before the end, the end before letters, letters before all else.
fn weights(text: &str) -> impl Iterator<Item = u32> {
    let weigh = |c: char| match c {
        '~' => 0,
        c if c.is_ascii_alphabetic() => u32::from(c),
        c => u32::from(c) + 256,
    };
    text.chars().map(weigh).chain([1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `dpkg --compare-versions` has them.
    #[test]
    fn versions_are_in_debians_order() {
        let sorted = [
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0~rc1-1",
            "1.0",
            "1.0-0+b1",
            "1.0-1",
            "1.0-1~",
            "1.0a",
            "1.0+b",
            "1.0.1",
            "1.2",
            "1.09",
            "1.10",
            "2-1-1",
            "1:0.1",
            "10:0",
        ];
        // One pair stands the wrong way round above.
        let mut expected = sorted.to_vec();
        expected.swap(6, 7);
        let mut found = sorted.to_vec();
        found.sort_by(|one, other| compare(one, other));
        assert_eq!(found, expected);
        assert_eq!(compare("1.0", "0:1.00"), Ordering::Equal);
    }

    proptest::proptest! {
        #[test]
        fn the_order_is_one(versions in proptest::collection::vec("([0-9]:)?[0-9][a-c0-2.~+-]{0,6}", 3)) {
            let [a, b, c] = &versions[..] else { unreachable!() };
            assert_eq!(compare(a, b), compare(b, a).reverse());
            if compare(a, b) != Ordering::Greater && compare(b, c) != Ordering::Greater {
                assert_ne!(compare(a, c), Ordering::Greater, "{a} {b} {c}");
            }
        }
    }
}
