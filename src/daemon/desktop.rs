//! Notices on the desktop: org.freedesktop.Notifications on the session bus
//! (<https://specifications.freedesktop.org/notification-spec/>). Without a bus or a desktop there are none.

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::notices::{Notice, Notices, Plan};
use crate::clock::{Clock, SleepMeter};
use crate::status::EventLine;
use crate::supervisor::PhaseBoard;

/// Shows notices in a task of its own; ends with this value.
#[derive(Debug)]
pub(super) struct Desktop {
    plan: watch::Sender<Plan>,
    _task: JoinSet<()>,
}

impl Desktop {
    /// Shows what happens on `board` from now on. Needs a runtime.
    pub(super) fn start(board: &PhaseBoard, plan: Plan) -> Self {
        let (plan, changes) = watch::channel(plan);
        let mut task = JoinSet::new();
        task.spawn(show(board.subscribe(), changes));
        Self { plan, _task: task }
    }

    /// Other settings.
    pub(super) fn follow(&self, plan: Plan) {
        self.plan.send_if_modified(|now| {
            let differs = *now != plan;
            *now = plan;
            differs
        });
    }
}

async fn show(mut events: broadcast::Receiver<EventLine>, mut plan: watch::Receiver<Plan>) {
    let mut notices = Notices::new(plan.borrow_and_update().clone());
    let mut sleep = SleepMeter::new(Clock);
    loop {
        let due = notices.poll_timeout();
        let timeout = async {
            match due {
                Some(at) => Clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = events.recv() => Some(event),
            () = timeout => None,
            changed = plan.changed() => {
                if changed.is_err() {
                    return;
                }
                notices.follow(plan.borrow_and_update().clone());
                continue;
            }
        };
        if let Some(slept) = sleep.look() {
            notices.handle_slept(slept);
        }
        let notice = match event {
            Some(Ok(line)) => notices.handle(&line.event, Clock.now()),
            // The next event of each session sets it right.
            Some(Err(RecvError::Lagged(_))) => None,
            Some(Err(RecvError::Closed)) => return,
            None => notices.handle_timeout(Clock.now()),
        };
        if let Some(notice) = notice.filter(|_| plan.borrow().desktop) {
            send(&notice).await;
        }
    }
}

#[cfg(not(target_os = "linux"))]
async fn send(notice: &Notice) {
    tracing::debug!(notice = notice.summary(), "no desktop notices on this system");
}

#[cfg(target_os = "linux")]
async fn send(notice: &Notice) {
    /// How long a desktop may take; sessions do not wait for it, only the next notice does.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
    let summary = notice.summary();
    match tokio::time::timeout(PATIENCE, bus::notify(notice)).await {
        Ok(Ok(())) => tracing::debug!(notice = summary, "shown on the desktop"),
        Ok(Err(error)) => tracing::debug!(notice = summary, %error, "no desktop shows this"),
        Err(_) => tracing::debug!(notice = summary, "the desktop does not answer"),
    }
}

#[cfg(target_os = "linux")]
mod bus {
    use std::collections::HashMap;

    use zbus::Connection;
    use zbus::Variant;

    use crate::daemon::notices::Notice;

    /// What a notice replaces: nothing.
    const NEW: u32 = 0;
    /// The desktop decides how long it is shown.
    const ITS_OWN_TIME: i32 = -1;

    /// A connection for each notice: they are rare, and a session bus comes and goes with its desktop.
    pub(super) async fn notify(notice: &Notice) -> zbus::Result<()> {
        // `DBUS_SESSION_BUS_ADDRESS`, or else `$XDG_RUNTIME_DIR/bus`.
        let connection = Connection::session().await?;
        let name = "org.freedesktop.Notifications";
        let nothing_to_click: [&str; 0] = [];
        let hints = HashMap::from([("desktop-entry", Variant::from("autossm"))]);
        let body = (
            "autossm",
            NEW,
            "network-transmit-receive",
            notice.summary(),
            without_markup(notice.body()),
            &nothing_to_click[..],
            hints,
            ITS_OWN_TIME,
        );
        let path = "/org/freedesktop/Notifications";
        connection
            .call_method(Some(name), path, Some(name), "Notify", &body)
            .await?;
        Ok(())
    }

    /// Some desktops take the body for markup, and a cause may come from the other side.
    fn without_markup(text: &str) -> String {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn a_cause_cannot_make_a_link() {
            let text = super::without_markup("<a href=\"x\">&");
            assert_eq!(text, "&lt;a href=\"x\"&gt;&amp;");
        }
    }
}
