//! Attacks on memory: much of what is allowed.

use std::io;

use autossm_proto::mux::{FrameCommand, put_frame};
use autossm_proto::wire::{MessageType, PayloadType};
use bytes::{Bytes, BytesMut};

use crate::channel::{BINARY, Channel, PING, frame, message};
use crate::service::{SESSION, attack, good};
use crate::{Bench, CEILING};

/// With the reorder buffer at the end of its patience: four times its 64 MiB, and what malloc keeps.
const REORDER_CEILING: u64 = 384;
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
        bench
            .until("victim", "a connection", |session| session.connections == 1)
            .await;
        tokio::io::AsyncWriteExt::write_all(&mut local, b"x").await.unwrap();
        bench
            .until("victim", "a byte up", |session| session.figures.bytes_up == 1)
            .await;
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
    leave_a_hole(channel, 500_000, 2_000).await
}

async fn hole_below_small(channel: Channel, _nth: usize) -> io::Result<()> {
    leave_a_hole(channel, 1, 300_000).await
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
        bench
            .until("victim", "a new session", |session| session.figures.starts == 2)
            .await;
        bench.victim_attached().await;
    })
    .await;
}

#[tokio::test]
async fn endless_small_messages_above_a_hole_are_no_longer_taken_at_some_number() {
    Bench::run(good, attack(hole_below_small), REORDER_CEILING, async |bench| {
        let session = bench
            .until("victim", "messages ignored", |session| session.figures.ignored > 1000)
            .await;
        assert_eq!((session.figures.drops, session.figures.starts), (0, 1));
        assert!(session.figures.reorder_bytes < 300_000);
    })
    .await;
}

/// Data for a connection that takes none, in messages that hold `data` bytes of it and `waste` bytes for nobody.
async fn pour(channel: &mut Channel, data: usize, waste: usize, times: usize) -> io::Result<()> {
    let mut frames = BytesMut::new();
    put_frame(&mut frames, FrameCommand::Psh, 3, &vec![1; data]);
    put_frame(&mut frames, FrameCommand::Psh, 99, &vec![2; waste]);
    let payload = frames.freeze();
    for _ in 0..times {
        channel.output(PayloadType::OUTPUT, payload.clone()).await?;
    }
    Ok(())
}

async fn with_a_stream(channel: &mut Channel) -> io::Result<()> {
    channel.handshake().await?;
    channel.until("a stream", |seen| !seen.output.is_empty()).await;
    Ok(())
}

/// More than anybody takes: reading stops.
async fn pour_much(mut channel: Channel, _nth: usize) -> io::Result<()> {
    with_a_stream(&mut channel).await?;
    pour(&mut channel, 60_000, 0, 2_000).await?;
    channel.close_session(SESSION, "all was taken").await?;
    channel.hold().await;
    Ok(())
}

/// Enough that the kernel takes no more, then single bytes in large messages and in small ones.
async fn pour_crumbs(mut channel: Channel, nth: usize) -> io::Result<()> {
    with_a_stream(&mut channel).await?;
    if nth == 0 {
        pour(&mut channel, 60_000, 0, 160).await?;
        pour(&mut channel, 1, 60_000, 2_000).await?;
        pour(&mut channel, 1, 0, 200_000).await?;
        let last = channel.next - 1;
        channel
            .until("everything taken", |seen| seen.acknowledged.contains(&last))
            .await;
        channel.close_session(SESSION, "all was taken").await?;
    }
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn data_for_a_client_that_does_not_read_is_pushed_back() {
    Bench::run(good, attack(pour_much), UNTAKEN_CEILING, async |bench| {
        bench.victim_attached().await;
        let _client = bench.victim_client().await;
        let mut before = 0;
        let session = bench
            .until("victim", "no more taken", |session| {
                let quiet = session.figures.bytes_down > 1 << 20 && session.figures.bytes_down == before;
                before = session.figures.bytes_down;
                quiet
            })
            .await;
        assert_eq!((session.figures.drops, session.figures.starts), (0, 1));
        assert!(!bench.daemon.log().contains("all was taken"));
    })
    .await;
}

#[tokio::test]
async fn single_bytes_do_not_keep_the_messages_they_came_in() {
    Bench::run(good, attack(pour_crumbs), UNTAKEN_CEILING, async |bench| {
        bench.victim_attached().await;
        let _client = bench.victim_client().await;
        bench.logged("all was taken").await;
    })
    .await;
}
