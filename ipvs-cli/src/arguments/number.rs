//! Numbers as words of the command line.

use std::time::Duration;

/// Reads a whole number within these bounds.
pub(crate) fn whole<N: TryFrom<u32>>(least: u32, most: u32) -> impl Fn(&str) -> Result<N, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        let number = number.and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }
}

/// Reads a number of seconds, whole or not.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "must be a number of seconds, such as 10 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_outside_its_range_is_refused_with_the_range() {
        let port = whole::<u16>(1, 65535);
        assert_eq!((port("1"), port("65535")), (Ok(1), Ok(65535)));
        for text in ["0", "65536", "-1", "x", "", "1.5", "4294967296"] {
            assert_eq!(port(text), Err("must be a whole number from 1 to 65535".to_owned()), "{text}");
        }
        assert_eq!(whole::<usize>(0, u32::MAX)("4294967295"), Ok(4_294_967_295));
    }

    #[test]
    fn seconds_may_have_a_fraction() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["x", "-1", "nan", "inf", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
