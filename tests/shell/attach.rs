//! `autossm attach` as a user sees it.

use rustix::process::Signal;

use crate::support::comes_true;
use crate::user::User;
use crate::{Bench, kill, program, skips_outside_agents};

impl Bench {
    /// Somebody at a terminal of this size attaches.
    pub(crate) fn user(&self, arguments: &[&str], size: (u16, u16)) -> User {
        let arguments = [&["attach"], arguments].concat();
        User::start(program(), &arguments, self.daemon.environment(), size)
    }
}

#[tokio::test]
async fn a_shell_survives_a_drop_with_what_was_typed_meanwhile() {
    let bench = Bench::start().await;
    let mut user = bench.user(&["build"], (24, 80));
    let before = user.settings_before();
    user.reads("$ ").await;
    user.type_in("echo one-$((1+1))\r").await;
    user.reads("one-2").await;
    assert_ne!(user.settings(), before, "raw");
    bench.cut(3000).await;
    user.reads("[autossm] build: reattaching").await;
    user.type_in("echo two-$((2+1))\r").await;
    user.reads("18 keystrokes wait").await;
    user.reads("two-3").await;
    user.gone("[autossm]").await;
    user.type_in("\r~.").await;
    let status = user.ends().await;
    assert!(status.success(), "{status}");
    assert_eq!(user.settings(), before, "as it was");
    assert!(user.screen().contents().contains("detached"), "{:?}", user.rows());
    let session = bench.attached().await;
    assert_eq!((session.figures.drops, session.figures.starts), (1, 1));
}

#[tokio::test]
async fn a_terminal_that_comes_back_gets_the_screen_and_the_scrollback() {
    let bench = Bench::start().await;
    let mut user = bench.user(&["build"], (24, 80));
    user.reads("$ ").await;
    user.type_in("seq -f 'line %g' 1 300\r").await;
    user.reads("line 300").await;
    user.type_in("\r~.").await;
    user.ends().await;
    for size in [(24, 80), (40, 132), (10, 40)] {
        let mut user = bench.user(&["build"], size);
        user.reads("line 300").await;
        user.type_in("stty size\r").await;
        user.reads(&format!("{} {}", size.0, size.1)).await;
        let mut lines = user.scrollback();
        lines.extend(user.rows());
        let numbers: Vec<u32> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("line ")?.trim().parse().ok())
            .collect();
        assert_eq!(numbers, (1..=300).collect::<Vec<u32>>(), "{size:?}");
        user.type_in("\r~.").await;
        user.ends().await;
    }
    assert_eq!(bench.attached().await.figures.starts, 1);
}

/// What to type for the shell to say `<word>` once its terminal has this size. Asking only once would be too early: what
/// is typed overtakes the signal that tells the program of its terminal's new size, and the daemon's notice of a user
/// who has gone.
fn until_sized(size: &str, word: &str) -> String {
    format!("until stty size | grep -qx '{size}'; do sleep 0.1; done; printf '<%s>\\n' {word}\r")
}

#[tokio::test]
async fn several_may_look_and_the_smallest_decides() {
    let bench = Bench::start().await;
    let mut large = bench.user(&["build"], (40, 120));
    large.reads("$ ").await;
    let mut small = bench.user(&["build"], (20, 60));
    small.reads("$ ").await;
    let mut reader = bench.user(&["--read-only", "build"], (5, 20));
    reader.reads("$ ").await;
    small.type_in(&until_sized("20 60", "first")).await;
    for user in [&mut large, &mut small] {
        user.reads("<first>").await;
    }
    reader.type_in("echo not-me\r").await;
    small.resize(30, 70);
    small.type_in(&until_sized("30 70", "second")).await;
    large.reads("<second>").await;
    small.type_in("\r~.").await;
    small.ends().await;
    large.type_in(&until_sized("40 120", "third")).await;
    large.reads("<third>").await;
    assert!(!large.screen().contents().contains("not-me"));
    reader.type_in("~.").await;
    assert!(reader.ends().await.success());
}

#[tokio::test]
async fn the_terminal_is_as_it_was_however_it_ends() {
    let bench = Bench::start().await;
    // A signal to the client.
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut user = bench.user(&["build"], (24, 80));
        let before = user.settings_before();
        user.reads("$ ").await;
        user.type_in("printf '\\033[?1049h\\033[?1h\\033[?2004h\\033[?1002h'; echo in\r")
            .await;
        user.sees("the other screen", |screen| {
            screen.alternate_screen() && screen.bracketed_paste()
        })
        .await;
        kill(user.pid(), signal);
        user.ends().await;
        assert_eq!(user.settings(), before, "{signal:?}");
        let screen = user.screen();
        assert!(!screen.alternate_screen() && !screen.bracketed_paste() && !screen.application_cursor());
        let mut again = bench.user(&["build"], (24, 80));
        again.sees("the other screen", vt100::Screen::alternate_screen).await;
        again
            .type_in("printf '\\033[?1049l\\033[?1l\\033[?2004l\\033[?1002l'\r")
            .await;
        again.sees("the main screen", |screen| !screen.alternate_screen()).await;
        again.type_in("\r~.").await;
        again.ends().await;
    }
    // kill -9 of the client: the daemon goes on.
    let mut user = bench.user(&["build"], (24, 80));
    user.reads("$ ").await;
    kill(user.pid(), Signal::KILL);
    user.ends().await;
    // kill -9 of the daemon: the client notices, and restores.
    let mut user = bench.user(&["build"], (24, 80));
    let before = user.settings_before();
    user.type_in("echo still-$((40+2))\r").await;
    user.reads("still-42").await;
    assert_eq!(bench.attached().await.figures.starts, 1);
    kill(bench.daemon.pid().unwrap(), Signal::KILL);
    let status = user.ends().await;
    assert_eq!(status.code(), Some(75), "{:?}", user.rows());
    assert_eq!(user.settings(), before);
    assert!(
        user.screen().contents().contains("the daemon has ended"),
        "{:?}",
        user.rows()
    );
}

#[tokio::test]
async fn a_shell_that_ends_says_so_and_the_next_attach_starts_another() {
    let bench = Bench::start().await;
    let mut user = bench.user(&[], (24, 80));
    user.reads("$ ").await;
    user.type_in("exit\r").await;
    let status = user.ends().await;
    assert!(status.success(), "{status} {:?}", user.rows());
    assert!(
        user.screen().contents().contains("the shell has ended"),
        "{:?}",
        user.rows()
    );
    let dormant = |session: &autossm::status::SessionStatus| session.phase == autossm_proto::session::Phase::Dormant;
    bench.daemon.wait_until("dormant", dormant).await.unwrap();
    let mut user = bench.user(&["build"], (24, 80));
    user.reads("$ ").await;
    user.type_in("echo new-$((1+1))\r").await;
    user.reads("new-2").await;
    assert_eq!(bench.attached().await.figures.starts, 2);
}

#[tokio::test]
async fn a_target_gets_a_shell_of_its_own_that_outlives_its_terminal() {
    let bench = Bench::start().await;
    bench.attached().await;
    let mut user = bench.user(&["i-0abc"], (24, 80));
    user.reads("$ ").await;
    user.type_in("X=kept\r\r~.").await;
    user.ends().await;
    assert!(user.screen().contents().contains("shell-i-0abc-1"), "{:?}", user.rows());
    let mut user = bench.user(&["shell-i-0abc-1"], (24, 80));
    user.type_in("echo $X-$X\r").await;
    user.reads("kept-kept").await;
    user.type_in("exit\r").await;
    assert!(user.ends().await.success());
    let only_one = async || bench.daemon.client().status().await.unwrap().sessions.len() == 1;
    assert!(comes_true(only_one).await, "the shell's session stays");
}

/// A shell whose agent asks for a handshake, as encrypted ones do, is no different.
#[tokio::test]
async fn a_shell_with_a_handshake() {
    if skips_outside_agents() {
        return;
    }
    let mut config = autossm_sim::Config::default();
    config.agent.handshake_for_shells = true;
    let bench = Bench::with(config, "shell = {}").await;
    let mut user = bench.user(&["build"], (24, 80));
    user.reads("$ ").await;
    bench.cut(0).await;
    user.type_in("echo one-$((1+1))\r").await;
    user.reads("one-2").await;
    assert!(bench.attached().await.agent_version.is_some());
}

#[tokio::test]
async fn escapes_are_listed_and_leave_no_trace() {
    let bench = Bench::start().await;
    let mut user = bench.user(&["build"], (24, 80));
    user.reads("$ ").await;
    user.type_in("~?").await;
    user.reads("~.  detach").await;
    user.type_in("echo ~~\r").await;
    user.gone("~.  detach").await;
    user.reads("echo ~~").await;
}

#[tokio::test]
async fn a_document_with_parameters() {
    let keys = "shell = { document = \"AWS-StartInteractiveCommand\", parameters = { command = \"echo from-$((1+1)); cat\" } }";
    let bench = Bench::with(autossm_sim::Config::default(), keys).await;
    let mut user = bench.user(&["build"], (24, 80));
    user.reads("from-2").await;
    user.type_in("abc\x04").await;
    user.reads("abcabc").await;
}
