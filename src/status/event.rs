//! What happens, one JSON object each: the lines of `autossm events`.

use autossm_proto::session::Phase;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line: whose events these are. What follows is complete from here on.
    Hello {
        /// The daemon's version.
        version: String,
        /// Its process id.
        pid: u32,
    },
    /// A session there was when the stream began, and its phase then.
    Session {
        /// Its name.
        session: String,
        /// Its phase.
        phase: Phase,
    },
    /// A session has changed its phase, or the cause for it.
    Phase {
        /// Its name.
        session: String,
        /// The phase before.
        from: Phase,
        /// The phase now.
        to: Phase,
        /// Why, for people.
        cause: String,
        /// Local connections that were reset because AWS has ended the session.
        #[serde(default, skip_serializing_if = "is_zero")]
        lost_connections: usize,
    },
    /// The configuration has a session that was not there.
    Added {
        /// Its name.
        session: String,
    },
    /// The configuration has no such session any more, and it has ended.
    Removed {
        /// Its name.
        session: String,
    },
    /// The configuration was read again.
    Reload {
        /// Whether it is in force now; else nothing has changed.
        ok: bool,
        /// What changed, or why nothing did.
        message: String,
    },
    /// The daemon ends.
    Stopping {
        /// What asked for it.
        signal: String,
    },
    /// The last line of a reader that was too slow: so many events were not kept for it.
    Missed {
        /// How many.
        count: u64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's way to ask")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_flat_object() {
        let line = EventLine {
            unix_ms: 7,
            event: Event::Phase {
                session: "db".to_owned(),
                from: Phase::Attached,
                to: Phase::Reattaching,
                cause: "connection reset".to_owned(),
                lost_connections: 0,
            },
        };
        let json = r#"{"unix_ms":7,"event":"phase","session":"db","from":"attached","to":"reattaching","cause":"connection reset"}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), json);
        assert_eq!(serde_json::from_str::<EventLine>(json).unwrap(), line);
    }
}
