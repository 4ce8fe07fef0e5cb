//! Bytes arrive as they were written, and answers are not cut off.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::daemon::{Daemon, config};
use crate::support::pattern::fill;
use autossm::status::SessionStatus;
use autossm_proto::session::{Phase, Trouble};
use autossm_sim::{Fault, LinkFault, Side, Simulator};

/// A daemon whose forward leads to `serve`, which gets each connection.
async fn forward_to<F, T>(serve: F) -> (Simulator, Daemon, SocketAddr, JoinSet<()>)
where
    F: Fn(TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn(serve(socket));
        }
    });
    let mut settings = autossm_sim::Config::default();
    settings.agent.speed = 200;
    let simulator = Simulator::start(settings).await.unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_autossm"));
    let daemon = Daemon::start(
        program,
        &[],
        &config(
            &simulator.endpoint_url(),
            port,
            "timings = { fin_grace = \"3s\", ping_interval = \"2s\", ping_timeout = \"2s\" }\n",
        ),
    )
    .await
    .unwrap();
    let address = daemon.listener().await.unwrap();
    (simulator, daemon, address, tasks)
}

async fn echo(mut socket: TcpStream) {
    let (mut reader, mut writer) = socket.split();
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
}

/// AWS's plugin turns an input payload of exactly 0x0a into 0x0d.
#[tokio::test]
async fn writes_that_end_in_a_newline_arrive_unchanged() {
    let (_simulator, _daemon, address, _tasks) = forward_to(echo).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for size in [
        1,
        2,
        8,
        998,
        999,
        1000,
        1007,
        1008,
        1016,
        1017,
        1023,
        1024,
        1025,
        4096,
        32768,
        65536,
        1 << 20,
    ] {
        let mut written = vec![0; size];
        fill(size as u64, 0, &mut written);
        *written.last_mut().unwrap() = b'\n';
        let mut read = vec![0; size];
        let (mut reader, mut writer) = socket.split();
        let (wrote, got) = tokio::join!(writer.write_all(&written), reader.read_exact(&mut read));
        wrote.unwrap();
        got.unwrap();
        assert_eq!(
            Sha256::digest(&read),
            Sha256::digest(&written),
            "a write of {size} bytes"
        );
    }
}

/// `nc -N`: the client closes its half and waits for the whole answer, which takes its time.
#[tokio::test]
async fn a_half_closing_client_gets_its_whole_answer() {
    let (_simulator, _daemon, address, _tasks) = forward_to(|mut socket| async move {
        let mut question = [0; 9];
        socket.read_exact(&mut question).await.unwrap();
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(400));
        for part in 0..10u64 {
            ticks.tick().await;
            let mut answer = vec![0; 30_000];
            fill(7, part * 30_000, &mut answer);
            socket.write_all(&answer).await.unwrap();
        }
    })
    .await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"question\n").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let mut expected = vec![0; 300_000];
    fill(7, 0, &mut expected);
    assert_eq!(
        (answer.len(), Sha256::digest(&answer)),
        (expected.len(), Sha256::digest(&expected))
    );
}

/// A server that answers only once its client has ended gets that end, later.
#[tokio::test]
async fn a_half_close_reaches_a_server_that_waits_for_it() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let (_simulator, _daemon, address, _tasks) = forward_to(move |mut socket| {
        let sender = sender.clone();
        async move {
            let mut all = Vec::new();
            socket.read_to_end(&mut all).await.unwrap();
            sender.send(all).await.unwrap();
        }
    })
    .await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"everything").await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap(), b"everything");
}

/// The far side closes after a long answer: the client gets all of it, then the end.
#[tokio::test]
async fn an_answer_followed_by_a_close_is_complete() {
    let (_simulator, _daemon, address, _tasks) = forward_to(|mut socket| async move {
        let mut answer = vec![0; 500_000];
        fill(3, 0, &mut answer);
        socket.write_all(&answer).await.unwrap();
    })
    .await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let mut expected = vec![0; 500_000];
    fill(3, 0, &mut expected);
    assert_eq!(Sha256::digest(&answer), Sha256::digest(&expected));
}

/// A local program that stands still keeps neither a drop from being noticed nor the session from coming back. With a flood in
/// the simulator, questions to the daemon need a thread of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_is_noticed_and_mended_although_nobody_reads() {
    // More than the daemon keeps for one connection, and the sockets on the way.
    const BLOCKS: usize = 32;
    let block = || {
        let mut block = vec![0; 1 << 20];
        fill(5, 0, &mut block);
        block
    };
    let (simulator, daemon, address, _tasks) = forward_to(move |mut socket| async move {
        let block = block();
        for _ in 0..BLOCKS {
            socket.write_all(&block).await.unwrap();
        }
    })
    .await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let full = |session: &SessionStatus| session.trouble == Some(Trouble::LocalNotReading);
    daemon.wait_until("full", full).await.unwrap();
    for drop in 1..=2 {
        simulator
            .inject(Fault::Link {
                session: None,
                side: Side::Client,
                fault: LinkFault::Reset,
            })
            .await
            .unwrap();
        let back = |session: &SessionStatus| session.figures.drops == drop && session.phase == Phase::Attached;
        daemon.wait_until("a drop and its end", back).await.unwrap();
    }
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert_eq!(daemon.session().await.unwrap().figures.drops, 2, "{}", daemon.log());
    let block = block();
    let exact = answer.chunks(block.len()).all(|piece| piece == block);
    assert_eq!((exact, answer.len()), (true, BLOCKS * block.len()));
}
