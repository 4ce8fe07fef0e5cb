//! Attacks with frames: what is no websocket, and what is no message.

use std::io;

use autossm_proto::wire::{MIN_FRAME, MessageType, PayloadType};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::channel::{BINARY, Channel, PING, TEXT, frame, frame_head, message};
use crate::service::{SESSION, attack, good};
use crate::{Bench, CEILING, LOAD};

const MIB: usize = 1 << 20;

/// Frames that hold no message this client could want.
fn malformed() -> Vec<Vec<u8>> {
    let whole = message(
        MessageType::OutputStreamData,
        2,
        PayloadType::OUTPUT,
        Bytes::from_static(b"x"),
    );
    let changed = |at: usize, bytes: &[u8]| {
        let mut frame = whole.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let mut frames: Vec<Vec<u8>> = (0..MIN_FRAME).map(|length| whole[..length].to_vec()).collect();
    for header in [0, 1, 115, 118, 1 << 20, u32::MAX - 4, u32::MAX] {
        frames.push(changed(0, &header.to_be_bytes()));
    }
    frames.push(changed(4, &[b' '; 32]));
    frames.push(changed(4, &[0; 32]));
    frames.push(changed(4, &[0xff; 32]));
    frames.push(changed(40, &[0; 8]));
    frames.push(changed(80, &[0; 32]));
    frames.push(vec![0xff; 4096]);
    frames.push(vec![0; 60_000]);
    for message_type in [MessageType::InputStreamData, MessageType::AgentSessionState] {
        frames.push(message(message_type, 2, PayloadType::OUTPUT, Bytes::from_static(b"x")));
    }
    frames
}

async fn send_malformed(mut channel: Channel, _nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    for frame in malformed() {
        channel.frame(BINARY, &frame).await?;
        channel.frame(TEXT, b"{\"MessageType\":\"channel_closed\"}").await?;
    }
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn malformed_frames_are_ignored() {
    Bench::run(good, attack(send_malformed), CEILING, async |bench| {
        let all = malformed().len() as u64;
        bench.victim_attached().await;
        bench.victim_ignores(all).await;
    })
    .await;
}

/// A damaged message is neither taken nor acknowledged; the same number undamaged is.
async fn damage(mut channel: Channel, _nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    let number = channel.next;
    let good = message(
        MessageType::OutputStreamData,
        number,
        PayloadType::FLAG,
        Bytes::from_static(b"good"),
    );
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    channel.frame(BINARY, &bad).await?;
    channel.frame(PING, b"was that read?").await?;
    channel.until("a pong", |seen| seen.pongs > 0).await;
    let word = if channel.seen(|seen| seen.acknowledged.contains(&number)) {
        "damage was acknowledged"
    } else {
        channel.frame(BINARY, &good).await?;
        channel
            .until("its acknowledge", |seen| seen.acknowledged.contains(&number))
            .await;
        "damage was refused"
    };
    channel.close_session(SESSION, word).await?;
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn wrong_digests_are_not_acknowledged() {
    Bench::run(good, attack(damage), CEILING, async |bench| {
        bench.logged("damage was refused").await;
    })
    .await;
}

/// Frames that no websocket may carry, by what they break.
fn forbidden() -> Vec<Vec<u8>> {
    let mut fragments = frame(BINARY, b"no end");
    fragments.extend(frame(0x80 | BINARY, b"another begins"));
    vec![
        // Longer than any memory.
        frame_head(0x80 | BINARY, 1 << 62),
        frame_head(0x80 | BINARY, u64::MAX),
        // A reserved bit, a reserved opcode, an end without a beginning, two beginnings.
        frame(0xc0 | BINARY, b"x"),
        frame(0x83, b"x"),
        frame(0x80, b"x"),
        fragments,
        // Control frames that are long, or in pieces.
        frame(0x80 | PING, &[0; 200]),
        frame(PING, b"x"),
        // Text that is none.
        frame(0x80 | TEXT, &[0xff, 0xfe]),
        // A close with half a code.
        frame(0x88, &[3]),
    ]
}

/// Waits until the session is attached: its local client has a stream, or the client has shown itself again.
async fn established(channel: &mut Channel, nth: usize) -> io::Result<()> {
    if nth == 0 {
        channel.handshake().await?;
        channel.until("a stream", |seen| !seen.output.is_empty()).await;
    } else {
        channel.until("a message", |seen| !seen.messages.is_empty()).await;
    }
    Ok(())
}

async fn break_rules(mut channel: Channel, nth: usize) -> io::Result<()> {
    established(&mut channel, nth).await?;
    if let Some(bytes) = forbidden().get(nth) {
        channel.raw(bytes).await?;
    }
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn a_broken_websocket_is_a_drop_with_a_cause() {
    Bench::run(good, attack(break_rules), CEILING, async |bench| {
        let _client = bench.victim_client().await;
        let all = forbidden().len();
        let over = bench
            .until("victim", "all drops", |session| {
                session.figures.drops == all as u64 && session.phase == autossm_proto::session::Phase::Attached
            })
            .await;
        assert_eq!(over.figures.starts, 1, "a drop is no end");
        for drop in &over.history {
            assert!(drop.cause_text.len() > 10 && drop.cause_text.len() < 200, "{drop:?}");
        }
    })
    .await;
}

/// One message of 100 MB, then one of as much in pieces.
async fn send_huge(mut channel: Channel, nth: usize) -> io::Result<()> {
    established(&mut channel, nth).await?;
    match nth {
        0 => {
            channel.raw(&frame_head(0x80 | BINARY, 100 << 20)).await?;
            for _ in 0..100 {
                channel.raw(&vec![0; MIB]).await?;
            }
        }
        1 => {
            channel.raw(&frame(BINARY, &vec![0; 64 << 10])).await?;
            for _ in 0..1600 {
                channel.raw(&frame(0, &vec![0; 64 << 10])).await?;
            }
        }
        _ => {}
    }
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn messages_of_100_mb_are_not_taken() {
    Bench::run(good, attack(send_huge), CEILING, async |bench| {
        let _client = bench.victim_client().await;
        let over = bench
            .until("victim", "two drops", |session| {
                session.figures.drops == 2 && session.phase == autossm_proto::session::Phase::Attached
            })
            .await;
        for drop in &over.history {
            assert!(drop.cause_text.contains("above the limit of 1048576"), "{drop:?}");
        }
    })
    .await;
}

/// Answers the upgrade with headers that never end; the fourth time as it should.
async fn endless_headers(mut socket: TcpStream, nth: usize) -> io::Result<()> {
    if nth < 3 {
        socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await?;
        let line = match nth {
            0 => b"X-A: b\r\n".repeat(8192),
            // One header without an end.
            1 => b"a".repeat(64 << 10),
            // As many small pieces as there can be.
            _ => b"X-A: b\r\n".to_vec(),
        };
        socket.set_nodelay(true)?;
        for _ in 0..4096 {
            socket.write_all(&line).await?;
        }
        return Ok(());
    }
    let mut channel = Channel::accept(socket).await?;
    channel.handshake().await?;
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn endless_upgrade_headers_are_a_failed_dial() {
    let attack = std::sync::Arc::new(|socket, nth| Box::pin(endless_headers(socket, nth)) as crate::service::Attacking);
    Bench::run(good, attack, CEILING, async |bench| {
        bench.logged("does not speak websocket").await;
        bench.victim_attached().await;
    })
    .await;
}

async fn close_at_once(channel: Channel, _nth: usize) -> io::Result<()> {
    channel.frame(8, &[0x03, 0xe8]).await?;
    channel.hold().await;
    Ok(())
}

/// Every dial works and every websocket closes at once: the daemon tries ever less often.
#[tokio::test]
async fn a_service_that_closes_every_websocket_is_not_hammered() {
    Bench::run(good, attack(close_at_once), CEILING, async |bench| {
        let session = bench
            .until("victim", "several drops", |session| session.figures.drops >= 5)
            .await;
        // 100 ms, doubled each time, on average half of it: five drops take more than a second.
        assert!(session.attempts >= 5, "{session:?}");
        let before = session.figures.drops;
        bench
            .until("bystander", "its transfer", |session| {
                session.figures.bytes_up >= LOAD.up
            })
            .await;
        let drops = bench.session("victim").await.figures.drops - before;
        assert!(drops < 50, "{drops} websockets while one megabyte went up");
    })
    .await;
}
