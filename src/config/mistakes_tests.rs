//! Fifty mistakes and what is said about each, for people to read: `tests/config/mistakes.txt`.

use std::path::Path;

use super::problem::Problems;
use super::trust::{Access, Kind, Me, distrust};
use super::*;

const SHOWN: &str = include_str!("../../tests/config/mistakes.txt");
/// Set to anything, it has the file written anew.
pub(super) const UPDATE: &str = "AUTOSSM_UPDATE";

const INTRODUCTION: &str = "\
What autossm says about mistakes in its configuration.

Each of them is made in a small file, mostly below one session in which nothing is wrong:

    [session.db]
    target = \"i-0123456789abcdef0\"
    forward = { listen = \"127.0.0.1:5432\", port = 5432 }

A test compares this file with what is really said; AUTOSSM_UPDATE=1 cargo test -p autossm --lib mistakes writes it anew.
";

/// Mistakes of one line, which is added to a session in which nothing is wrong.
#[rustfmt::skip]
const ADDED: &[(&str, &str)] = &[
    ("A letter is missing", "regon = \"eu-west-1\""),
    ("Two letters are swapped", "proifle = \"work\""),
    ("The right key in the wrong table", "ping_timeout = \"3s\""),
    ("A key of the forward, beside it", "allow_remote_clients = true"),
    ("A key that another program would have", "remote_host = \"orders.internal\""),
    ("A key from a dream", "colour = \"green\""),
    ("A word without quotes", "profile = work"),
    ("A quote is never closed", "profile = \"work"),
    ("The colon of other formats", "profile: \"work\""),
    ("The same key again", "target = \"i-0fedcba9876543210\""),
    ("No value", "region ="),
    ("A number where words belong", "profile = 5"),
    ("A list where one will do", "region = [\"eu-west-1\", \"eu-west-2\"]"),
    ("A number in quotes", "payload_limit = \"2048\""),
    ("A number too large", "payload_limit = 1_000_000"),
    ("True, in quotes", "[session.db.timings]\nbackoff = \"true\""),
    ("Seconds without saying so", "timings = { ping_timeout = 3 }"),
    ("Seconds, in quotes, still without saying so", "timings = { ping_timeout = \"3\" }"),
    ("A unit nobody knows", "timings = { ping_timeout = \"3 blinks\" }"),
    ("No time at all", "timings = { dial_timeout = \"0s\" }"),
    ("All the time in the world", "timings = { call_timeout = \"1 year\" }"),
    ("More patience than pings", "timings = { ping_timeout = \"20s\" }"),
    ("A keepalive that comes when it is over", "timings = { session_timeout = \"5m\", idle_keepalive = \"10m\" }"),
    ("A keepalive longer than AWS waits", "timings = { idle_keepalive = \"50m\" }"),
    ("A keepalive longer than the session lives", "timings = { idle_keepalive = \"5m\", max_duration = \"1m\" }"),
    ("An attempt longer than the session lives", "timings = { session_timeout = \"1m\", call_timeout = \"10m\" }"),
    ("A wrong time beside a right one", "timings = { ping_interval = \"0.5s\", ping_timeout = 1 }"),
    ("A session that lives for a year", "timings = { max_duration = \"1 year\" }"),
    ("An end that nobody plans", "on_end = \"sleep\""),
    ("A first wait longer than the longest", "timings.backoff = { initial = \"1m\", cap = \"10s\" }"),
    ("Waits that never grow", "timings.backoff.multiplier = 1"),
    ("A city instead of a region", "region = \"Ireland\""),
    ("A region without its last hyphen", "region = \"eu-west1\""),
    ("A region in capitals", "region = \"EU-WEST-1\""),
    ("A region with underscores", "region = \"eu_west_1\""),
    ("An availability zone", "region = \"eu-west-1b\""),
    ("A choice that is none", "on_exit = \"kill\""),
    ("Almost the right choice", "on_exit = \"Terminated\""),
    ("An endpoint without a scheme", "endpoint_url = \"ssm.eu-west-1.amazonaws.com\""),
    ("An endpoint that anybody could listen to", "endpoint_url = \"http://ssm.eu-west-1.amazonaws.com\""),
    ("A hyphen for an underscore", "on-exit = \"terminate\""),
    ("A date where words belong", "reason = 2020-01-01"),
    ("An endpoint with a password", "endpoint_url = \"http://bob:canary@127.0.0.1:19100/\""),
    ("An endpoint with a query", "endpoint_url = \"https://ssm.example.com/x?sig=canary\""),
    ("Nothing, in quotes", "reason = \"\""),
    ("A backslash too few", "reason = \"C:\\notes\""),
];

/// Mistakes of whole files.
#[rustfmt::skip]
const WHOLE: &[(&str, &str)] = &[
    ("An empty file", ""),
    ("A session without anything", "[session.db]\n"),
    ("A list of sessions", "[[session]]\nname = \"db\"\n"),
    ("A session without a name", "[session]\ntarget = \"i-0123456789abcdef0\"\n"),
    ("A name that would need quotes everywhere", "[session.\"orders db\"]\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \":5432\", port = 5432 }\n"),
    ("A bracket is missing", "[session.db\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \":5432\", port = 5432 }\n"),
    ("A letter is missing in a table's name, and more below it", "[sesion.db]\ntarget = \"i-0123456789abcdef0\"\nForward = { listen = \"5432\", port = 5432 }\n"),
    ("The format of other programs", "{\n  \"session\": { \"db\": { \"target\": \"i-0123456789abcdef0\" } }\n}\n"),
    ("A log level nobody has", "[log]\nlevel = \"verbose\"\n\n[session.db]\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \":5432\", port = 5432 }\n"),
];

/// Mistakes in the target and the forward of a session.
#[rustfmt::skip]
const SESSIONS: &[(&str, &str, &str)] = &[
    ("The name of an instance instead of its id", "bastion", "{ listen = \":5432\", port = 5432 }"),
    ("The letter O for a zero", "i-O123456789abcdef", "{ listen = \":5432\", port = 5432 }"),
    ("A tag without a value", "tag:Name", "{ listen = \":5432\", port = 5432 }"),
    ("Half a container", "ecs:cluster", "{ listen = \":5432\", port = 5432 }"),
    ("A port for a forward", "i-0123456789abcdef0", "5432"),
    ("A number to listen on", "i-0123456789abcdef0", "{ listen = 5432, port = 5432 }"),
    ("A port by its name", "i-0123456789abcdef0", "{ listen = \":5432\", port = \"https\" }"),
    ("A port that is not there", "i-0123456789abcdef0", "{ listen = \":5432\", port = }"),
    ("A comma in the place of a value", "i-0123456789abcdef0", "{ listen = , port = 5432 }"),
    ("Wide characters", "i-0123456789abcdef0", "{ listen = \"データベース\", port = 5432 }"),
    ("The daemon's own socket", "i-0123456789abcdef0", "{ listen = \"unix:$XDG_RUNTIME_DIR/autossm/control.sock\", port = 5432 }"),
    ("A port alone", "i-0123456789abcdef0", "{ listen = \"5432\", port = 5432 }"),
    ("A port that is too large", "i-0123456789abcdef0", "{ listen = \":54320\", port = 543200 }"),
    ("A host nobody here could listen on", "i-0123456789abcdef0", "{ listen = \"orders.internal:5432\", port = 5432 }"),
    ("A door open to the whole network", "i-0123456789abcdef0", "{ listen = \"0.0.0.0:5432\", port = 5432 }"),
    ("An IPv6 address without brackets", "i-0123456789abcdef0", "{ listen = \"::1:5432\", port = 5432 }"),
    ("A path without a kind", "i-0123456789abcdef0", "{ listen = \"/run/db.sock\", port = 5432 }"),
    ("A path from nowhere in particular", "i-0123456789abcdef0", "{ listen = \"unix:db.sock\", port = 5432 }"),
    ("The same place twice", "i-0123456789abcdef0", "{ listen = [\"localhost:5432\", \"127.0.0.1:5432\"], port = 5432 }"),
    ("The port in the host", "i-0123456789abcdef0", "{ listen = \":5432\", host = \"orders.internal:5432\", port = 5432 }"),
];

const GOOD: &str =
    "[session.db]\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \"127.0.0.1:5432\", port = 5432 }\n";

/// Mistakes it takes several sessions or files for.
#[rustfmt::skip]
const SEVERAL: &[(&str, &[(&str, &str)])] = &[
    ("Two sessions on one address", &[("config.toml", "\
[session.db]\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \"127.0.0.1:5432\", port = 5432 }\n\n\
[session.replica]\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \":5432\", host = \"replica.internal\", port = 5432 }\n")]),
    ("Two sessions on one socket, in two files", &[
        ("config.toml", "[session.db]\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \"unix:~/db.sock\", port = 5432 }\n"),
        ("config.d/replica.toml", "[session.replica]\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \"unix:/home/ada/db.sock\", port = 5433 }\n")]),
    ("Two sessions that take over one", &[("config.toml", "\
[session.a]\ntarget = \"i-0123456789abcdef0\"\nsession_id = \"ada-0123456789abcdef0\"\nshell = {}\n\n\
[session.b]\ntarget = \"i-0123456789abcdef0\"\nsession_id = \"ada-0123456789abcdef0\"\nshell = {}\n")]),
    ("One session in two files", &[("config.toml", GOOD), ("config.d/db.toml", "# Copied, to be changed later.\n[session.db]\ntarget = \"i-0fedcba9876543210\"\nforward = { listen = \":5433\", port = 5432 }\n")]),
    ("Much at once", &[
        ("config.toml", "[default]\nprofile = \"work\"\n\n[session.db]\ntarget = \"i-0123456789abcdef0\"\nforward = { listen = \"127.0.0.1:5432\", prot = 5432 }\n"),
        ("config.d/web.toml", "[session.web]\ntarget = \"i-0123456789abcdef0\nforward = { listen = \"127.0.0.1:5432\", port = 80 }\ntimings = { ping_timeout = 5 }\n")]),
];

fn environment() -> Environment {
    Environment {
        home: Some("/home/ada".into()),
        runtime_dir: Some("/run/user/1000".into()),
        ..Environment::default()
    }
}

fn said(files: &[(&str, &str)]) -> String {
    let sources: Vec<Source> = files
        .iter()
        .map(|(path, text)| Source {
            path: path.into(),
            text: (*text).to_owned(),
        })
        .collect();
    match assemble(&sources, &environment()) {
        Ok(settings) => panic!("no mistake: {files:?} {settings:?}"),
        Err(invalid) => invalid.to_string(),
    }
}

/// What is said about a file with these permissions, which only root could make.
fn access(path: &str, access: Access) -> String {
    let me = Me {
        uid: 1000,
        private_group: Some(1000),
        unknown: None,
    };
    let (message, hint) = distrust(Path::new(path), access, me).unwrap();
    let mut problems = Problems::default();
    problems.whole(Path::new(path), message, hint);
    problems.locate(&[]).to_string()
}

fn all() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for (title, added) in ADDED {
        all.push((*title, said(&[("config.toml", &format!("{GOOD}{added}\n"))])));
    }
    for (title, target, forward) in SESSIONS {
        let text = format!("[session.db]\ntarget = \"{target}\"\nforward = {forward}\n");
        all.push((*title, said(&[("config.toml", &text)])));
    }
    for (title, text) in WHOLE {
        all.push((*title, said(&[("config.toml", text)])));
    }
    for (title, files) in SEVERAL {
        all.push((*title, said(files)));
    }
    for (title, path, kind, uid, mode) in [
        ("A file everybody may change", "config.toml", Kind::File, 1000, 0o666),
        ("A file of somebody else", "config.d/bobs.toml", Kind::File, 1001, 0o644),
        (
            "A directory a whole team may change",
            "config.d",
            Kind::Directory,
            1000,
            0o775,
        ),
    ] {
        let said = access(
            path,
            Access {
                kind,
                uid,
                gid: 100,
                mode,
            },
        );
        all.push((title, said));
    }
    all
}

#[test]
fn fifty_mistakes_are_explained_so_that_a_person_can_repair_them() {
    let mistakes = all();
    assert!(mistakes.len() >= 50, "{}", mistakes.len());
    let shown = |(number, (title, said)): (usize, &(&str, String))| {
        let (_, problems) = said.split_once("\n\n").unwrap();
        format!("\n\n{}. {title}\n\n{problems}\n", number + 1)
    };
    let text = INTRODUCTION.to_owned() + &mistakes.iter().enumerate().map(shown).collect::<String>();
    for (title, said) in &mistakes {
        assert!(said.contains("\n  hint: "), "{title}: no hint");
        assert!(
            !said.contains(env!("CARGO_MANIFEST_DIR")),
            "{title}: a path of this machine"
        );
    }
    if std::env::var_os(UPDATE).is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/mistakes.txt");
        std::fs::write(file, &text).unwrap();
        return;
    }
    let first_difference = SHOWN.lines().zip(text.lines()).find(|(shown, said)| shown != said);
    assert!(
        SHOWN == text,
        "tests/config/mistakes.txt is out of date: {first_difference:?}; read what {UPDATE}=1 makes of it"
    );
}
