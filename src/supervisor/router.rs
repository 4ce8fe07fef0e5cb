//! The core's local connections and the pumps that serve them.

use std::collections::BTreeMap;

use autossm_proto::session::LocalId;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::endpoint::{LocalEvent, LocalMessage, LocalSocket, OrderSender, Pump, PumpCommand, orders};

/// Local connections of one session, lingering ones included; more wait in the kernel's queue.
pub(super) const MAX_CONNECTIONS: usize = 1024;
/// Reports of all pumps that may wait for the session.
const REPORTS: usize = 1024;
/// Reports taken in one turn, so that the websocket gets its own.
const REPORT_BATCH: usize = 256;
/// Bytes one connection may have been granted and not yet sent: two of a pump's reads, so that one is read while the
/// other is carried.
const GRANT_MAX: usize = 128 * 1024;
/// A grant that is not used up grows by no less than this.
const GRANT_STEP: usize = 16 * 1024;

/// Who serves which connection.
#[derive(Debug)]
pub(super) struct Router {
    /// Those the core knows. A pump that only lingers or resets has no entry any more.
    connections: BTreeMap<LocalId, Connection>,
    pumps: JoinSet<LocalId>,
    reports: mpsc::Receiver<LocalMessage>,
    reporter: mpsc::Sender<LocalMessage>,
}

#[derive(Debug)]
struct Connection {
    orders: OrderSender,
    pump: AbortHandle,
    credit: Credit,
    /// The far side has ended. The core still waits for the last byte to be written, or for the client to go.
    finishing: bool,
}

/// Bytes granted to a pump and not yet come back as data.
#[derive(Debug, Default)]
struct Credit {
    outstanding: usize,
}

/// What [`Router::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RouterNews {
    /// Reports have been put in the batch.
    Reports,
    /// A pump failed without a word; the core still knows its connection.
    Lost(LocalId),
}

impl Router {
    pub(super) fn new() -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS);
        Self {
            connections: BTreeMap::new(),
            pumps: JoinSet::new(),
            reports,
            reporter,
        }
    }

    /// Whether one more connection may be accepted.
    pub(super) fn has_room(&self) -> bool {
        self.pumps.len() < MAX_CONNECTIONS
    }

    /// Whether a pump still has to do with this connection.
    pub(super) fn serves(&self, local: LocalId) -> bool {
        self.connections.contains_key(&local)
    }

    /// Serves an accepted connection under the name the core gave it; reads nothing until [`grant`](Self::grant).
    pub(super) fn open(&mut self, local: LocalId, socket: LocalSocket) {
        let (orders, reader) = orders();
        let pump = Pump::new(local, socket, reader, self.reporter.clone());
        let connection = Connection {
            orders,
            pump: self.pumps.spawn(pump.run()),
            credit: Credit::default(),
            finishing: false,
        };
        self.connections.insert(local, connection);
    }

    /// Waits for the pumps. Cancel safe.
    pub(super) async fn next(&mut self, batch: &mut Vec<LocalMessage>) -> RouterNews {
        loop {
            tokio::select! {
                _ = self.reports.recv_many(batch, REPORT_BATCH) => return RouterNews::Reports,
                Some(ended) = self.pumps.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a local connection's task failed");
                    if let Some(local) = self.forget(error.id()) {
                        return RouterNews::Lost(local);
                    }
                },
            }
        }
    }

    /// Books a report; true when the core is to know it.
    pub(super) fn admits(&mut self, report: &LocalMessage) -> bool {
        let Some(connection) = self.connections.get_mut(&report.local) else {
            // The core has reset it.
            return false;
        };
        match &report.event {
            LocalEvent::Written(_) => true,
            LocalEvent::Eof => !connection.finishing,
            LocalEvent::Data(bytes) => {
                connection.credit.used(bytes.len());
                !connection.finishing
            }
            LocalEvent::Reset => {
                self.connections.remove(&report.local);
                true
            }
            LocalEvent::Done => {
                self.connections.remove(&report.local);
                false
            }
        }
    }

    /// Lets the connection's pump read what the core has room for.
    pub(super) fn grant(&mut self, local: LocalId, room: usize) {
        if let Some(connection) = self.connections.get_mut(&local)
            && let Some(bytes) = connection.credit.grow(room)
        {
            order(connection, PumpCommand::Grant(bytes));
        }
    }

    /// Writes to the connection.
    pub(super) fn write(&self, local: LocalId, bytes: Bytes) {
        if let Some(connection) = self.connections.get(&local) {
            order(connection, PumpCommand::Write(bytes));
        }
    }

    /// Lets the connection end in peace once all is written.
    pub(super) fn finish(&mut self, local: LocalId) {
        if let Some(connection) = self.connections.get_mut(&local) {
            connection.finishing = true;
            order(connection, PumpCommand::Finish);
        }
    }

    /// Resets the connection.
    pub(super) fn reset(&mut self, local: LocalId) {
        if let Some(connection) = self.connections.remove(&local) {
            order(&connection, PumpCommand::Reset);
        }
    }

    /// Resets every connection.
    pub(super) fn reset_all(&mut self) {
        for connection in std::mem::take(&mut self.connections).into_values() {
            order(&connection, PumpCommand::Reset);
        }
    }

    /// Waits until all pumps have ended.
    pub(super) async fn drained(&mut self) {
        // Nobody reads their reports any more, and no pump may wait for that.
        self.reports.close();
        while self.reports.try_recv().is_ok() {}
        while self.pumps.join_next().await.is_some() {}
    }

    fn forget(&mut self, pump: tokio::task::Id) -> Option<LocalId> {
        let (&local, _) = self
            .connections
            .iter()
            .find(|(_, connection)| connection.pump.id() == pump)?;
        self.connections.remove(&local);
        Some(local)
    }
}

fn order(connection: &Connection, command: PumpCommand) {
    if connection.orders.send(command).is_err() {
        // Its last report, or its failure, is on the way and removes the connection.
        tracing::trace!("order for a local connection that is gone");
    }
}

impl Credit {
    fn used(&mut self, bytes: usize) {
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }

    /// How much more to grant, with that much room in the core. Without any grant outstanding even a small room is
    /// granted: nothing else would bring the pump back.
    fn grow(&mut self, room: usize) -> Option<usize> {
        let more = room.min(GRANT_MAX).saturating_sub(self.outstanding);
        if more == 0 || (self.outstanding > 0 && more < GRANT_STEP) {
            return None;
        }
        self.outstanding += more;
        Some(more)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    const LOCAL: LocalId = LocalId(3);

    async fn pair() -> (TcpStream, LocalSocket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), LocalSocket::Tcp(accepted.unwrap().0))
    }

    async fn open() -> (TcpStream, Router) {
        let (client, socket) = pair().await;
        let mut router = Router::new();
        router.open(LOCAL, socket);
        (client, router)
    }

    /// The next reports, with what the router thinks of them.
    async fn reports(router: &mut Router) -> Vec<(LocalEvent, bool)> {
        let mut batch = Vec::new();
        let news = timeout(Duration::from_secs(10), router.next(&mut batch)).await;
        assert_eq!(news.unwrap(), RouterNews::Reports);
        batch
            .into_iter()
            .map(|report| {
                assert_eq!(report.local, LOCAL);
                let admitted = router.admits(&report);
                (report.event, admitted)
            })
            .collect()
    }

    #[tokio::test]
    async fn bytes_go_both_ways_under_the_cores_name() {
        let (mut client, mut router) = open().await;
        router.write(LOCAL, Bytes::from_static(b"hello"));
        assert_eq!(reports(&mut router).await, [(LocalEvent::Written(5), true)]);
        let mut hello = [0; 5];
        client.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        client.write_all(b"abc").await.unwrap();
        router.grant(LOCAL, 2);
        let data = LocalEvent::Data(Bytes::from_static(b"ab"));
        assert_eq!(reports(&mut router).await, [(data, true)]);
        router.grant(LOCAL, 1);
        let data = LocalEvent::Data(Bytes::from_static(b"c"));
        assert_eq!(reports(&mut router).await, [(data, true)]);
    }

    #[tokio::test]
    async fn after_the_end_only_what_is_written_counts() {
        let (mut client, mut router) = open().await;
        client.write_all(b"too late").await.unwrap();
        router.grant(LOCAL, 100);
        router.write(LOCAL, Bytes::from_static(b"bye"));
        router.finish(LOCAL);
        let mut bye = Vec::new();
        client.read_to_end(&mut bye).await.unwrap();
        assert_eq!(bye, b"bye");
        let data = LocalMessage {
            local: LOCAL,
            event: LocalEvent::Data(Bytes::from_static(b"too late")),
        };
        assert!(!router.admits(&data));
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(reports(&mut router).await);
        }
        assert_eq!(seen, [(LocalEvent::Written(3), true), (LocalEvent::Done, false)]);
        assert!(router.connections.is_empty());
        // It lingers until the client closes, and counts until then.
        assert_eq!(router.pumps.len(), 1);
        drop(client);
        timeout(Duration::from_secs(10), router.drained()).await.unwrap();
    }

    #[tokio::test]
    async fn a_reset_reaches_the_client_and_nothing_of_it_the_core() {
        let (mut client, mut router) = open().await;
        router.reset(LOCAL);
        router.write(LOCAL, Bytes::from_static(b"never"));
        let error = client.read(&mut [0; 9]).await.expect_err("not a clean end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        router.drained().await;
        assert!(router.connections.is_empty());
    }

    #[tokio::test]
    async fn a_client_that_goes_before_all_is_written_is_reported() {
        let (client, mut router) = open().await;
        for _ in 0..20 {
            router.write(LOCAL, Bytes::from(vec![0; 1 << 20]));
        }
        router.finish(LOCAL);
        let first = reports(&mut router).await;
        assert!(matches!(first[0], (LocalEvent::Written(_), true)));
        client.set_zero_linger().unwrap();
        drop(client);
        loop {
            let (event, admitted) = reports(&mut router).await.pop().unwrap();
            assert!(admitted, "{event:?}");
            if event == LocalEvent::Reset {
                break;
            }
        }
        assert!(router.connections.is_empty());
    }

    #[tokio::test]
    async fn a_client_that_is_gone_is_reported_once() {
        let (client, mut router) = open().await;
        client.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(reports(&mut router).await, [(LocalEvent::Reset, true)]);
        let again = LocalMessage {
            local: LOCAL,
            event: LocalEvent::Reset,
        };
        assert!(!router.admits(&again));
    }

    #[tokio::test]
    async fn a_pump_that_fails_without_a_word_is_found() {
        let (_client, mut router) = open().await;
        router.pumps.abort_all();
        let news = timeout(Duration::from_secs(10), router.next(&mut Vec::new())).await;
        assert_eq!(news.unwrap(), RouterNews::Lost(LOCAL));
        assert!(router.connections.is_empty());
    }

    #[test]
    fn a_grant_never_exceeds_the_room_or_the_limit() {
        let mut credit = Credit::default();
        assert_eq!(credit.grow(0), None);
        assert_eq!(credit.grow(5), Some(5));
        assert_eq!(credit.grow(5), None);
        credit.used(5);
        assert_eq!(credit.grow(10 * GRANT_MAX), Some(GRANT_MAX));
        assert_eq!(credit.grow(10 * GRANT_MAX), None);
    }

    #[test]
    fn an_outstanding_grant_grows_in_steps_and_a_used_up_one_by_anything() {
        let mut credit = Credit::default();
        assert_eq!(credit.grow(GRANT_MAX), Some(GRANT_MAX));
        credit.used(GRANT_STEP - 1);
        assert_eq!(credit.grow(GRANT_MAX), None);
        credit.used(1);
        assert_eq!(credit.grow(GRANT_MAX), Some(GRANT_STEP));
        credit.used(GRANT_MAX);
        assert_eq!(credit.grow(1), Some(1));
    }
}
