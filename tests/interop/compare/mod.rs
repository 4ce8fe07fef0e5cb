//! The simulator's agent beside AWS's: the same scripted client, the same questions, the same answers.

mod answers;
mod doubles;
mod timing;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use autossm_proto::wire::{MessageType, PayloadType};
use autossm_sim::SessionState;
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::bench::Far;
use crate::common::{Client, Echo, echo};
use crate::programs::{AGENT, program, report};

/// Long enough for any answer that comes at all.
const ANSWER: Duration = Duration::from_secs(5);
/// Long enough to see that none comes, and three resend ticks of the agent.
const SILENCE: Duration = Duration::from_millis(400);
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
    /// Paces who waits for a state by looking at it.
    looks: tokio::time::Interval,
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
            looks: tokio::time::interval(Duration::from_millis(1)),
        }
    }

    /// The session as the simulator sees it; a look every few milliseconds is enough.
    async fn state(&mut self) -> SessionState {
        self.looks.tick().await;
        self.far.simulator.session(&self.session_id).await.unwrap()
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
