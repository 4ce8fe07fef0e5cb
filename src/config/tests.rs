use std::path::Path;
use std::time::Duration;

use autossm_proto::session::SessionConfig;

use super::*;

fn environment() -> Environment {
    Environment {
        home: Some("/home/ada".into()),
        runtime_dir: Some("/run/user/7".into()),
        ..Environment::default()
    }
}

fn settings(text: &str) -> Settings {
    parse(text, Path::new("autossm.toml"), &environment()).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(text: &str) -> Vec<Problem> {
    let invalid = parse(text, Path::new("autossm.toml"), &environment()).unwrap_err();
    invalid.problems
}

fn place(problem: &Problem) -> &Line {
    problem
        .place
        .line
        .as_ref()
        .unwrap_or_else(|| panic!("no line: {problem}"))
}

/// A session with nothing wrong in it, from line 1 to 3.
const GOOD: &str = "[session.db]\n\
    target = \"i-0123456789abcdef0\"\n\
    forward = { listen = \"127.0.0.1:5432\", port = 5432 }\n";

#[test]
fn a_short_file_gets_every_default() {
    let settings = settings(GOOD);
    let [session] = &settings.sessions[..] else {
        panic!("{settings:?}");
    };
    assert_eq!(session.name, "db");
    assert_eq!(session.target, "i-0123456789abcdef0");
    assert_eq!(
        session.forward,
        Some(ForwardSettings {
            listen: vec![Listen::Tcp("127.0.0.1:5432".parse().unwrap())],
            host: None,
            port: 5432,
            allow_remote_clients: false,
            document: Document::PortForwarding,
        })
    );
    assert_eq!(session.protocol, SessionConfig::default());
    assert_eq!(session.backoff, BackoffSettings::default());
    assert_eq!(session.profile, None);
}

#[test]
fn a_session_goes_before_the_defaults() {
    let settings = settings(
        r#"
        [defaults]
        profile = "work"
        region = "eu-west-1"
        payload_limit = 2048
        timings = { ping_interval = "7s", call_timeout = "3s", backoff = { cap = "1m" } }

        [session.b]
        target = "ecs:cluster_task_runtime"
        profile = "home"
        reason = "a test"
        endpoint_url = "http://127.0.0.1:8080"
        [session.b.timings]
        ping_interval = "500ms"
        ping_timeout = "500ms"
        fin_grace = "0s"
        backoff = { initial = "1s", multiplier = 3 }
        [session.b.forward]
        listen = [":0", "unix:~/b.sock", "0.0.0.0:80"]
        host = "orders.internal"
        port = 80
        allow_remote_clients = true

        [session.a]
        target = "mi-0123"
        forward = { listen = "localhost:81", port = 81 }
        "#,
    );
    let [a, b] = &settings.sessions[..] else {
        panic!("{settings:?}");
    };
    assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"));
    assert_eq!(a.profile.as_deref(), Some("work"));
    assert_eq!(b.profile.as_deref(), Some("home"));
    assert_eq!(b.region.as_deref(), Some("eu-west-1"));
    assert_eq!(b.endpoint_url.as_deref(), Some("http://127.0.0.1:8080"));
    assert_eq!(b.reason.as_deref(), Some("a test"));
    assert_eq!(a.protocol.ping_interval, Duration::from_secs(7));
    assert_eq!(b.protocol.ping_interval, Duration::from_millis(500));
    assert_eq!(b.protocol.call_timeout, Duration::from_secs(3));
    assert_eq!(b.protocol.fin_grace, Duration::ZERO);
    assert_eq!(b.protocol.payload_limit, 2048);
    assert_eq!(
        b.backoff,
        BackoffSettings {
            initial: Duration::from_secs(1),
            multiplier: 3.0,
            cap: Duration::from_secs(60),
        }
    );
    assert_eq!(
        b.forward.clone().unwrap().listen,
        [
            Listen::Localhost(0),
            Listen::Unix("/home/ada/b.sock".into()),
            Listen::Tcp("0.0.0.0:80".parse().unwrap()),
        ]
    );
    assert_eq!(b.forward.clone().unwrap().host.as_deref(), Some("orders.internal"));
}

/// Lines added to [`GOOD`] as lines 4 and 5; the key that is wrong; part of the message; part of the hint.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &str, &str)] = &[
    // Keys.
    ("targt = 1", "session.db.targt", "unknown key", "`target`"),
    ("listen = \":1\"", "session.db.listen", "unknown key", "belongs in forward"),
    ("ping_interval = \"1s\"", "session.db.ping_interval", "unknown key", "belongs in timings"),
    ("colour = 1", "session.db.colour", "unknown key", "[session.NAME] has `target`, `reason`"),
    ("[default]\nprofile = \"a\"", "default", "unknown key", "`defaults`"),
    ("[defaults]\nregoin = \"a\"", "defaults.regoin", "unknown key", "`region`"),
    ("[defaults]\ntarget = \"a\"", "defaults.target", "unknown key", "belongs in [session.NAME]"),
    ("timings = { ping_timout = \"1s\" }", "session.db.timings.ping_timout", "unknown key", "`ping_timeout`"),
    ("timings.backoff = { cpa = \"1s\" }", "session.db.timings.backoff.cpa", "unknown key", "`cap`"),
    // Kinds of values.
    ("profile = 5", "session.db.profile", "this is an integer; a string is needed", "\"5\""),
    ("timings = \"fast\"", "session.db.timings", "this is a string; a table is needed", "timings = { ping_timeout"),
    ("timings.ping_timeout = 5", "session.db.timings.ping_timeout", "a time span in quotes", "\"5s\""),
    ("timings.ping_timeout = \"5\"", "session.db.timings.ping_timeout", "\"5\" is no time span", "\"5s\" for seconds"),
    ("timings.ping_timeout = true", "session.db.timings.ping_timeout", "this is true or false", "\"15s\""),
    ("payload_limit = \"1024\"", "session.db.payload_limit", "a whole number is needed", "write 1024, without quotes"),
    ("colour = 1", "session.db.colour", "unknown key", "[session.NAME] has"),
    ("[session]\nx = 5", "session.x", "this is an integer; a table is needed", "[session.NAME]"),
    // Values.
    ("payload_limit = 63", "session.db.payload_limit", "63 is out of range", "from 64 to 60000"),
    ("payload_limit = 60001", "session.db.payload_limit", "60001 is out of range", "from 64 to 60000"),
    ("payload_limit = -1", "session.db.payload_limit", "-1 is out of range", "from 64 to 60000"),
    ("profile = \"\"", "session.db.profile", "this is empty", "leave the key out"),
    ("region = \"EU West\"", "session.db.region", "`EU West` is no region", "eu-west-1"),
    ("reason = \"a\\u0007b\"", "session.db.reason", "control characters", "'..'"),
    ("endpoint_url = \"ssm.local\"", "session.db.endpoint_url", "no scheme or no host", "https://vpce"),
    ("endpoint_url = \"http://ssm.local\"", "session.db.endpoint_url", "could be read on the way", "loopback"),
    ("endpoint_url = \"ftp://ssm.local\"", "session.db.endpoint_url", "`ftp`", "https://"),
    ("endpoint_url = \"https://a b\"", "session.db.endpoint_url", "this is no URL", "vpce"),
    // Timings.
    ("timings.ping_timeout = \"0s\"", "session.db.timings.ping_timeout", "too short", "without the key it is"),
    ("timings.ping_interval = \"10us\"", "session.db.timings.ping_interval", "too short", "without the key it is"),
    ("timings.fin_grace = \"2 days\"", "session.db.timings.fin_grace", "at most 1day", "AWS"),
    ("timings.backoff.multiplier = 1", "session.db.timings.backoff.multiplier", "a factor above 1", "2 doubles"),
    ("timings.backoff.multiplier = 0.5", "session.db.timings.backoff.multiplier", "a factor above 1", "2 doubles"),
    ("timings.backoff.multiplier = 101", "session.db.timings.backoff.multiplier", "a factor above 1", "2 doubles"),
    ("timings.backoff.multiplier = inf", "session.db.timings.backoff.multiplier", "no number to reckon with", "1.5"),
    ("timings.backoff.multiplier = \"2\"", "session.db.timings.backoff.multiplier", "a number is needed", "write 2, without quotes"),
    ("timings.backoff.initial = \"0s\"", "session.db.timings.backoff.initial", "too short", "without the key it is"),
    ("timings.backoff.initial = \"20s\"", "session.db.timings.backoff.initial", "longer than the longest one (15s, by default)", "cap"),
    ("timings.backoff.cap = \"50ms\"", "session.db.timings.backoff.cap", "the first wait (100ms, by default)", "cap"),
    // Syntax.
    ("profile = work", "", "a string needs quotes", "write \"work\""),
    ("target = \"i-1\"", "", "twice", "one of them"),
];

#[test]
fn every_mistake_is_named_with_its_line() {
    for &(added, key, message, hint) in WRONG {
        let found = problems(&format!("{GOOD}{added}\n"));
        let [problem] = &found[..] else {
            panic!("{added}: {found:?}");
        };
        assert_eq!(problem.key, key, "{added}");
        assert!(problem.message.contains(message), "{added}: {problem}");
        let line = match added.split_once('\n') {
            Some((_, second)) if place(problem).text == second => 5,
            _ => 4,
        };
        assert_eq!(place(problem).number, line, "{added}");
        let said = problem.hint.as_str();
        assert!(said.contains(hint), "{added}: {problem}");
        assert_eq!(hint.is_empty(), said.is_empty(), "{added}: {said}");
    }
}

#[test]
fn a_target_may_be_a_tag() {
    for target in [
        "tag:Name=bastion",
        "tag:aws:autoscaling:groupName=a=b",
        "tag:Name=two words",
    ] {
        let text = format!("[session.a]\ntarget = \"{target}\"\nforward = {{ listen = \":1\", port = 1 }}\n");
        let settings = parse(&text, Path::new("autossm.toml"), &Environment::default()).unwrap();
        assert_eq!(settings.sessions[0].target, target);
    }
}

/// A session alone; the key that is wrong; part of the message.
#[rustfmt::skip]
const WRONG_SESSIONS: &[(&str, &str, &str)] = &[
    ("[session.a]\nforward = {}", "session.a.target", "missing"),
    ("[session.a]\nforward = {}", "session.a.forward.listen", "missing"),
    ("[session.a]\nforward = {}", "session.a.forward.port", "missing"),
    ("[session.a]", "session.a.forward", "missing"),
    ("[session.a]\ntarget = \"\"", "session.a.target", "empty"),
    ("[session.a]\ntarget = \"tag:Name\"", "session.a.target", "no value"),
    ("[session.a]\ntarget = \"tag:=x\"", "session.a.target", "no key"),
    ("[session.a]\ntarget = \"i 1\"", "session.a.target", "blanks"),
    ("[session.\"a b\"]", "session.\"a b\"", "cannot name"),
    ("[session.-a]", "session.-a", "cannot name"),
    ("[session.a.forward]\nport = 0", "session.a.forward.port", "0 is out of range"),
    ("[session.a.forward]\nport = 65536", "session.a.forward.port", "65536 is out of range"),
    ("[session.a.forward]\nlisten = 80", "session.a.forward.listen", "a string is needed"),
    ("[session.a.forward]\nlisten = []", "session.a.forward.listen", "empty"),
    ("[session.a.forward]\nlisten = \"80\"", "session.a.forward.listen", "without an address"),
    ("[session.a.forward]\nlisten = \"0.0.0.0:80\"", "session.a.forward.listen", "other machines"),
    ("[session.a.forward]\nlisten = [\":1\", \":1\"]", "session.a.forward.listen", "twice"),
    ("[session.a.forward]\nhost = \"a:5432\"", "session.a.forward.host", "no name or address"),
    ("[session.a.forward]\nallow_remote_clients = \"yes\"", "session.a.forward.allow_remote_clients", "true or false is needed"),
];

#[test]
fn mistakes_of_a_forward_and_a_session_are_named() {
    for &(session, key, message) in WRONG_SESSIONS {
        let found = problems(session);
        assert!(
            found
                .iter()
                .any(|problem| problem.key == key && problem.message.contains(message)),
            "{session}: {key} {message}: {found:#?}"
        );
    }
    assert!(problems("")[0].message.contains("no session"));
}

#[test]
fn two_sessions_on_one_address_clash() {
    let other = "[session.other]\n\
        target = \"i-1\"\n\
        forward = { listen = [\"127.0.0.1:9\", \"localhost:5432\"], port = 1 }\n";
    let found = problems(&format!("{GOOD}{other}"));
    let [clash] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (place(clash).number, clash.key.as_str()),
        (6, "session.other.forward.listen")
    );
    assert_eq!(
        clash.message,
        "localhost:5432 is taken: session `db` listens on 127.0.0.1:5432"
    );
}

#[test]
fn all_problems_come_in_one_go_and_in_order() {
    let text = "[defaults]\nregoin = \"x\"\n[session.db]\ntimings = { ping_timeout = 5 }\n\
        forward = { listen = \"5432\", prot = 1 }\n";
    let invalid = parse(text, Path::new("a.toml"), &environment()).unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "5 problems in the configuration

a.toml:2:1: defaults.regoin: unknown key
  2 | regoin = \"x\"
    | ^^^^^^
  hint: did you mean `region`?

a.toml:3:10: session.db.target: missing
  3 | [session.db]
    |          ^^
  hint: add target = \"i-0123456789abcdef0\"

a.toml:4:28: session.db.timings.ping_timeout: this is an integer; a time span in quotes is needed
  4 | timings = { ping_timeout = 5 }
    |                            ^
  hint: write \"5s\" for seconds

a.toml:5:22: session.db.forward.listen: this is a port without an address
  5 | forward = { listen = \"5432\", prot = 1 }
    |                      ^^^^^^
  hint: write \"localhost:5432\", or \":5432\" for short

a.toml:5:30: session.db.forward.prot: unknown key
  5 | forward = { listen = \"5432\", prot = 1 }
    |                              ^^^^
  hint: did you mean `port`?"
    );
}

/// Pseudo-random numbers, the same ones each time.
fn noise() -> impl Iterator<Item = usize> {
    let next = |x: &u64| {
        Some(
            x.wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407),
        )
    };
    std::iter::successors(Some(7), next).map(|x| usize::try_from(x >> 33).unwrap())
}

#[test]
fn no_text_is_too_strange_to_be_read_and_complained_about() {
    const SAMPLE: &str = include_str!("../../config/autossm.toml");
    const STRANGE: [&str; 12] = [
        "\"",
        "[",
        "]]",
        "{",
        "=",
        "\n",
        "\u{7}",
        "\u{202e}",
        "\u{1f600}",
        "'''",
        "\\u",
        "1e999",
    ];
    let read = |text: &str| {
        if let Err(invalid) = parse(text, Path::new("a.toml"), &environment()) {
            assert!(!invalid.problems.is_empty());
            let said = invalid.to_string();
            assert!(!said.contains(['\u{7}', '\u{202e}']), "{said:?}");
        }
    };
    for (end, _) in SAMPLE.char_indices().step_by(7) {
        read(&SAMPLE[..end]);
    }
    let mut noise = noise();
    for _ in 0..300 {
        let mut text = SAMPLE.replace("# ", "");
        for _ in 0..noise.next().unwrap() % 4 + 1 {
            let at = noise.next().unwrap() % text.len();
            if text.is_char_boundary(at) {
                text.insert_str(at, STRANGE[noise.next().unwrap() % STRANGE.len()]);
            }
        }
        read(&text);
    }
}

#[test]
fn a_thousand_problems_are_enough() {
    let text: String = (0..3000).map(|n| format!("x{n} = 1\n")).collect();
    assert_eq!(problems(&text).len(), 1000);
}

#[test]
fn a_long_line_is_shown_around_what_is_wrong() {
    let text = format!(
        "{GOOD}reason = \"{}\"\ntimings = {{ {}pong = 1 }}\n",
        "x".repeat(300),
        " ".repeat(200)
    );
    let invalid = parse(&text, Path::new("a.toml"), &environment()).unwrap_err();
    let said = invalid.to_string();
    let shown = |line: &str| line.starts_with("  ") && line.contains(" | ");
    assert!(
        said.lines()
            .filter(|line| shown(line))
            .all(|line| line.chars().count() < 120),
        "{said}"
    );
    let marked = said.lines().rfind(|line| line.contains('^')).unwrap();
    let source = said.lines().rfind(|line| line.contains("pong = 1 }")).unwrap();
    assert!(source.contains("..."), "{said}");
    assert_eq!(marked.find('^'), source.find("pong"), "{said}");
}
