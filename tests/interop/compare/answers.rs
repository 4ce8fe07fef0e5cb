//! What the agent answers, to good messages and to junk.

use std::time::Duration;

use autossm_proto::wire::PayloadType;
use serde_json::Value;
use tokio::time::timeout;

use super::{ANSWER, NOTHING, Probe, SILENCE, nothing, same};
use crate::bench::Far;
use crate::common::smux::{frame, stream_data};
use crate::common::{Client, Echo, echo, field, input, open, start_session};

/// A SYN of smux version 2.
const OTHER_VERSION: &[u8] = b"\x02\x00\x00\x00\x03\x00\x00\x00";

#[tokio::test]
async fn numbers_below_and_above_the_expected_one_are_acknowledged() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let next = probe.client.next;
        let flag = PayloadType::FLAG;
        let below = probe.answers(next - 1, flag, &NOTHING.to_be_bytes(), ANSWER).await;
        let far_below = probe.answers(0, flag, &NOTHING.to_be_bytes(), ANSWER).await;
        let above = probe.answers(next + 5, flag, &NOTHING.to_be_bytes(), ANSWER).await;
        (below, far_below, above, probe.still_answers(ANSWER).await)
    })
    .await;
}

#[tokio::test]
async fn junk_under_the_expected_number_is_not_acknowledged_and_changes_nothing() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let next = probe.client.next;
        let junk = PayloadType::HANDSHAKE_RESPONSE;
        let expected = probe.answers(next, junk, b"x", SILENCE).await;
        let above = probe.answers(next + 1, junk, b"x", ANSWER).await;
        let below = probe.answers(next - 1, junk, b"x", ANSWER).await;
        let real = probe.still_answers(ANSWER).await;
        // The junk that was kept is in the way now, until the message with its number comes.
        (expected, above, below, real, probe.still_answers(ANSWER).await)
    })
    .await;
}

#[tokio::test]
async fn unknown_payload_types_and_flags_are_acknowledged() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let mut answers = Vec::new();
        for payload_type in [4, 10, 77, 1_000_000].map(PayloadType) {
            let number = probe.client.next;
            probe.client.next += 1;
            answers.push(probe.answers(number, payload_type, b"what", ANSWER).await);
        }
        answers
    })
    .await;
}

#[tokio::test]
async fn the_digest_is_not_looked_at() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let number = probe.client.next;
        let mut bytes = input(number, PayloadType::FLAG, nothing()).encode().unwrap().to_vec();
        bytes[90] ^= 0xff;
        probe.client.acknowledged.clear();
        probe.raw(bytes).await;
        probe.acknowledged(number, ANSWER).await
    })
    .await;
}

#[tokio::test]
async fn frames_that_are_no_messages_are_ignored() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let good = input(probe.client.next, PayloadType::FLAG, nothing())
            .encode()
            .unwrap()
            .to_vec();
        let mut answers = Vec::new();
        let mut no_date = good.clone();
        no_date[40..48].fill(0);
        let mut no_type = good.clone();
        no_type[4..36].fill(b' ');
        let mut other_type = good.clone();
        other_type[4..36].fill(b'z');
        for bytes in [vec![7; 10], vec![0; 116], no_date, no_type, other_type] {
            probe.client.acknowledged.clear();
            let number = probe.client.next;
            probe.raw(bytes).await;
            let acknowledged = probe.acknowledged(number, SILENCE).await;
            answers.push((acknowledged, probe.still_answers(ANSWER).await));
        }
        answers
    })
    .await;
}

/// Its reader panics: the websocket stays, nothing is read from it again.
#[tokio::test]
async fn a_header_length_beyond_the_frame_ends_the_reader() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let mut bytes = input(probe.client.next, PayloadType::FLAG, &b"1234"[..])
            .encode()
            .unwrap()
            .to_vec();
        bytes[0..4].copy_from_slice(&100_000_u32.to_be_bytes());
        probe.raw(bytes).await;
        probe.still_answers(Duration::from_secs(2)).await
    })
    .await;
}

#[tokio::test]
async fn a_second_handshake_response_ends_the_reader() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let response = br#"{"ClientVersion":"1.2.764.0","ProcessedClientActions":[],"Errors":[]}"#;
        let number = probe.client.next;
        let answered = probe
            .answers(number, PayloadType::HANDSHAKE_RESPONSE, response, SILENCE)
            .await;
        (answered, probe.still_answers(SILENCE).await)
    })
    .await;
}

/// A flag, then the end of the stream.
#[tokio::test]
async fn a_destination_that_refuses_is_told_alike() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let Echo { .. } = std::mem::replace(&mut probe.echo, echo().await);
        probe.client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
        let flag = probe.client.output(PayloadType::FLAG).await;
        let before = stream_data(&probe.client.received, 3).1;
        let end = async {
            while !stream_data(&probe.client.received, 3).1 {
                probe.client.receive().await.unwrap();
            }
        };
        (flag.payload, before, timeout(ANSWER, end).await.is_ok())
    })
    .await;
}

/// Without open streams the forward is dead and nobody is told.
#[tokio::test]
async fn smux_of_another_version_stops_the_forward() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        probe.client.send(PayloadType::OUTPUT, OTHER_VERSION).await;
        let closes = probe.closes(Duration::from_secs(3)).await.is_some();
        let taken = probe.still_answers(ANSWER).await;
        probe.client.send(PayloadType::OUTPUT, frame(0, 5, b"")).await;
        probe.client.send(PayloadType::OUTPUT, frame(2, 5, b"anybody?")).await;
        let answer = timeout(SILENCE, probe.client.output(PayloadType::OUTPUT)).await.is_ok();
        (closes, taken, answer)
    })
    .await;
}

/// With an open one, its FIN is the last thing the agent sends.
#[tokio::test]
async fn smux_of_another_version_ends_a_session_with_streams() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        probe.client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
        probe.client.send(PayloadType::OUTPUT, frame(2, 3, b"hello")).await;
        probe.client.data(3, 5).await;
        probe.client.send(PayloadType::OUTPUT, OTHER_VERSION).await;
        let closes = probe.closes(ANSWER).await.is_some();
        (closes, stream_data(&probe.client.received, 3).1)
    })
    .await;
}

#[tokio::test]
async fn the_terminate_flag_ends_the_session() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        probe
            .client
            .send(
                PayloadType::FLAG,
                PayloadType::FLAG_TERMINATE_SESSION.to_be_bytes().to_vec(),
            )
            .await;
        probe.closes(ANSWER).await.is_some()
    })
    .await;
}

/// The shape of everything the agent writes: header fields and the names in its JSON.
#[tokio::test]
async fn it_writes_the_same_shapes() {
    same(async |agent| {
        let far = Far::start(agent).await;
        let grant = start_session(&far.simulator.endpoint_url(), 9).await;
        let socket = open(&field(&grant, "StreamUrl"), &field(&grant, "TokenValue"))
            .await
            .unwrap();
        let mut client = Client::new(socket);
        let request = client.output(PayloadType::HANDSHAKE_REQUEST).await;
        let shape = |payload: &[u8]| names(&serde_json::from_slice::<Value>(payload).unwrap());
        let header = (
            request.schema_version,
            request.flags,
            request.sequence_number,
            request.message_type,
        );
        (header, shape(&request.payload))
    })
    .await;
}

/// The names in a JSON value, each with its path.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, inner)| {
                let deeper = names(inner).into_iter().map(move |path| format!("{name}.{path}"));
                std::iter::once(name.clone()).chain(deeper)
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(names).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
