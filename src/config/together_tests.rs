//! All problems in one go: those below a misspelt table, clashes between sessions, and a hint for each.

use std::path::Path;

use super::*;

fn said(text: &str) -> Vec<Problem> {
    let environment = Environment {
        home: Some("/home/ada".into()),
        runtime_dir: Some("/run/user/7".into()),
        ..Environment::default()
    };
    match parse(text, Path::new("a.toml"), &environment) {
        Ok(settings) => panic!("no problem: {text} {settings:?}"),
        Err(invalid) => invalid.problems,
    }
}

/// The keys that have problems.
fn keys(text: &str) -> Vec<String> {
    said(text).into_iter().map(|problem| problem.key).collect()
}

#[test]
fn what_is_wrong_below_a_misspelt_table_is_said_too() {
    let text = "[sesion.a]\ntarget = \"bastion\"\nregon = \"x\"\nforward = { listen = \":1\", prot = 1 }\n\
                [session.b]\ntarget = \"i-0\"\nForward = { listen = \"5432\", port = true }\n";
    assert_eq!(
        keys(text),
        [
            "sesion",
            "sesion.a.target",
            "sesion.a.regon",
            "sesion.a.forward.prot",
            "session.b.Forward",
            "session.b.Forward.listen",
            "session.b.Forward.port",
        ]
    );
    assert_eq!(keys("[defualts]\nregon = \"x\"\n"), ["defualts", "defualts.regon"]);
    assert_eq!(keys("sesion = 5\n"), ["sesion"]);
    // One of each name: what the right one says counts.
    assert_eq!(
        keys("[log]\nlevel = \"info\"\n[logg]\nlevel = \"loud\"\n[session.a]\ntarget = \"i-0\"\nshell = {}\n"),
        ["logg"]
    );
}

#[test]
fn two_sessions_cannot_take_over_the_same_one() {
    let session = |name: &str| format!("[session.{name}]\ntarget = \"i-0\"\nsession_id = \"ada-0\"\nshell = {{}}\n");
    let said = said(&(session("a") + &session("b")));
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].key, "session.b.session_id");
    assert!(said[0].other.is_some());
}

#[test]
fn the_control_sockets_own_place_is_taken() {
    for path in [
        "$XDG_RUNTIME_DIR/autossm/control.sock",
        "/run/user/7/autossm/control.sock.lock",
    ] {
        let text = format!("[session.a]\ntarget = \"i-0\"\nforward = {{ listen = \"unix:{path}\", port = 1 }}\n");
        let said = said(&text);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].message.contains("the daemon's own control socket"),
            "{}",
            said[0]
        );
    }
}

#[test]
fn carets_stand_below_wide_characters() {
    let said = said("[session.a]\ntarget = \"i-0\"\nforward = { listen = \"データ\", port = 1, x = 2 }\n");
    let shown: Vec<String> = said.iter().map(ToString::to_string).collect();
    for (shown, carets) in shown.iter().zip([
        "                     ^^^^^^^^",
        "                                         ^",
    ]) {
        assert!(shown.contains(&format!("    | {carets}\n")), "{shown}");
    }
}

#[test]
fn a_port_to_listen_on_gets_its_colon() {
    let said = said("[session.a]\ntarget = \"i-0\"\nforward = { listen = 5432, port = 1 }\n");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].to_string().contains("hint: write \":5432\""), "{}", said[0]);
}
