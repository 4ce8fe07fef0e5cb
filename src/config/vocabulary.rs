//! The vocabulary: every key with what it means, what it may be, and what it is when nobody says.
//!
//! The reader's limits and hints, the JSON schema and the test of the sample all come from these tables.

use std::time::Duration;

use autossm_proto::session::SessionConfig;

use super::keys::{Field, Key, Keys, Limits, MaybeField, Value};
use super::settings::{LogFormat, LogLevel, NotifySettings, ON_END_WORDS, OnExit, SCROLLBACK, START_WORDS};

const fn limits(shortest_ms: u64, longest: Duration, zero: bool) -> Limits {
    Limits {
        shortest: Duration::from_millis(shortest_ms),
        longest,
        zero,
    }
}

const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);
/// AWS ends an idle session after an hour at the latest.
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A steeper backoff is a typing error.
pub(super) const STEEPEST_MULTIPLIER: f64 = 100.0;
/// Longest name of a session, in bytes.
pub(super) const LONGEST_NAME: usize = 64;
/// StartSession's limit for Target, in characters.
pub(super) const LONGEST_TARGET: usize = 400;
/// StartSession's limit for Reason, in characters.
pub(super) const LONGEST_REASON: usize = 256;
/// Longest name of a host, in characters.
pub(super) const LONGEST_HOST: usize = 255;
/// No name of a profile or a region is longer, in characters.
pub(super) const LONGEST_WORD: usize = 256;
/// No URL of an endpoint is longer, in characters.
pub(super) const LONGEST_URL: usize = 2048;
/// Payload bytes of one message: room for a smux header and some data, and within what a smux frame's 16-bit length says.
pub(super) const PAYLOAD_LIMIT: (u64, u64) = (64, 60_000);
/// Lines of scrollback: each costs as much as its longest row has cells, 32 bytes each.
pub(super) const SCROLLBACKS: (u64, u64) = (0, 100_000);
/// A port to connect to.
pub(super) const PORT: (u64, u64) = (1, 65_535);

/// The whole configuration.
pub(super) static ROOT: Keys = Keys {
    name: "root",
    place: "the file",
    about: "The configuration of autossm: sessions of AWS Session Manager to keep alive.",
    example: "",
    required: &[],
    keys: &[&[
        table("log", &LOG),
        table("notify", &NOTIFY),
        table("defaults", &DEFAULTS),
        Key {
            name: "session",
            about: "One table a session; its name is for `autossm status NAME` and the log.",
            value: Value::Tables(&SESSION),
        },
    ]],
};

static LOG: Keys = Keys {
    name: "log",
    place: "[log]",
    about: "What is logged, and how.",
    example: "level = \"debug\"",
    required: &[],
    keys: &[&[
        Key {
            name: "level",
            about: "The least important lines that are written.",
            value: Value::Word {
                words: || words(LogLevel::WORDS),
                default: || default_word(LogLevel::WORDS),
            },
        },
        Key {
            name: "format",
            about: "human, json (one object a line), or auto: what suits where the log goes.",
            value: Value::Word {
                words: || words(LogFormat::WORDS),
                default: || default_word(LogFormat::WORDS),
            },
        },
    ]],
};

static NOTIFY: Keys = Keys {
    name: "notify",
    place: "[notify]",
    about: "Notices on the desktop, only of what a person must do or know.",
    example: "desktop = false",
    required: &[],
    keys: &[&[
        Key {
            name: "desktop",
            about: "Whether there are any: a login is needed, a session is lost, or has been away for long and is back.",
            value: Value::Flag { default: true },
        },
        Key {
            name: "lost_after",
            about: "A session that is away for so long is worth a notice.",
            value: Value::Span(limits(1000, HOUR, false), || NotifySettings::default().lost_after),
        },
    ]],
};

static DEFAULTS: Keys = Keys {
    name: "defaults",
    place: "[defaults]",
    about: "What every session gets that does not say otherwise.",
    example: "region = \"eu-west-1\"",
    required: &[],
    keys: &[COMMON],
};

static SESSION: Keys = Keys {
    name: "session",
    place: "[session.NAME]",
    about: "One session to keep alive.",
    example: "target = \"i-0123456789abcdef0\"",
    required: &["target"],
    keys: &[
        &[
            text(
                "target",
                "An instance (i-..., mi-...), one by its tag (tag:KEY=VALUE, looked up at each start), or a container (ecs:CLUSTER_TASK_RUNTIME).",
                LONGEST_TARGET,
                "i-0123456789abcdef0",
            ),
            text(
                "reason",
                "Shown in the account's session history.",
                LONGEST_REASON,
                "orders database",
            ),
            text(
                "session_id",
                "A session that another client has left, to be taken over instead of starting one: a shell, or one of AWS-StartSSHSession; when it ends, nothing follows.",
                LONGEST_REASON,
                "ada-0123456789abcdef0",
            ),
            table("forward", &FORWARD),
            table("shell", &SHELL),
        ],
        COMMON,
    ],
};

const COMMON: &[Key] = &[
    text(
        "profile",
        "A profile of ~/.aws/config; without it, what AWS_PROFILE or the SDK chooses.",
        LONGEST_WORD,
        "work",
    ),
    text(
        "region",
        "Without it, the profile's, AWS_REGION's or the SDK's choice.",
        LONGEST_WORD,
        "eu-west-1",
    ),
    text(
        "endpoint_url",
        "Another endpoint of the `ssm` service, such as a VPC endpoint.",
        LONGEST_URL,
        "https://vpce-0123-abcd.ssm.eu-west-1.vpce.amazonaws.com",
    ),
    Key {
        name: "start",
        about: "at-once, or on-connect: with the first local connection.",
        value: Value::Word {
            words: || words(START_WORDS),
            default: || default_word(START_WORDS),
        },
    },
    Key {
        name: "on_end",
        about: "What follows when AWS has ended the session: restart; dormant: none until the next local connection; stop; auto: restart if it had local connections, else (and for a shell) dormant.",
        value: Value::Word {
            words: || words(ON_END_WORDS),
            default: || default_word(ON_END_WORDS),
        },
    },
    Key {
        name: "on_exit",
        about: "When the daemon stops: detach leaves the session to time out, terminate ends it.",
        value: Value::Word {
            words: || words(OnExit::WORDS),
            default: || default_word(OnExit::WORDS),
        },
    },
    Key {
        name: "payload_limit",
        about: "Bytes in one message; AWS's own clients send 1024.",
        value: Value::Integer {
            low: PAYLOAD_LIMIT.0,
            high: PAYLOAD_LIMIT.1,
            default: Some(|| SessionConfig::default().payload_limit),
        },
    },
    table("timings", &TIMINGS),
];

static FORWARD: Keys = Keys {
    name: "forward",
    place: "forward = { .. } of a session",
    about: "Where local programs connect, and where that leads.",
    example: "listen = \"127.0.0.1:5432\", port = 5432",
    required: &["listen", "port"],
    keys: &[&[
        Key {
            name: "listen",
            about: "ADDRESS:PORT, localhost:PORT, :PORT or unix:PATH, or a list of them; port 0 takes a free one.",
            value: Value::Texts {
                example: "127.0.0.1:5432",
            },
        },
        text(
            "host",
            "The host to reach from the target; without it, the target itself.",
            LONGEST_HOST,
            "orders.internal",
        ),
        Key {
            name: "port",
            about: "The port to reach.",
            value: Value::Integer {
                low: PORT.0,
                high: PORT.1,
                default: None,
            },
        },
        Key {
            name: "allow_remote_clients",
            about: "Whether `listen` may be an address that other machines can reach.",
            value: Value::Flag { default: false },
        },
    ]],
};

static SHELL: Keys = Keys {
    name: "shell",
    place: "shell = { .. } of a session",
    about: "A shell that the daemon holds, for `autossm attach NAME`; in place of a forward.",
    example: "scrollback = 10000",
    required: &[],
    keys: &[&[
        text(
            "document",
            "The document to start it with; without it, the account's shell with its preferences.",
            LONGEST_WORD,
            "AWS-StartInteractiveCommand",
        ),
        Key {
            name: "parameters",
            about: "What the document is given: NAME = \"value\", or a list of values.",
            value: Value::Named { example: "top" },
        },
        Key {
            name: "scrollback",
            about: "Lines kept above the screen.",
            value: Value::Integer {
                low: SCROLLBACKS.0,
                high: SCROLLBACKS.1,
                default: Some(|| SCROLLBACK),
            },
        },
    ]],
};

static TIMINGS: Keys = Keys {
    name: "timings",
    place: "timings = { .. }",
    about: "How long things may take: \"15s\", \"500ms\", \"1m 30s\".",
    example: "ping_timeout = \"5s\"",
    required: &[],
    keys: &[SPANS, &[table("backoff", &BACKOFF)]],
};

#[rustfmt::skip]
pub(super) const SPANS: &[Key] = &[
    span("ping_interval", "A ping after so long without a sign of life.", limits(100, HOUR, false), |config| &mut config.ping_interval),
    span("ping_timeout", "The connection is dropped when a ping's answer takes longer.", limits(100, TEN_MINUTES, false), |config| &mut config.ping_timeout),
    span("call_timeout", "One StartSession or ResumeSession.", limits(100, TEN_MINUTES, false), |config| &mut config.call_timeout),
    span("dial_timeout", "DNS, TCP, TLS and upgrade together.", limits(100, TEN_MINUTES, false), |config| &mut config.dial_timeout),
    span("handshake_timeout", "From the first attach until the agent is ready.", limits(100, TEN_MINUTES, false), |config| &mut config.handshake_timeout),
    span("prove_timeout", "The agent's first answer after a re-attach.", limits(100, TEN_MINUTES, false), |config| &mut config.prove_timeout),
    span("link_hold", "A connection that has held so long makes earlier failures forgotten.", limits(1, HOUR, true), |config| &mut config.link_hold),
    span("token_reuse", "A token not yet sent may be used again for so long.", limits(1, TEN_MINUTES, true), |config| &mut config.token_reuse),
    span("fin_grace", "After a local half-close, wait until nothing has come back for so long.", limits(1, DAY, true), |config| &mut config.fin_grace),
    span("wedged_after", "A session that resends one message for so long is started anew.", limits(1000, HOUR, false), |config| &mut config.wedged_after),
    maybe("session_timeout", "AWS ends a session after so long without input: attempts close up before it. Without it, what the account's preferences say if they may be read, else 20m.", limits(60_000, HOUR, false), |config| &mut config.session_timeout, "20m"),
    maybe("max_duration", "AWS ends a session so long after its start: attempts close up before it. Without it, what the account's preferences say if they may be read, else never.", limits(60_000, DAY, false), |config| &mut config.max_duration, "12h"),
    maybe("idle_keepalive", "An idle session is sent something harmless this often, so that AWS does not end it; less than session_timeout (20m where that is not written). Without it, it is let go, as the account wants.", limits(1000, HOUR, false), |config| &mut config.idle_keepalive, "5m"),
];

static BACKOFF: Keys = Keys {
    name: "backoff",
    place: "timings.backoff = { .. }",
    about: "The waits between attempts, drawn at random below a limit that grows.",
    example: "cap = \"15s\"",
    required: &[],
    keys: &[&[
        Key {
            name: "initial",
            about: "The first limit.",
            value: Value::Wait(WAIT, |backoff| backoff.initial),
        },
        Key {
            name: "multiplier",
            about: "Its growth; above 1.",
            value: Value::Multiplier,
        },
        Key {
            name: "cap",
            about: "No wait is longer.",
            value: Value::Wait(WAIT, |backoff| backoff.cap),
        },
    ]],
};

/// How long a wait between attempts may be.
const WAIT: Limits = limits(1, HOUR, false);

/// All tables that a key may belong in; the one to be named first comes first.
pub(super) const TABLES: &[&Keys] = &[&LOG, &NOTIFY, &SESSION, &FORWARD, &SHELL, &BACKOFF, &TIMINGS, &DEFAULTS];

const fn text(name: &'static str, about: &'static str, longest: usize, example: &'static str) -> Key {
    Key {
        name,
        about,
        value: Value::Text { longest, example },
    }
}

const fn table(name: &'static str, keys: &'static Keys) -> Key {
    Key {
        name,
        about: keys.about,
        value: Value::Table(keys),
    }
}

const fn span(name: &'static str, about: &'static str, limits: Limits, field: Field) -> Key {
    Key {
        name,
        about,
        value: Value::Timing(limits, field),
    }
}

const fn maybe(
    name: &'static str,
    about: &'static str,
    limits: Limits,
    field: MaybeField,
    example: &'static str,
) -> Key {
    Key {
        name,
        about,
        value: Value::Maybe(limits, field, example),
    }
}

fn words<W>(words: &[(&'static str, W)]) -> Vec<&'static str> {
    words.iter().map(|(word, _)| *word).collect()
}

fn default_word<W: Default + PartialEq>(words: &[(&'static str, W)]) -> &'static str {
    let default = W::default();
    let found = words.iter().find(|(_, value)| *value == default);
    found.map_or("", |(word, _)| word)
}
