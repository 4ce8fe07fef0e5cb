//! The simulator's agent beside AWS's: the same scripted client, the same questions, the same answers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use autossm_proto::wire::{MessageType, PayloadType};
use autossm_sim::{Fault, LinkFault, Side};
use bytes::Bytes;
use futures_util::SinkExt;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::bench::Far;
use crate::common::smux::{frame, stream_data};
use crate::common::{Client, Echo, echo, field, input, open, start_session};
use crate::programs::{AGENT, program, report};

/// Long enough for any answer that comes at all.
const ANSWER: Duration = Duration::from_secs(5);
/// Long enough to see that none comes, and three resend ticks of the agent.
const SILENCE: Duration = Duration::from_millis(400);
/// A SYN of smux version 2.
const OTHER_VERSION: &[u8] = b"\x02\x00\x00\x00\x03\x00\x00\x00";
/// A flag that means nothing.
const NOTHING: u32 = 99;

fn nothing() -> Bytes {
    Bytes::copy_from_slice(&NOTHING.to_be_bytes())
}

struct Probe {
    far: Far,
    client: Client,
    session_id: String,
    echo: Echo,
}

impl Probe {
    async fn start(agent: Option<PathBuf>) -> Self {
        let far = Far::start(agent).await;
        let echo = echo().await;
        let (client, session_id) = Client::start(&far.simulator.endpoint_url(), echo.port).await;
        Self {
            far,
            client,
            session_id,
            echo,
        }
    }

    /// Whether a number is acknowledged from now on.
    async fn acknowledged(&mut self, number: i64, within: Duration) -> bool {
        timeout(within, self.client.acknowledge_of(number)).await.is_ok()
    }

    /// Sends a message under a number and says whether it was acknowledged.
    async fn answers(&mut self, number: i64, payload_type: PayloadType, payload: &[u8], within: Duration) -> bool {
        self.client.acknowledged.clear();
        let payload = Bytes::copy_from_slice(payload);
        self.client.send_numbered(number, payload_type, payload).await;
        self.acknowledged(number, within).await
    }

    /// Whether the agent still takes input.
    async fn still_answers(&mut self, within: Duration) -> bool {
        let number = self.client.next;
        let answers = self
            .answers(number, PayloadType::FLAG, &NOTHING.to_be_bytes(), within)
            .await;
        self.client.next += i64::from(answers);
        answers
    }

    async fn raw(&mut self, bytes: Vec<u8>) {
        self.client.socket.send(Message::Binary(bytes.into())).await.unwrap();
    }

    /// How long until the service says that the session is over.
    async fn closes(&mut self, within: Duration) -> Option<Duration> {
        let began = Instant::now();
        let closed = async {
            while !self.client.news.contains(&MessageType::ChannelClosed) {
                if self.client.receive().await.is_err() {
                    break;
                }
            }
        };
        timeout(within, closed).await.ok().map(|()| began.elapsed())
    }
}

/// Asks both agents; what they say must be the same.
async fn same<T, F>(question: impl Fn(Option<PathBuf>) -> F)
where
    T: PartialEq + std::fmt::Debug,
    F: Future<Output = T>,
{
    let Some(agent) = program(AGENT) else { return };
    let ours = question(None).await;
    let theirs = question(Some(agent)).await;
    report(&format!("both: {theirs:?}"));
    assert_eq!(ours, theirs, "the simulator's agent, then AWS's");
}

/// Asks both agents how long something takes; within the same bounds.
async fn as_long<F>(bounds: std::ops::Range<u64>, question: impl Fn(Option<PathBuf>) -> F)
where
    F: Future<Output = Duration>,
{
    let Some(agent) = program(AGENT) else { return };
    let ours = question(None).await;
    let theirs = question(Some(agent)).await;
    report(&format!("the simulator's {ours:.1?}, AWS's {theirs:.1?}"));
    for took in [ours, theirs] {
        let millis = u64::try_from(took.as_millis()).unwrap();
        assert!(bounds.contains(&millis), "{took:?} is not within {bounds:?} ms");
    }
}

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

/// Only the oldest unacknowledged message comes again.
#[tokio::test]
async fn the_head_alone_is_sent_again() {
    same(async |agent| {
        let mut probe = Probe::start(agent).await;
        let (numbers, _) = unacknowledged(&mut probe).await;
        let first = numbers[0];
        let fresh = numbers.iter().filter(|number| **number != first).count();
        let again = numbers.len() - fresh;
        (fresh, again >= 3)
    })
    .await;
}

#[tokio::test]
async fn it_is_sent_again_as_often() {
    as_long(99..1300, async |agent| {
        let mut probe = Probe::start(agent).await;
        let (_, intervals) = unacknowledged(&mut probe).await;
        intervals[intervals.len() / 2]
    })
    .await;
}

/// Lets four answers go unacknowledged for six seconds: the numbers that came, and the waits between those of the
/// first, shortest first.
async fn unacknowledged(probe: &mut Probe) -> (Vec<i64>, Vec<Duration>) {
    probe.client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
    probe.client.send(PayloadType::OUTPUT, frame(2, 3, b"first")).await;
    probe.client.data(3, 5).await;
    while probe
        .far
        .simulator
        .session(&probe.session_id)
        .await
        .unwrap()
        .agent
        .unacknowledged
        > 0
    {}
    probe.client.acknowledges = false;
    let mut expected = 5;
    probe.client.outputs.clear();
    for _ in 0..4 {
        probe.client.send(PayloadType::OUTPUT, frame(2, 3, b"again")).await;
        expected += 5;
        probe.client.data(3, expected).await;
    }
    let head = probe.client.outputs[0];
    let mut times = Vec::new();
    let watch = async {
        loop {
            let before = probe.client.outputs.len();
            probe.client.receive().await.unwrap();
            if probe.client.outputs.len() > before && probe.client.outputs.last() == Some(&head) {
                times.push(Instant::now());
            }
        }
    };
    let _until_then = timeout(Duration::from_secs(6), watch).await;
    let mut intervals: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    intervals.sort();
    (probe.client.outputs.clone(), intervals)
}

/// From HandshakeComplete to the first acknowledge of something that is not thrown away.
#[tokio::test]
async fn it_is_ready_as_soon_after_the_handshake() {
    as_long(0..500, async |agent| {
        let far = Far::start(agent).await;
        let grant = start_session(&far.simulator.endpoint_url(), 9).await;
        let socket = open(&field(&grant, "StreamUrl"), &field(&grant, "TokenValue"))
            .await
            .unwrap();
        let mut client = Client::new(socket);
        let began = Instant::now();
        client.handshake().await;
        began.elapsed()
    })
    .await;
}

/// At most 1024 bytes a message and a message a millisecond.
#[tokio::test]
async fn it_sends_as_fast() {
    let size = 400_000;
    as_long(380..3000, async |agent| {
        let mut probe = Probe::start(agent).await;
        probe.client.send(PayloadType::OUTPUT, frame(0, 3, b"")).await;
        for _ in 0..size / 20_000 {
            probe.client.send(PayloadType::OUTPUT, frame(2, 3, &[7; 20_000])).await;
        }
        let began = Instant::now();
        probe.client.data(3, size).await;
        began.elapsed()
    })
    .await;
}

/// From a reset of its link to its next OpenDataChannel.
#[tokio::test]
async fn it_comes_back_as_soon() {
    as_long(0..1000, async |agent| {
        let probe = Probe::start(agent).await;
        let reset = Fault::Link {
            session: None,
            side: Side::Agent,
            fault: LinkFault::Reset,
        };
        let began = Instant::now();
        probe.far.inject(&[reset]).await;
        let back = async {
            while probe
                .far
                .simulator
                .session(&probe.session_id)
                .await
                .unwrap()
                .counters
                .agent_reconnects
                == 0
            {}
        };
        timeout(ANSWER, back).await.unwrap();
        began.elapsed()
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

/// Fifteen seconds for the answer, two for the last acknowledges.
#[tokio::test]
async fn a_handshake_without_answer_ends_the_session() {
    as_long(14_500..20_000, async |agent| {
        let far = Far::start(agent).await;
        let echo = echo().await;
        let grant = start_session(&far.simulator.endpoint_url(), echo.port).await;
        let socket = open(&field(&grant, "StreamUrl"), &field(&grant, "TokenValue"))
            .await
            .unwrap();
        let client = Client::new(socket);
        let session_id = field(&grant, "SessionId");
        let mut probe = Probe {
            far,
            client,
            session_id,
            echo,
        };
        probe.closes(Duration::from_secs(30)).await.unwrap()
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
