//! The date of a signature: AWS refuses one that is too far from its own clock.

use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;
use hyper::header::{DATE, HeaderMap, HeaderValue};

use crate::clock;
use crate::config::Config;
use crate::service::ApiError;

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// The service's time since the Unix epoch.
fn service_now(config: &Config) -> Duration {
    let now = Duration::from_millis(clock::unix_millis());
    let ahead = Duration::from_secs(config.clock_ahead.unsigned_abs());
    if config.clock_ahead < 0 {
        now.saturating_sub(ahead)
    } else {
        now.saturating_add(ahead)
    }
}

/// Dates an answer.
pub(crate) fn date(headers: &mut HeaderMap, config: &Config) {
    let date = HttpDate::from(UNIX_EPOCH + service_now(config)).to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        headers.insert(DATE, date);
    }
}

/// What the service says of the clock that signed this request, if it says something.
pub(crate) fn of_request(headers: &HeaderMap, config: &Config) -> Option<ApiError> {
    refusal(headers, service_now(config), config.clock_tolerance?)
}

/// What AWS says of a request that was signed by a clock too far from this one; requests without a date are not signed.
fn refusal(headers: &HeaderMap, unix_now: Duration, tolerance: Duration) -> Option<ApiError> {
    let date = headers.get("x-amz-date").and_then(|value| value.to_str().ok())?;
    let signed = unix_seconds(date)?;
    let (now, tolerance) = (unix_now.as_secs(), tolerance.as_secs());
    let text = if signed.saturating_add(tolerance) < now {
        format!("Signature expired: {date} is now earlier than the service's clock allows")
    } else if signed > now.saturating_add(tolerance) {
        format!("Signature not yet current: {date} is still later than the service's clock allows")
    } else {
        return None;
    };
    Some(ApiError::new("InvalidSignatureException", text))
}

/// `20260102T030405Z` as seconds since the Unix epoch.
fn unix_seconds(date: &str) -> Option<u64> {
    let (day, time) = date.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(day, 0, 4)?, number(day, 4, 6)?, number(day, 6, 8)?);
    let (hour, minute, second) = (number(time, 0, 2)?, number(time, 2, 4)?, number(time, 4, 6)?);
    if year < 1970 || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    // Years that begin in March end with the day that is not always there.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // From the first of March of the year 0 to the epoch.
    let days = days.checked_sub(719_468)?;
    Some(days * SECONDS_OF_A_DAY + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        assert_eq!(unix_seconds("19700101T000000Z"), Some(0));
        assert_eq!(unix_seconds("20240229T235959Z"), Some(1_709_251_199));
        assert_eq!(unix_seconds("20260301T000000Z"), Some(1_772_323_200));
        assert_eq!(unix_seconds("20260301"), None);
        assert_eq!(unix_seconds("2026"), None);
    }

    #[test]
    fn a_clock_a_day_away_is_refused_and_one_some_minutes_away_is_not() {
        let mut headers = HeaderMap::new();
        let five = Duration::from_secs(300);
        let noon = Duration::from_secs(1_772_323_200);
        assert!(refusal(&headers, noon, five).is_none());
        headers.insert("x-amz-date", "20260301T000000Z".parse().unwrap());
        assert!(refusal(&headers, noon + five, five).is_none());
        assert!(refusal(&headers, noon - five, five).is_none());
        let day = Duration::from_secs(SECONDS_OF_A_DAY);
        assert!(refusal(&headers, noon + day, five).unwrap().message.contains("expired"));
        assert!(
            refusal(&headers, noon - day, five)
                .unwrap()
                .message
                .contains("not yet current")
        );
    }
}
