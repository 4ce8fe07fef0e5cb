//! What signals ask for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// From its making on, these signals no longer end the process by themselves.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

/// What one asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The end. The signal's name is for the log.
    End(&'static str),
    /// SIGUSR2: the end, and no AWS session is left to time out, whatever the settings say. The signal's name again.
    Terminate(&'static str),
    /// SIGHUP: the configuration again.
    Reload,
    /// SIGUSR1: all sessions attach anew.
    Reconnect,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// What the next one asks for. Cancel safe.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            Some(()) = self.terminate.recv() => Wish::End("SIGTERM"),
            Some(()) = self.interrupt.recv() => Wish::End("SIGINT"),
            Some(()) = self.hangup.recv() => Wish::Reload,
            Some(()) = self.user1.recv() => Wish::Reconnect,
            Some(()) = self.user2.recv() => Wish::Terminate("SIGUSR2"),
            // None can come any more, which tokio does not let happen while the runtime lives.
            else => std::future::pending().await,
        }
    }

    /// Waits for one that asks for the end. Cancel safe.
    pub(super) async fn end(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Wish::End(name) | Wish::Terminate(name) => return name,
                Wish::Reload | Wish::Reconnect => tracing::info!("signal ignored: autossm is stopping"),
            }
        }
    }
}
