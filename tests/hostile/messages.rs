//! Attacks with well-formed messages that say what they must not.

use std::io;

use autossm_proto::mux::{FrameCommand, put_frame};
use autossm_proto::wire::{MessageType, PayloadType};
use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use crate::channel::{BINARY, Channel, PING, acknowledge};
use crate::service::{SESSION, attack, good};
use crate::{Bench, CEILING};

/// As much as one message holds.
const MUCH: usize = 1_000_000;

/// Handshake requests that nobody should send, and what becomes of each.
fn requests() -> Vec<(String, &'static str)> {
    let request = |version: &str, action: &str, parameters: &str| {
        format!(
            r#"{{"AgentVersion":"{version}","RequestedClientActions":[{{"ActionType":"{action}","ActionParameters":{parameters}}}]}}"#
        )
    };
    let kind = |kind: &str| format!(r#"{{"SessionType":"{kind}"}}"#);
    let actions = vec![r#"{"ActionType":"\u0007","ActionParameters":0}"#; 20_000].join(",");
    vec![
        (request("3.3.1142.0", "SessionType", &"[".repeat(MUCH)), "malformed"),
        (
            request(
                "3.3.1142.0",
                "SessionType",
                &format!("{}0{}", "[".repeat(120), "]".repeat(120)),
            ),
            "is not a port session",
        ),
        (
            request("3.3.1142.0", "SessionType", &kind(&"A".repeat(MUCH))),
            "is not a port session",
        ),
        (
            request("3.3.1142.0", "SessionType", &kind("\\u001b[2J\\nERROR")),
            "is not a port session",
        ),
        (request("3.3.1142.0", &"B".repeat(MUCH), "0"), "does not support"),
        (request(&"9".repeat(MUCH), "SessionType", "0"), "malformed"),
        (
            request(&format!("{}3.0.1", "0".repeat(MUCH)), "SessionType", &kind("Port")),
            "malformed",
        ),
        (
            format!(r#"{{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{actions}]}}"#),
            "malformed",
        ),
        ("\u{0}".repeat(1000), "malformed"),
    ]
}

async fn ask_nonsense(mut channel: Channel, nth: usize) -> io::Result<()> {
    match requests().into_iter().nth(nth) {
        Some((request, _)) => channel.output(PayloadType::HANDSHAKE_REQUEST, request).await?,
        None => channel.handshake().await?,
    }
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn deep_and_huge_handshakes_end_the_session_with_a_short_cause() {
    Bench::run(good, attack(ask_nonsense), CEILING, async |bench| {
        bench.victim_attached().await;
        let session = bench.session("victim").await;
        assert_eq!(session.figures.starts, requests().len() as u64 + 1);
        let log = bench.daemon.log();
        let mut ends: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" ended session=\"victim\""))
            .collect();
        assert_eq!(ends.len(), requests().len(), "{log}");
        for ((_, cause), end) in requests().iter().zip(ends.drain(..)) {
            assert!(end.contains(cause), "{cause} is not in {end}");
        }
    })
    .await;
}

/// Bodies of acknowledges and of channel_closed that are no JSON, too deep, too big, or of wrong types.
fn bodies() -> Vec<String> {
    vec![
        "[".repeat(MUCH),
        format!(r#"{{"Output":{}"#, r#"{"a":"#.repeat(200_000)),
        "\"".to_owned(),
        "null".to_owned(),
        r#"{"AcknowledgedMessageType":7,"AcknowledgedMessageId":{},"AcknowledgedMessageSequenceNumber":"x"}"#.to_owned(),
        r#"{"AcknowledgedMessageType":"","AcknowledgedMessageId":"01234567-89ab-4cde-8f01-23456789abcd","AcknowledgedMessageSequenceNumber":99999999999999999999}"#.to_owned(),
    ]
}

async fn acknowledge_nonsense(mut channel: Channel, _nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    for body in bodies() {
        channel
            .message(MessageType::Acknowledge, 0, PayloadType::NONE, body)
            .await?;
    }
    for number in (-5_000..0).chain(1_000..6_000).chain([i64::MIN, i64::MAX]) {
        channel.frame(BINARY, &acknowledge(number)).await?;
    }
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn acknowledges_of_numbers_never_sent_are_ignored() {
    Bench::run(good, attack(acknowledge_nonsense), CEILING, async |bench| {
        bench.victim_attached().await;
        let all = 10_002 + bodies().len() as u64;
        bench.victim_ignores(all).await;
    })
    .await;
}

/// A channel_closed for somebody else, then one with a text that would take over a terminal.
async fn close_another(mut channel: Channel, nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    if nth == 0 {
        channel.close_session("bob-00000000000000000", "meant for bob").await?;
        channel.frame(PING, b"was that read?").await?;
        channel.until("a pong", |seen| seen.pongs > 0).await;
        channel
            .close_session(
                SESSION,
                &format!("meant for ada\u{1b}[2J\r\nERROR {}", "x".repeat(MUCH)),
            )
            .await?;
    }
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn channel_closed_for_another_session_is_ignored() {
    Bench::run(good, attack(close_another), CEILING, async |bench| {
        bench.logged("meant for ada").await;
        assert!(!bench.daemon.log().contains("meant for bob"));
        bench
            .until("victim", "a new session", |session| session.figures.starts == 2)
            .await;
        bench.victim_attached().await;
    })
    .await;
}

/// Frames of the multiplexer in every wrong state; the stream 3 is the local client's.
async fn mix_up_streams(mut channel: Channel, nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    channel.until("a stream", |seen| !seen.output.is_empty()).await;
    let mut frames = BytesMut::new();
    for stream in [0, 1, 2, 3, 4, 5, 0x01ff_fffe, u32::MAX] {
        put_frame(&mut frames, FrameCommand::Syn, stream, &[]);
        put_frame(&mut frames, FrameCommand::Nop, stream, &[]);
        put_frame(&mut frames, FrameCommand::Psh, stream, &[]);
        if stream != 3 {
            put_frame(&mut frames, FrameCommand::Psh, stream, b"for nobody");
            put_frame(&mut frames, FrameCommand::Fin, stream, &[]);
            put_frame(&mut frames, FrameCommand::Fin, stream, &[]);
        }
    }
    put_frame(&mut frames, FrameCommand::Psh, 3, b"hello");
    put_frame(&mut frames, FrameCommand::Fin, 3, &[]);
    put_frame(&mut frames, FrameCommand::Psh, 3, b"after the end");
    put_frame(&mut frames, FrameCommand::Fin, 3, &[]);
    // A header in two messages, and one byte a message.
    for byte in frames.freeze() {
        channel.output(PayloadType::OUTPUT, vec![byte]).await?;
    }
    channel
        .until("all acknowledged", |seen| {
            seen.acknowledged.contains(&(channel.next - 1))
        })
        .await;
    let mut bad = BytesMut::new();
    bad.put_slice(if nth == 0 {
        &[2, 2, 1, 0, 3, 0, 0, 0]
    } else {
        &[1, 9, 1, 0, 3, 0, 0, 0]
    });
    channel.output(PayloadType::OUTPUT, bad.freeze()).await?;
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn smux_frames_for_every_wrong_state() {
    Bench::run(good, attack(mix_up_streams), CEILING, async |bench| {
        for cause in [
            "multiplexer frame of version 2",
            "multiplexer frame with unknown command 9",
        ] {
            bench.victim_attached().await;
            let mut client = bench.victim_client().await;
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"hello");
            bench.logged(cause).await;
        }
    })
    .await;
}

/// Numbers that no agent can have reached.
async fn count_wildly(mut channel: Channel, _nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    let absurd = [-1, i64::MIN, i64::MAX, channel.next + (1 << 21)];
    for number in absurd {
        channel
            .message(
                MessageType::OutputStreamData,
                number,
                PayloadType::OUTPUT,
                Bytes::from_static(b"x"),
            )
            .await?;
    }
    channel.output(PayloadType::FLAG, &b"in turn"[..]).await?;
    let last = channel.next - 1;
    channel
        .until("its acknowledge", |seen| seen.acknowledged.contains(&last))
        .await;
    let taken = channel.seen(|seen| absurd.iter().any(|number| seen.acknowledged.contains(number)));
    let word = if taken {
        "absurd numbers were taken"
    } else {
        "absurd numbers were refused"
    };
    channel.close_session(SESSION, word).await?;
    channel.hold().await;
    Ok(())
}

#[tokio::test]
async fn numbers_out_of_any_range_are_not_acknowledged() {
    Bench::run(good, attack(count_wildly), CEILING, async |bench| {
        bench.logged("absurd numbers were refused").await;
    })
    .await;
}
