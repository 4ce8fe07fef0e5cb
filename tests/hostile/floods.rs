//! Attacks on memory: much of what is allowed.

use std::io;

use autossm_proto::mux::{FrameCommand, put_frame};
use autossm_proto::wire::{MessageType, PayloadType};
use bytes::{Bytes, BytesMut};

use crate::channel::{BINARY, Channel, PING, frame, message};
use crate::service::{SESSION, attack, good};
use crate::{Bench, CEILING};

/// With 100 MB in the reorder buffer, and what malloc keeps.
const REORDER_CEILING: u64 = 192;
/// With one connection that takes nothing: 16 MiB, its bookkeeping, and what malloc keeps.
const UNTAKEN_CEILING: u64 = 96;

/// Where a message has its number.
const NUMBER: std::ops::Range<usize> = 48..56;

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

/// Everything but the one message that is in turn, then that one.
async fn leave_a_hole(channel: &mut Channel, size: usize, most: i64) -> io::Result<()> {
    let hole = channel.next;
    let template = message(
        MessageType::OutputStreamData,
        hole,
        PayloadType::FLAG,
        Bytes::from(vec![1; size]),
    );
    let numbered = |number: i64| {
        let mut bytes = template.clone();
        bytes[NUMBER].copy_from_slice(&number.to_be_bytes());
        frame(0x80 | BINARY, &bytes)
    };
    for number in hole + 1..hole + most {
        channel.raw(&numbered(number)).await?;
    }
    channel.raw(&numbered(hole)).await?;
    channel.next += most;
    Ok(())
}

async fn refill_large(mut channel: Channel, _nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    leave_a_hole(&mut channel, 500_000, 200).await?;
    let last = channel.next - 1;
    channel
        .until("the last acknowledge", |seen| seen.acknowledged.contains(&last))
        .await;
    channel.close_session(SESSION, "all in order").await?;
    channel.hold().await;
    Ok(())
}

/// 100 MB above a hole: reading slows down, nothing is thrown away, and once the hole is filled all is delivered.
#[tokio::test]
async fn a_hole_below_100_mb_slows_the_reading_down_and_can_still_be_filled() {
    Bench::run(good, attack(refill_large), REORDER_CEILING, async |bench| {
        bench
            .until("victim", "a full reorder buffer", |session| {
                session.figures.reorder_bytes > 64 << 20
            })
            .await;
        bench.logged("all in order").await;
    })
    .await;
}

async fn refill_small(mut channel: Channel, _nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    leave_a_hole(&mut channel, 1, 150_000).await?;
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn small_messages_above_a_hole_are_no_longer_taken_at_some_number() {
    Bench::run(good, attack(refill_small), REORDER_CEILING, async |bench| {
        let session = bench
            .until("victim", "a filled hole", |session| {
                session.figures.ignored > 10_000 && session.figures.reorder_bytes == 0
            })
            .await;
        assert_eq!((session.figures.drops, session.figures.starts), (0, 1));
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
        pour(&mut channel, 1, 60_000, 600).await?;
        pour(&mut channel, 1, 0, 50_000).await?;
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

/// Messages without end from a service that reads none of the acknowledges.
async fn read_nothing(mut channel: Channel, nth: usize) -> io::Result<()> {
    if nth == 0 {
        with_a_stream(&mut channel).await?;
        channel.stop_reading();
        let template = message(
            MessageType::OutputStreamData,
            0,
            PayloadType::FLAG,
            Bytes::from_static(b"x"),
        );
        let first = channel.next;
        // Ends when the client drops the websocket; the channel must stay open until then.
        for number in first.. {
            let mut bytes = template.clone();
            bytes[NUMBER].copy_from_slice(&number.to_be_bytes());
            channel.frame(BINARY, &bytes).await?;
        }
    }
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn a_service_that_reads_nothing_is_a_drop_and_its_flood_is_bounded() {
    Bench::run(good, attack(read_nothing), CEILING, async |bench| {
        bench.victim_attached().await;
        let _client = bench.victim_client().await;
        let session = bench
            .until("victim", "a drop", |session| session.figures.drops >= 1)
            .await;
        assert_eq!(session.figures.starts, 1);
    })
    .await;
}
