//! logind's word that the machine wakes up: the signal PrepareForSleep on the system bus (org.freedesktop.login1(5)).
//!
//! The clocks notice a sleep too, within a second; this says it at once, and also where the clocks say nothing. A
//! machine without a bus or without logind is an ordinary machine: nothing is logged above debug.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Wake-ups that may wait to be taken; one more would say nothing new.
const QUEUE: usize = 1;

/// A source of wake-ups.
#[derive(Debug)]
pub(super) struct Logind {
    wakes: mpsc::Receiver<()>,
    /// Listens; ends with this value.
    _task: JoinSet<()>,
}

impl Logind {
    /// Listens on the system bus, or where there is none, looks now and then whether there is. Needs a runtime.
    pub(super) fn listen() -> Self {
        let (sender, wakes) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        #[cfg(target_os = "linux")]
        task.spawn(bus::listen(sender));
        #[cfg(not(target_os = "linux"))]
        drop(sender);
        Self { wakes, _task: task }
    }

    /// Waits for the next wake-up. Cancel safe.
    pub(super) async fn woke(&mut self) {
        if self.wakes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(target_os = "linux")]
mod bus {
    use std::time::Duration;

    use futures_util::StreamExt;
    use tokio::sync::mpsc;
    use tokio::time::{sleep, timeout};
    use zbus::message::Type;
    use zbus::{Connection, MatchRule, MessageStream};

    /// How long the bus may take to let us in.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// Before another look for a bus that was not there, or has gone.
    const RETRY: Duration = Duration::from_secs(10);

    pub(super) async fn listen(wakes: mpsc::Sender<()>) {
        let mut silent = false;
        loop {
            match timeout(PATIENCE, subscribe()).await {
                Ok(Ok(signals)) => {
                    tracing::debug!("listening to logind on the system bus");
                    hear(signals, &wakes).await;
                    tracing::debug!("the system bus has gone; wake-ups are noticed by the clocks alone");
                    silent = true;
                }
                // Told once, not every few seconds.
                Ok(Err(_)) | Err(_) if silent => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "no system bus; wake-ups are noticed by the clocks alone");
                    silent = true;
                }
                Err(_) => {
                    tracing::debug!("the system bus does not answer; wake-ups are noticed by the clocks alone");
                    silent = true;
                }
            }
            sleep(RETRY).await;
        }
    }

    /// Only what logind itself says: any process may send a signal of that name.
    async fn subscribe() -> zbus::Result<MessageStream> {
        // `DBUS_SYSTEM_BUS_ADDRESS` is honoured.
        let connection = Connection::system().await?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.login1")
            .path("/org/freedesktop/login1")
            .interface("org.freedesktop.login1.Manager")
            .member("PrepareForSleep")
            .build()?;
        MessageStream::for_match_rule(rule, &connection, None).await
    }

    /// Returns when the bus has gone.
    async fn hear(mut signals: MessageStream, wakes: &mpsc::Sender<()>) {
        while let Some(Ok(signal)) = signals.next().await {
            match signal.body().deserialize::<bool>() {
                Ok(true) => tracing::debug!("the machine is about to sleep"),
                Ok(false) => {
                    // A full queue holds a wake-up already.
                    if wakes.try_send(()).is_err() {
                        tracing::trace!("woke up again before the last time was heard");
                    }
                }
                Err(error) => tracing::debug!(%error, "a signal of logind that makes no sense"),
            }
        }
    }
}
