//! `autossm attach` as a user sees it.

use crate::user::User;
use crate::{Bench, program};

impl Bench {
    /// Somebody at a terminal of this size attaches.
    fn user(&self, arguments: &[&str], size: (u16, u16)) -> User {
        let arguments = [&["attach"], arguments].concat();
        User::start(program(), &arguments, self.daemon.environment(), size)
    }
}

#[tokio::test]
async fn a_shell_survives_a_drop_with_what_was_typed_meanwhile() {
    let bench = Bench::start().await;
    let mut user = bench.user(&["build"], (24, 80));
    let before = user.settings();
    user.reads("$ ").await;
    user.type_in("echo one-$((1+1))\r").await;
    user.reads("one-2").await;
    assert_ne!(
        format!("{:?}", user.settings().local_modes),
        format!("{:?}", before.local_modes),
        "raw"
    );
    bench.cut(3000).await;
    user.reads("[autossm] build: reattaching").await;
    user.type_in("echo two-$((2+1))\r").await;
    user.reads("18 keystrokes wait").await;
    user.reads("two-3").await;
    user.sees("no status line", |screen| !screen.contents().contains("[autossm]"))
        .await;
    user.type_in("\r~.").await;
    let status = user.ends().await;
    assert!(status.success(), "{status}");
    assert_eq!(format!("{:?}", user.settings()), format!("{before:?}"), "as it was");
    assert!(user.screen().contents().contains("detached"), "{:?}", user.rows());
    let session = bench.attached().await;
    assert_eq!((session.figures.drops, session.figures.starts), (1, 1));
}
