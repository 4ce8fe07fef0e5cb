//! Status for people. Everything that came from elsewhere is sanitised here.

use std::fmt::Write;

use autossm_proto::session::Phase;

use super::output::sanitise;
use super::table::Table;
use crate::status::{DaemonStatus, DropStatus, SessionStatus};

/// What is said of a drop.
const DROP_COLUMNS: [&str; 6] = [
    "DROPPED",
    "SILENT FOR",
    "RECOVERED AFTER",
    "ATTEMPTS",
    "RESENT",
    "CAUSE",
];

/// The table of all sessions; one that is not well has lines below it that say why.
pub(super) fn overview(status: &DaemonStatus) -> String {
    if status.sessions.is_empty() {
        return format!("the daemon has no sessions\n{}", reload(status));
    }
    let mut table = Table::new([
        "SESSION",
        "PHASE",
        "FOR",
        "LISTENS ON",
        "CONNECTIONS",
        "DROPS",
        "UP",
        "DOWN",
    ]);
    for session in &status.sessions {
        let cells = [
            sanitise(&session.name),
            session.phase.to_string(),
            span(session.phase_for_ms),
            listeners(session),
            session.connections.to_string(),
            session.figures.drops.to_string(),
            bytes(session.figures.bytes_up),
            bytes(session.figures.bytes_down),
        ];
        table.row_with_notes(cells, notes(session));
    }
    format!("{table}{}", reload(status))
}

/// What somebody who has changed the configuration must know.
fn reload(status: &DaemonStatus) -> String {
    let Some(reload) = status.last_reload.as_ref().filter(|reload| !reload.ok) else {
        return String::new();
    };
    let problems: Vec<String> = reload.message.lines().map(sanitise).collect();
    format!(
        "\nthe reload {} ago changed nothing, the configuration is wrong:\n{}\n",
        span(reload.ago_ms),
        problems.join("\n")
    )
}

/// The drops of several sessions.
pub(super) fn histories(sessions: &[SessionStatus]) -> String {
    let [dropped, silent, recovered, attempts, resent, cause] = DROP_COLUMNS;
    let mut table = Table::new(["SESSION", dropped, silent, recovered, attempts, resent, cause]);
    for session in sessions {
        for drop in &session.history {
            let [dropped, noticed, recovered, attempts, resent, cause] = cells(drop);
            let name = sanitise(&session.name);
            table.row([name, dropped, noticed, recovered, attempts, resent, cause]);
        }
    }
    if sessions.iter().all(|session| session.history.is_empty()) {
        return "no drops since the daemon started\n".to_owned();
    }
    table.to_string()
}

/// One session in detail, with its last drops.
pub(super) fn session(session: &SessionStatus) -> String {
    let figures = &session.figures;
    let optional = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), sanitise);
    let phase = format!("{} for {}", session.phase, span(session.phase_for_ms));
    let mut table = Table::new([sanitise(&session.name), String::new()]);
    for (label, value) in [
        ("phase", phase),
        ("target", target(session)),
        ("AWS session", optional(session.session_id.as_deref())),
        ("agent", optional(session.agent_version.as_deref())),
        ("listens on", listeners(session)),
        ("connections", session.connections.to_string()),
        ("sent", bytes(figures.bytes_up)),
        ("received", bytes(figures.bytes_down)),
        ("backlog", bytes(figures.backlog_bytes)),
        ("round trip", round_trip(figures.rtt_us)),
        ("drops", figures.drops.to_string()),
        ("starts", figures.starts.to_string()),
    ] {
        table.row([format!("  {label}"), value]);
    }
    let mut text = table.to_string();
    for note in notes(session) {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "  {note}");
    }
    if !session.history.is_empty() {
        let _infallible = write!(text, "\n{}", history(&session.history));
    }
    text
}

fn history(drops: &[DropStatus]) -> Table<6> {
    let mut table = Table::new(DROP_COLUMNS);
    for drop in drops {
        table.row(cells(drop));
    }
    table
}

fn cells(drop: &DropStatus) -> [String; 6] {
    [
        format!("{} ago", span(drop.ago_ms)),
        span(drop.noticed_after_ms),
        drop.recovered_after_ms.map_or_else(|| "-".to_owned(), span),
        drop.attempts.to_string(),
        bytes(drop.backlog_bytes),
        sanitise(&drop.cause_text),
    ]
}

/// Why a session is not well.
fn notes(session: &SessionStatus) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(error) = &session.listener_error {
        notes.push(format!("not listening: {}", sanitise(error)));
    }
    if session.phase != Phase::Attached && !session.cause.is_empty() {
        notes.push(sanitise(&session.cause));
    }
    if let Some(wait) = session.next_attempt_in_ms {
        let attempt = session.attempts.saturating_add(1);
        notes.push(format!("attempt {attempt} in {}", span(wait)));
    }
    if let Some(trouble) = session.trouble {
        notes.push(trouble.to_string());
    }
    if let Some(left) = session.may_end_in_ms {
        notes.push(format!("AWS may end the session in {}", span(left)));
    }
    notes
}

fn target(session: &SessionStatus) -> String {
    let target = sanitise(&session.target);
    match &session.instance {
        Some(instance) if target.is_empty() => sanitise(instance),
        Some(instance) => format!("{target} ({})", sanitise(instance)),
        None => target,
    }
}

fn listeners(session: &SessionStatus) -> String {
    // Nobody connects to these: a command brings its own connection.
    if session.shell {
        return format!("autossm attach {}", sanitise(&session.name));
    }
    if session.on_demand {
        return "autossm proxy".to_owned();
    }
    if session.listeners.is_empty() {
        return "-".to_owned();
    }
    sanitise(&session.listeners.join(", "))
}

fn round_trip(micros: u64) -> String {
    if micros == 0 {
        return "-".to_owned();
    }
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// A time span by its two largest units.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if seconds == 0 {
        format!("{millis}ms")
    } else if minutes == 0 {
        format!("{seconds}s")
    } else if hours == 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else if days == 0 {
        format!("{hours}h {}m", minutes % 60)
    } else {
        format!("{days}d {}h", hours % 24)
    }
}

/// A number of bytes in decimal units, one digit after the point.
fn bytes(count: u64) -> String {
    let mut unit = 1_u64;
    for (name, next) in [("B", 1_000_u64), ("kB", 1_000_000), ("MB", 1_000_000_000)] {
        if count < next {
            return scaled(count, unit, name);
        }
        unit = next;
    }
    scaled(count, unit, "GB")
}

fn scaled(count: u64, unit: u64, name: &str) -> String {
    if unit == 1 {
        return format!("{count} {name}");
    }
    let tenths = count / (unit / 10);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_bytes_are_short() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (59_999, "59s"),
            (182_000, "3m 2s"),
            (7_500_000, "2h 5m"),
            (274_000_000, "3d 4h"),
        ] {
            assert_eq!(span(millis), text);
        }
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (20_480_000, "20.4 MB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(round_trip(20_430), "20.4 ms");
    }
}
