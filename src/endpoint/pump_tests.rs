//! Pumps over real sockets.

use std::io::ErrorKind;
use std::time::Duration;

use autossm_proto::session::LocalId;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{LocalEvent, LocalMessage, LocalSocket, OrderSender, Pump, PumpCommand, orders};

const LOCAL: LocalId = LocalId(7);
/// No test waits that long unless it fails.
const FAILED: Duration = Duration::from_secs(10);

/// A pump in a task, the session's ends of its queues.
struct Rig {
    orders: OrderSender,
    reports: mpsc::Receiver<LocalMessage>,
    tasks: JoinSet<LocalId>,
}

impl Rig {
    fn new(socket: LocalSocket) -> Self {
        let (orders, reader) = orders();
        let (sender, reports) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(Pump::new(LOCAL, socket, reader, sender).run());
        Self { orders, reports, tasks }
    }

    async fn tcp() -> (TcpStream, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), Self::new(LocalSocket::Tcp(accepted.unwrap().0)))
    }

    fn order(&self, command: PumpCommand) {
        self.orders.send(command).unwrap();
    }

    async fn report(&mut self) -> LocalEvent {
        let message = timeout(FAILED, self.reports.recv()).await.unwrap().unwrap();
        assert_eq!(message.local, LOCAL);
        message.event
    }

    /// Reads so many bytes of data.
    async fn data(&mut self, count: usize) -> Vec<u8> {
        let mut data = Vec::new();
        while data.len() < count {
            match self.report().await {
                LocalEvent::Data(bytes) => data.extend_from_slice(&bytes),
                other @ (LocalEvent::Eof | LocalEvent::Reset | LocalEvent::Written(_) | LocalEvent::Done) => {
                    panic!("{other:?} after {} bytes", data.len())
                }
            }
        }
        assert_eq!(data.len(), count);
        data
    }

    async fn ended(&mut self) {
        let ended = timeout(FAILED, self.tasks.join_next()).await.unwrap();
        assert_eq!(ended.unwrap().unwrap(), LOCAL);
    }
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn nothing_is_read_beyond_the_grants() {
    let (mut client, mut rig) = Rig::tcp().await;
    let sent = pattern(300_000);
    let mut writing = JoinSet::new();
    let to_send = sent.clone();
    writing.spawn(async move {
        client.write_all(&to_send).await.unwrap();
        client
    });
    rig.order(PumpCommand::Grant(10));
    assert_eq!(rig.data(10).await, &sent[..10]);
    // Whatever the pump still does, it does before it obeys the next order: had it read on, this would find it.
    rig.order(PumpCommand::Write(Bytes::from_static(b"x")));
    assert_eq!(rig.report().await, LocalEvent::Written(1));
    rig.order(PumpCommand::Grant(150_000));
    assert_eq!(rig.data(150_000).await, &sent[10..150_010]);
    rig.order(PumpCommand::Grant(1_000_000));
    assert_eq!(rig.data(149_990).await, &sent[150_010..]);
}

#[tokio::test]
async fn a_client_that_half_closes_still_gets_its_answer() {
    let (mut client, mut rig) = Rig::tcp().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    rig.order(PumpCommand::Grant(100));
    assert_eq!(rig.data(8).await, b"question");
    assert_eq!(rig.report().await, LocalEvent::Eof);
    rig.order(PumpCommand::Write(Bytes::from_static(b"ans")));
    rig.order(PumpCommand::Write(Bytes::from_static(b"wer")));
    rig.order(PumpCommand::Finish);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    rig.ended().await;
}

#[tokio::test]
async fn finish_writes_all_and_discards_what_the_client_still_sends() {
    let (mut client, mut rig) = Rig::tcp().await;
    // Unread on our side: closing now would be a reset, and the client would lose the tail.
    client.write_all(&pattern(50_000)).await.unwrap();
    let answer = pattern(2_000_000);
    for piece in answer.chunks(1000) {
        rig.order(PumpCommand::Write(Bytes::copy_from_slice(piece)));
    }
    rig.order(PumpCommand::Finish);
    let mut received = vec![0; 1_000_000];
    client.read_exact(&mut received).await.unwrap();
    client.write_all(&pattern(50_000)).await.unwrap();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, answer);
    // Still lingering: the client may send and then close in peace.
    client.write_all(b"late").await.unwrap();
    assert!(rig.tasks.try_join_next().is_none());
    client.shutdown().await.unwrap();
    rig.ended().await;
    let mut written = 0;
    while let LocalEvent::Written(bytes) = rig.report().await {
        written += bytes;
        if written == answer.len() {
            break;
        }
    }
    assert_eq!(written, answer.len());
    assert_eq!(rig.report().await, LocalEvent::Done);
    assert_eq!(rig.reports.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn lingering_has_an_end() {
    let (client, mut rig) = Rig::tcp().await;
    rig.order(PumpCommand::Finish);
    let ended = timeout(Duration::from_secs(60), rig.tasks.join_next()).await;
    assert_eq!(ended.unwrap().unwrap().unwrap(), LOCAL);
    drop(client);
}

#[tokio::test]
async fn a_reset_is_seen_as_one_even_while_the_client_does_not_read() {
    let (mut client, mut rig) = Rig::tcp().await;
    for _ in 0..16 {
        rig.order(PumpCommand::Write(Bytes::from(pattern(1_000_000))));
    }
    assert!(matches!(rig.report().await, LocalEvent::Written(_)));
    rig.order(PumpCommand::Reset);
    rig.ended().await;
    let error = client
        .read_to_end(&mut Vec::new())
        .await
        .expect_err("the end would look like success");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_session_that_is_gone_resets_its_connections() {
    let (mut client, rig) = Rig::tcp().await;
    let Rig {
        orders,
        reports,
        mut tasks,
    } = rig;
    drop((orders, reports));
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), LOCAL);
    let error = client.read(&mut [0; 8]).await.expect_err("must be reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_resets_is_reported_without_a_grant() {
    let (client, mut rig) = Rig::tcp().await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(rig.report().await, LocalEvent::Reset);
    rig.ended().await;
    assert!(rig.orders.send(PumpCommand::Grant(1)).is_err());
}

#[tokio::test]
async fn a_client_that_closes_before_its_stream_is_opened_has_given_up() {
    let (client, mut rig) = Rig::tcp().await;
    drop(client);
    assert_eq!(rig.report().await, LocalEvent::Reset);
    rig.ended().await;
    let (client, accepted) = UnixStream::pair().unwrap();
    let mut rig = Rig::new(LocalSocket::Unix(accepted));
    drop(client);
    assert_eq!(rig.report().await, LocalEvent::Reset);
    rig.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_sent_something_and_closed_is_given_a_minute() {
    let (mut client, mut rig) = Rig::tcp().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut unix, accepted) = UnixStream::pair().unwrap();
    let mut unix_rig = Rig::new(LocalSocket::Unix(accepted));
    unix.write_all(b"question").await.unwrap();
    drop(unix);
    assert!(timeout(Duration::from_secs(59), rig.reports.recv()).await.is_err());
    for rig in [&mut rig, &mut unix_rig] {
        assert_eq!(rig.report().await, LocalEvent::Reset);
        rig.ended().await;
    }
    // Within it, it is served.
    let (mut client, mut rig) = Rig::tcp().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert!(timeout(Duration::from_secs(30), rig.reports.recv()).await.is_err());
    rig.order(PumpCommand::Grant(100));
    assert_eq!(rig.data(8).await, b"question");
    assert_eq!(rig.report().await, LocalEvent::Eof);
}

#[tokio::test]
async fn a_client_that_is_gone_is_found_by_the_write() {
    let (client, mut rig) = Rig::tcp().await;
    rig.order(PumpCommand::Grant(100));
    drop(client);
    assert_eq!(rig.report().await, LocalEvent::Eof);
    // The first write provokes the reset, which is noticed with or without a second one.
    rig.order(PumpCommand::Write(Bytes::from_static(b"anybody")));
    assert_eq!(rig.report().await, LocalEvent::Written(7));
    assert_eq!(rig.report().await, LocalEvent::Reset);
    rig.ended().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_back_the_reports() {
    let (mut client, mut rig) = Rig::tcp().await;
    let sent = pattern(20_000_000);
    rig.order(PumpCommand::Write(Bytes::from(sent.clone())));
    let LocalEvent::Written(first) = rig.report().await else {
        panic!("not written")
    };
    assert!(first < sent.len(), "the socket took all of {first}");
    let mut received = vec![0; sent.len()];
    let reading = client.read_exact(&mut received);
    let reporting = async {
        let mut written = first;
        while written < sent.len() {
            match rig.report().await {
                LocalEvent::Written(bytes) => written += bytes,
                other @ (LocalEvent::Data(_) | LocalEvent::Eof | LocalEvent::Reset | LocalEvent::Done) => {
                    panic!("{other:?}")
                }
            }
        }
        written
    };
    let (read, written) = tokio::join!(reading, reporting);
    read.unwrap();
    assert_eq!(written, sent.len());
    assert!(received == sent, "bytes changed on the way");
}

#[tokio::test]
async fn unix_sockets_behave_the_same() {
    let (mut client, accepted) = UnixStream::pair().unwrap();
    let mut rig = Rig::new(LocalSocket::Unix(accepted));
    client.write_all(b"ping").await.unwrap();
    client.shutdown().await.unwrap();
    rig.order(PumpCommand::Grant(100));
    assert_eq!(rig.data(4).await, b"ping");
    assert_eq!(rig.report().await, LocalEvent::Eof);
    rig.order(PumpCommand::Write(Bytes::from_static(b"pong")));
    rig.order(PumpCommand::Finish);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"pong");
    rig.ended().await;
}
