//! The only reader of clocks in this package.

use std::time::SystemTime;

use tokio::time::Instant;

/// The monotonic time every timer here is compared with.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Unix milliseconds, as messages carry them; never 0, which both of AWS's programs refuse.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(1, |elapsed| elapsed.as_millis());
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}
