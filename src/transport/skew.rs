//! How wrong this machine's clock is, by an answer's date.

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// AWS refuses a signature that is older or newer than about five minutes, in seconds; a difference below this one is
/// nobody's business.
pub const TOLERATED_SKEW: u64 = 4 * 60;

/// Seconds that the writer of `date`, an HTTP date, is ahead of `now`, which is since the Unix epoch.
pub fn skew(date: &str, now: Duration) -> Option<i64> {
    let date = DateTime::from_str(date.trim(), Format::HttpDate).ok()?;
    let now = i64::try_from(now.as_secs()).ok()?;
    date.secs().checked_sub(now)
}

/// What is wrong with the clock, for people.
pub fn skew_sentence(skew: i64) -> String {
    let seconds = skew.unsigned_abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let much = match (days, hours) {
        (0, 0) => format!("{minutes}m"),
        (0, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    };
    let direction = if skew > 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {much} {direction} AWS's: set it (`timedatectl set-ntp true`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(1_795_694_400);

    #[test]
    fn a_date_shows_how_wrong_the_clock_is() {
        assert_eq!(skew("Thu, 26 Nov 2026 12:00:00 GMT", NOON), Some(0));
        assert_eq!(skew("Thu, 26 Nov 2026 12:10:00 GMT", NOON), Some(600));
        assert_eq!(skew("Wed, 25 Nov 2026 12:00:00 GMT", NOON), Some(-86_400));
        assert_eq!(skew("tomorrow", NOON), None);
    }

    #[test]
    fn a_wrong_clock_is_said_in_words() {
        assert!(skew_sentence(660).contains("is 11m behind AWS's"));
        assert!(skew_sentence(-5 * 3600 - 120).contains("is 5h 2m ahead of AWS's"));
        assert!(skew_sentence(90_000).contains("1d 1h behind"));
    }
}
