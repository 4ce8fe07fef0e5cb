//! The configuration as it was written: every key, none of them decided yet.

use std::time::Duration;

use autossm_proto::session::{OnEnd, StartWhen};
use humantime::format_duration;

use super::document::{Entry, Table};
use super::keys::Key;
use super::problem::{Problems, Span};
use super::settings::{LogFormat, LogLevel, ON_END_WORDS, OnExit, START_WORDS};
use super::vocabulary::{PAYLOAD_LIMIT, PORT, SCROLLBACKS, SPANS};

/// One file, or what several of them say together.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) log: Log,
    pub(super) notify: Notify,
    pub(super) defaults: Common,
    /// There is a `[defaults]`: then sessions on demand are enough.
    pub(super) has_defaults: bool,
    pub(super) sessions: Vec<Session>,
}

/// `[log]`.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) level: Option<Entry<LogLevel>>,
    pub(super) format: Option<Entry<LogFormat>>,
}

/// `[notify]`.
#[derive(Debug, Default)]
pub(super) struct Notify {
    pub(super) desktop: Option<Entry<bool>>,
    pub(super) lost_after: Option<Entry<Duration>>,
}

/// What sessions share with `[defaults]`.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) profile: Option<Entry<String>>,
    pub(super) region: Option<Entry<String>>,
    pub(super) endpoint_url: Option<Entry<String>>,
    pub(super) start: Option<Entry<StartWhen>>,
    pub(super) on_end: Option<Entry<OnEnd>>,
    pub(super) on_exit: Option<Entry<OnExit>>,
    pub(super) payload_limit: Option<Entry<u64>>,
    pub(super) timings: Vec<(&'static Key, Entry<Duration>)>,
    pub(super) backoff: Backoff,
    /// Timings that were written so that nobody knows what they are; the defaults are not meant.
    pub(super) wrong: Vec<&'static str>,
}

/// `timings.backoff`.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pub(super) initial: Option<Entry<Duration>>,
    pub(super) multiplier: Option<Entry<f64>>,
    pub(super) cap: Option<Entry<Duration>>,
    /// One of them was written wrong.
    pub(super) wrong: bool,
}

/// `[session.NAME]`.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: Entry<String>,
    pub(super) target: Option<Entry<String>>,
    pub(super) forward: Option<Forward>,
    pub(super) shell: Option<Shell>,
    pub(super) reason: Option<Entry<String>>,
    pub(super) session_id: Option<Entry<String>>,
    pub(super) common: Common,
}

/// `forward`.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) listen: Vec<Entry<String>>,
    pub(super) host: Option<Entry<String>>,
    pub(super) port: Option<Entry<u64>>,
    pub(super) allow_remote_clients: Option<Entry<bool>>,
}

/// `shell`.
#[derive(Debug)]
pub(super) struct Shell {
    /// Where it was written.
    pub(super) at: Span,
    pub(super) path: String,
    pub(super) document: Option<Entry<String>>,
    pub(super) parameters: Vec<(String, Vec<Entry<String>>)>,
    pub(super) scrollback: Option<Entry<u64>>,
}

impl File {
    /// Adds what a later file says: its sessions, and its word on each key of `[log]` and `[defaults]` it has.
    pub(super) fn merge(&mut self, later: Self) {
        fn over<T>(own: &mut Option<T>, later: Option<T>) {
            if later.is_some() {
                *own = later;
            }
        }
        over(&mut self.log.level, later.log.level);
        over(&mut self.log.format, later.log.format);
        over(&mut self.notify.desktop, later.notify.desktop);
        over(&mut self.notify.lost_after, later.notify.lost_after);
        self.has_defaults |= later.has_defaults;
        let (own, defaults) = (&mut self.defaults, later.defaults);
        over(&mut own.profile, defaults.profile);
        over(&mut own.region, defaults.region);
        over(&mut own.endpoint_url, defaults.endpoint_url);
        over(&mut own.start, defaults.start);
        over(&mut own.on_end, defaults.on_end);
        over(&mut own.on_exit, defaults.on_exit);
        over(&mut own.payload_limit, defaults.payload_limit);
        own.timings
            .retain(|(key, _)| !defaults.timings.iter().any(|(other, _)| other.name == key.name));
        own.timings.extend(defaults.timings);
        own.wrong.extend(defaults.wrong);
        own.backoff.wrong |= defaults.backoff.wrong;
        over(&mut own.backoff.initial, defaults.backoff.initial);
        over(&mut own.backoff.multiplier, defaults.backoff.multiplier);
        over(&mut own.backoff.cap, defaults.backoff.cap);
        self.sessions.extend(later.sessions);
    }
}

/// Reads every key of a file and notes each that is unknown or of the wrong kind.
pub(super) fn read(mut root: Table<'_>, problems: &mut Problems) -> File {
    let log = root.table("log", problems).map(|mut table| {
        let log = Log {
            level: table.word("level", LogLevel::WORDS, problems),
            format: table.word("format", LogFormat::WORDS, problems),
        };
        table.finish(problems);
        log
    });
    let notify = root.table("notify", problems).map(|mut table| {
        let notify = Notify {
            desktop: table.flag("desktop", problems),
            lost_after: read_span(&mut table, "lost_after", problems),
        };
        table.finish(problems);
        notify
    });
    let defaults = root.table("defaults", problems).map(|mut table| {
        let common = read_common(&mut table, problems);
        table.finish(problems);
        common
    });
    let sessions = root.tables("session", problems);
    root.finish(problems);
    File {
        log: log.unwrap_or_default(),
        notify: notify.unwrap_or_default(),
        has_defaults: defaults.is_some(),
        defaults: defaults.unwrap_or_default(),
        sessions: sessions
            .into_iter()
            .map(|(name, table)| read_session(name, table, problems))
            .collect(),
    }
}

fn read_session(name: Entry<String>, mut table: Table<'_>, problems: &mut Problems) -> Session {
    require(&table, &name.at, "target", "target = \"i-0123456789abcdef0\"", problems);
    let is_named = table.has("forward") || table.has("shell");
    let target = table.text("target", problems);
    let forward = table
        .table("forward", problems)
        .map(|table| read_forward(table, problems));
    let shell = table.table("shell", problems).map(|table| read_shell(table, problems));
    if !is_named && forward.is_none() && shell.is_none() {
        let example = "forward = { listen = \"127.0.0.1:5432\", port = 5432 }, or shell = {}";
        require(&table, &name.at, "forward", example, problems);
    }
    let reason = table.text("reason", problems);
    let session_id = table.text("session_id", problems);
    let common = read_common(&mut table, problems);
    table.finish(problems);
    Session {
        name,
        target,
        forward,
        shell,
        reason,
        session_id,
        common,
    }
}

fn read_common(table: &mut Table<'_>, problems: &mut Problems) -> Common {
    let mut common = Common {
        profile: table.text("profile", problems),
        region: table.text("region", problems),
        endpoint_url: table.text("endpoint_url", problems),
        start: table.word("start", START_WORDS, problems),
        on_end: table.word("on_end", ON_END_WORDS, problems),
        on_exit: table.word("on_exit", OnExit::WORDS, problems),
        payload_limit: table.integer("payload_limit", PAYLOAD_LIMIT, problems),
        ..Common::default()
    };
    let Some(mut timings) = table.table("timings", problems) else {
        return common;
    };
    for key in SPANS {
        let written = timings.has(key.name);
        let entry = read_span(&mut timings, key.name, problems);
        common.wrong.extend((written && entry.is_none()).then_some(key.name));
        common.timings.extend(entry.map(|entry| (key, entry)));
    }
    if let Some(mut backoff) = timings.table("backoff", problems) {
        let written = [backoff.has("initial"), backoff.has("cap")];
        let initial = read_span(&mut backoff, "initial", problems);
        let cap = read_span(&mut backoff, "cap", problems);
        let wrong = written != [initial.is_some(), cap.is_some()];
        common.backoff = Backoff {
            initial,
            multiplier: backoff.number("multiplier", problems),
            cap,
            wrong: !backoff.finish(problems).is_empty() || wrong,
        };
    }
    common.wrong.extend(timings.finish(problems));
    common
}

fn read_forward(mut table: Table<'_>, problems: &mut Problems) -> Forward {
    for (key, example) in [("listen", "listen = \"127.0.0.1:5432\""), ("port", "port = 5432")] {
        require(&table, table.at(), key, example, problems);
    }
    let forward = Forward {
        listen: table.texts("listen", "\"127.0.0.1:5432\"", problems),
        host: table.text("host", problems),
        port: table.integer("port", PORT, problems),
        allow_remote_clients: table.flag("allow_remote_clients", problems),
    };
    table.finish(problems);
    forward
}

fn read_shell(mut table: Table<'_>, problems: &mut Problems) -> Shell {
    let shell = Shell {
        at: table.at().clone(),
        path: table.path().to_owned(),
        document: table.text("document", problems),
        parameters: table.named("parameters", problems),
        scrollback: table.integer("scrollback", SCROLLBACKS, problems),
    };
    table.finish(problems);
    shell
}

/// Notes that `key` is missing; `at` is where its table was named.
fn require(table: &Table<'_>, at: &Span, key: &str, example: &str, problems: &mut Problems) {
    if !table.has(key) {
        problems.missing(at, &table.path_of(key), format!("add {example}"));
    }
}

fn read_span(table: &mut Table<'_>, key: &str, problems: &mut Problems) -> Option<Entry<Duration>> {
    let (limits, default) = table.vocabulary(key)?.span()?;
    let entry = table.duration(key, problems)?;
    let (message, hint) = if entry.value > limits.longest {
        (
            format!(
                "this is too long: at most {} is possible",
                format_duration(limits.longest)
            ),
            "by then AWS itself may have ended the session".to_owned(),
        )
    } else if entry.value >= limits.shortest || (limits.zero && entry.value.is_zero()) {
        return Some(entry);
    } else {
        (
            format!(
                "this is too short: at least {} is needed",
                format_duration(limits.shortest)
            ),
            default.map_or_else(
                || "leave the key out if nobody has said otherwise".to_owned(),
                |default| format!("without the key it is {}", format_duration(default)),
            ),
        )
    };
    problems.add(&entry.at, &entry.path, message, hint);
    None
}
