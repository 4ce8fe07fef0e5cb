//! Notices that the machine's network has changed.
//!
//! The kernel tells (Linux: netlink, no privilege needed); where it does not, the addresses with which the machine
//! would go to the internet are looked at now and then, which sends nothing.

#[cfg(target_os = "linux")]
mod netlink;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use autossm_proto::session::NetworkChange;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

/// Changes come in bursts: the first is told at once, what follows within this time is told once more at its end.
const BURST: Duration = Duration::from_millis(200);
/// How often the addresses are looked at where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(3);

/// A source of changes.
#[derive(Debug)]
pub struct NetWatch {
    source: Source,
    /// Until when the burst that was told last goes on.
    quiet_at: Option<Instant>,
    pending: Option<NetworkChange>,
}

#[derive(Debug)]
enum Source {
    #[cfg(target_os = "linux")]
    Kernel(netlink::Netlink),
    Look {
        ticks: Interval,
        seen: [Option<IpAddr>; 2],
    },
}

impl NetWatch {
    /// Asks the kernel, or falls back to looking. Needs a runtime.
    pub fn start() -> Self {
        #[cfg(target_os = "linux")]
        match netlink::Netlink::open() {
            Ok(netlink) => return Self::new(Source::Kernel(netlink)),
            Err(error) => {
                tracing::warn!(%error, "the kernel does not tell of network changes, looking every {LOOK:?} instead");
            }
        }
        Self::looking()
    }

    /// Looks every few seconds.
    fn looking() -> Self {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::new(Source::Look { ticks, seen: routes() })
    }

    const fn new(source: Source) -> Self {
        Self {
            source,
            quiet_at: None,
            pending: None,
        }
    }

    /// Waits for the next change. Cancel safe.
    pub async fn next(&mut self) -> NetworkChange {
        loop {
            match (self.quiet_at, self.pending) {
                (Some(quiet_at), Some(change)) => {
                    tokio::select! {
                        () = sleep_until(quiet_at) => {
                            self.pending = None;
                            self.quiet_at = Some(now() + BURST);
                            return change;
                        }
                        more = self.source.next() => self.pending = Some(change.min(more)),
                    }
                }
                (quiet_at, _) => {
                    let change = self.source.next().await;
                    if quiet_at.is_some_and(|at| now() < at) {
                        self.pending = Some(change);
                    } else {
                        self.quiet_at = Some(now() + BURST);
                        return change;
                    }
                }
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's own clock, for a wait of the runtime"
)]
fn now() -> Instant {
    Instant::now()
}

impl Source {
    async fn next(&mut self) -> NetworkChange {
        match self {
            #[cfg(target_os = "linux")]
            Self::Kernel(netlink) => {
                let error = match netlink.next().await {
                    Ok(change) => return change,
                    Err(error) => error,
                };
                tracing::warn!(%error, "the kernel no longer tells of network changes, looking every {LOOK:?} instead");
                *self = NetWatch::looking().source;
                // Whatever the error hid may have been a change.
                NetworkChange::Route
            }
            Self::Look { ticks, seen } => loop {
                ticks.tick().await;
                let found = routes();
                if std::mem::replace(seen, found) != found {
                    return NetworkChange::Address;
                }
            },
        }
    }
}

/// The local addresses with which this machine would go to the internet, by family; connecting a datagram socket sends
/// nothing.
fn routes() -> [Option<IpAddr>; 2] {
    // Addresses for documentation: routed like any other, used by nobody (RFC 5737, RFC 3849).
    let v4 = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 0, 2, 1));
    let v6 = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let local = |from: SocketAddr, to: SocketAddr| -> io::Result<IpAddr> {
        let socket = UdpSocket::bind(from)?;
        socket.connect(to)?;
        Ok(socket.local_addr()?.ip())
    };
    [
        local((v4.0, 0).into(), (v4.1, 9).into()).ok(),
        local((v6.0, 0).into(), (v6.1, 9).into()).ok(),
    ]
}

/// Whether this machine has this address now: only its own can be bound. An error that says something else is no
/// answer.
pub fn has_address(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

/// The most telling of several changes.
fn most_telling(changes: &BTreeSet<NetworkChange>) -> Option<NetworkChange> {
    changes.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_nobody_is_gone_and_loopback_is_there() {
        assert!(has_address(Ipv4Addr::LOCALHOST.into()));
        assert!(!has_address(Ipv4Addr::new(192, 0, 2, 7).into()));
    }

    #[tokio::test(start_paused = true)]
    async fn looking_says_nothing_while_nothing_changes() {
        let mut watch = NetWatch::looking();
        let found = tokio::time::timeout(LOOK * 10, watch.next()).await;
        assert!(found.is_err(), "{found:?}");
        // As if the machine had had another address before.
        if let Source::Look { seen, .. } = &mut watch.source {
            seen[0] = Some(Ipv4Addr::new(192, 0, 2, 7).into());
        }
        assert_eq!(watch.next().await, NetworkChange::Address);
    }
}
