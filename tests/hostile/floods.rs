//! Attacks on memory: much of what is allowed.

use std::io;

use autossm_proto::mux::{FrameCommand, put_frame};
use autossm_proto::wire::{MessageType, PayloadType};
use bytes::{Bytes, BytesMut};

use crate::channel::{BINARY, Channel, PING, frame, message};
use crate::service::{attack, good};
use crate::{Bench, CEILING};

/// With the reorder buffer at the end of its patience: twice its 64 MiB, and what malloc keeps.
const REORDER_CEILING: u64 = 256;
/// With one connection that takes nothing: 16 MiB, its bookkeeping, and what malloc keeps.
const UNTAKEN_CEILING: u64 = 128;

async fn ping_and_ping(mut channel: Channel, _nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    let pings = frame(0x80 | PING, &[7; 125]).repeat(1000);
    for _ in 0..300 {
        channel.raw(&pings).await?;
    }
    channel.frame(PING, b"the last").await?;
    channel.until("a pong", |seen| seen.pongs > 0).await;
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn a_ping_flood_is_answered_and_costs_no_memory() {
    Bench::run(good, attack(ping_and_ping), CEILING, async |bench| {
        bench.victim_attached().await;
        let mut local = bench.victim_client().await;
        // The session is as good as before: it reads what comes after the flood.
        bench.until("victim", "a connection", |session| session.connections == 1).await;
        tokio::io::AsyncWriteExt::write_all(&mut local, b"x").await.unwrap();
        bench.until("victim", "a byte up", |session| session.figures.bytes_up == 1).await;
        let session = bench.session("victim").await;
        assert_eq!((session.figures.drops, session.figures.starts), (0, 1));
    })
    .await;
}

/// Everything but the one message that is in turn, in messages of this size, until the client has enough.
async fn leave_a_hole(mut channel: Channel, size: usize, most: i64) -> io::Result<()> {
    channel.handshake().await?;
    let hole = channel.next;
    for number in hole + 1..hole + most {
        let payload = Bytes::from(vec![1; size]);
        let bytes = message(MessageType::OutputStreamData, number, PayloadType::OUTPUT, payload);
        channel.frame(BINARY, &bytes).await?;
    }
    channel.hold().await;
    Ok(())
}

async fn hole_below_large(channel: Channel, nth: usize) -> io::Result<()> {
    if nth > 0 {
        return good_agent(channel).await;
    }
    leave_a_hole(channel, 500_000, 10_000).await
}

async fn hole_below_small(channel: Channel, nth: usize) -> io::Result<()> {
    if nth > 0 {
        return good_agent(channel).await;
    }
    leave_a_hole(channel, 1, 3_000_000).await
}

async fn good_agent(mut channel: Channel) -> io::Result<()> {
    channel.handshake().await?;
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn a_hole_below_endless_large_messages_ends_the_session() {
    Bench::run(good, attack(hole_below_large), REORDER_CEILING, async |bench| {
        bench.logged("out of order").await;
        bench.until("victim", "a new session", |session| session.figures.starts == 2).await;
        bench.victim_attached().await;
    })
    .await;
}

#[tokio::test]
async fn a_hole_below_endless_small_messages_ends_the_session() {
    Bench::run(good, attack(hole_below_small), REORDER_CEILING, async |bench| {
        bench.logged("out of order").await;
        bench.until("victim", "a new session", |session| session.figures.starts == 2).await;
        bench.victim_attached().await;
    })
    .await;
}

/// Data for a connection that takes none, in messages that hold `data` bytes of it and `waste` bytes for nobody.
async fn pour(mut channel: Channel, data: usize, waste: usize, times: usize) -> io::Result<()> {
    channel.handshake().await?;
    channel.until("a stream", |seen| !seen.output.is_empty()).await;
    let mut frames = BytesMut::new();
    put_frame(&mut frames, FrameCommand::Psh, 3, &vec![1; data]);
    put_frame(&mut frames, FrameCommand::Psh, 99, &vec![2; waste]);
    let payload = frames.freeze();
    for _ in 0..times {
        channel.output(PayloadType::OUTPUT, payload.clone()).await?;
    }
    channel.hold().await;
    Ok(())
}

async fn pour_much(channel: Channel, _nth: usize) -> io::Result<()> {
    pour(channel, 60_000, 0, 4_000).await
}

async fn pour_drops(channel: Channel, _nth: usize) -> io::Result<()> {
    pour(channel, 1, 60_000, 4_000).await
}

async fn pour_crumbs(channel: Channel, _nth: usize) -> io::Result<()> {
    pour(channel, 1, 0, 3_000_000).await
}

/// The local client connects and reads nothing. Either the flood has been taken whole or reading has stopped.
async fn reads_nothing(bench: &Bench) {
    bench.victim_attached().await;
    let _client = bench.victim_client().await;
    bench.until("victim", "data", |session| session.figures.bytes_down > 1000).await;
    // Whatever it can take it has taken once the bystander's transfer is over; here it must still answer.
    let mut before = 0;
    bench
        .until("victim", "no more taken", |session| {
            let quiet = session.figures.bytes_down == before;
            before = session.figures.bytes_down;
            quiet
        })
        .await;
    let session = bench.session("victim").await;
    assert_eq!((session.figures.drops, session.figures.starts), (0, 1));
}

#[tokio::test]
async fn data_for_a_client_that_does_not_read_is_pushed_back() {
    Bench::run(good, attack(pour_much), UNTAKEN_CEILING, reads_nothing).await;
}

#[tokio::test]
async fn single_bytes_do_not_keep_the_messages_they_came_in() {
    Bench::run(good, attack(pour_drops), UNTAKEN_CEILING, reads_nothing).await;
}

#[tokio::test]
async fn endless_single_bytes_are_pushed_back_like_large_data() {
    Bench::run(good, attack(pour_crumbs), UNTAKEN_CEILING, reads_nothing).await;
}
