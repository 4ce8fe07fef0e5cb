//! The service's end of one data channel, written by hand: it can break every rule of the websocket and of the protocol
//! above it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use autossm_proto::wire::{AcknowledgeBody, ClientMessage, MessageType, PayloadType, Uuid};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::daemon::PATIENCE;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const PING: u8 = 9;
const PONG: u8 = 10;

const REQUEST: &str = r#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"type":"LocalPortForwarding"}}}]}"#;

/// What the client has said on this channel.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Payload types of its numbered messages, by first arrival.
    pub(crate) messages: Vec<(i64, PayloadType)>,
    /// Bytes of Output it has sent, as the multiplexer's payloads.
    pub(crate) output: Vec<Bytes>,
    /// Numbers it has acknowledged.
    pub(crate) acknowledged: BTreeSet<i64>,
    pub(crate) pongs: u64,
}

/// One websocket of the session under attack.
#[derive(Debug)]
pub(crate) struct Channel {
    writer: Arc<AsyncMutex<OwnedWriteHalf>>,
    seen: Arc<Mutex<Seen>>,
    /// The next number of the agent's messages.
    pub(crate) next: i64,
    reader: JoinSet<()>,
}

impl Channel {
    /// Answers the upgrade.
    pub(crate) async fn accept(mut socket: TcpStream) -> io::Result<Self> {
        let head = read_head(&mut socket).await?;
        let key = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .starts_with("sec-websocket-key:")
                    .then(|| line[18..].trim())
            })
            .unwrap_or_default();
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        socket.write_all(answer.as_bytes()).await?;
        let (read, write) = socket.into_split();
        let writer = Arc::new(AsyncMutex::new(write));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut reader = JoinSet::new();
        let (to, log) = (Arc::clone(&writer), Arc::clone(&seen));
        reader.spawn(async move {
            // Its end is the websocket's: nothing to report.
            let _ended = listen(BufReader::new(read), &to, &log).await;
        });
        Ok(Self {
            writer,
            seen,
            next: 0,
            reader,
        })
    }

    /// Writes these bytes as they are.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        self.writer.lock().await.write_all(bytes).await
    }

    /// Writes one whole frame.
    pub(crate) async fn frame(&self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.raw(&frame(0x80 | opcode, payload)).await
    }

    /// Writes a well-formed message.
    pub(crate) async fn message(
        &self,
        message_type: MessageType,
        number: i64,
        payload_type: PayloadType,
        payload: impl Into<Bytes>,
    ) -> io::Result<()> {
        self.frame(BINARY, &message(message_type, number, payload_type, payload.into()))
            .await
    }

    /// The agent's next message.
    pub(crate) async fn output(&mut self, payload_type: PayloadType, payload: impl Into<Bytes>) -> io::Result<()> {
        let number = self.next;
        self.next += 1;
        self.message(MessageType::OutputStreamData, number, payload_type, payload)
            .await
    }

    /// The service's own word that a session is over.
    pub(crate) async fn close_session(&self, session_id: &str, output: &str) -> io::Result<()> {
        let body = serde_json::json!({ "SessionId": session_id, "Output": output });
        let body = Bytes::from(body.to_string());
        self.message(MessageType::ChannelClosed, 0, PayloadType::NONE, body)
            .await
    }

    /// A good agent's handshake, until the client may send data.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        self.output(PayloadType::HANDSHAKE_REQUEST, REQUEST).await?;
        self.until("a handshake response", |seen| {
            seen.messages
                .iter()
                .any(|(_, kind)| *kind == PayloadType::HANDSHAKE_RESPONSE)
        })
        .await;
        self.output(PayloadType::HANDSHAKE_COMPLETE, &b"{}"[..]).await?;
        self.until("the harmless message", |seen| {
            seen.messages.iter().any(|(_, kind)| *kind == PayloadType::FLAG)
        })
        .await;
        Ok(())
    }

    /// Waits for something the client says; gives up quietly when the channel has ended.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let wait = async {
            while !holds(&self.seen.lock().unwrap()) {
                ticks.tick().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}: never came");
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// From now on nothing that the client writes is read.
    pub(crate) fn stop_reading(&mut self) {
        self.reader.abort_all();
    }

    /// Keeps the websocket open until the client ends it.
    pub(crate) async fn hold(mut self) {
        while self.reader.join_next().await.is_some() {}
    }
}

/// A server's frame: never masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame_head(first, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes
}

/// The head of a frame that says it has so many bytes.
pub(crate) fn frame_head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(u8::try_from(length).unwrap()),
        126..65536 => {
            bytes.push(126);
            bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes
}

/// A well-formed message.
pub(crate) fn message(message_type: MessageType, number: i64, payload_type: PayloadType, payload: Bytes) -> Vec<u8> {
    let message = ClientMessage {
        message_type,
        schema_version: 1,
        created_date: 1_700_000_000_000,
        sequence_number: number,
        flags: 0,
        message_id: Uuid::from_random(number.cast_unsigned(), 7),
        payload_type,
        payload,
    };
    message.encode().unwrap().to_vec()
}

/// An acknowledge of the client's message with this number.
pub(crate) fn acknowledge(number: i64) -> Vec<u8> {
    let body = AcknowledgeBody {
        acknowledged_message_type: "input_stream_data".to_owned(),
        acknowledged_message_id: Uuid::from_random(1, 2),
        acknowledged_message_sequence_number: number,
        is_sequential_message: true,
    };
    let body = Bytes::from(serde_json::to_vec(&body).unwrap());
    message(MessageType::Acknowledge, 0, PayloadType::NONE, body)
}

/// Reads an HTTP head.
pub(crate) async fn read_head(socket: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Reads the client's frames as a good agent: every message is acknowledged, every ping answered.
async fn listen(
    mut reader: BufReader<OwnedReadHalf>,
    writer: &AsyncMutex<OwnedWriteHalf>,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    loop {
        let (opcode, payload) = read_frame(&mut reader).await?;
        let answer = match opcode {
            BINARY => hear(&payload, seen).map(|number| frame(0x80 | BINARY, &acknowledge(number))),
            PING => Some(frame(0x80 | PONG, &payload)),
            PONG => {
                seen.lock().unwrap().pongs += 1;
                None
            }
            _ => None,
        };
        if let Some(answer) = answer {
            writer.lock().await.write_all(&answer).await?;
        }
    }
}

/// Notes a message; the number to acknowledge, if it has one.
fn hear(frame: &Bytes, seen: &Mutex<Seen>) -> Option<i64> {
    let message = ClientMessage::decode(frame).unwrap();
    let mut seen = seen.lock().unwrap();
    if message.message_type == MessageType::Acknowledge {
        let body: AcknowledgeBody = serde_json::from_slice(&message.payload).unwrap();
        seen.acknowledged.insert(body.acknowledged_message_sequence_number);
        return None;
    }
    let number = message.sequence_number;
    if !seen.messages.iter().any(|(known, _)| *known == number) {
        seen.messages.push((number, message.payload_type));
        if message.payload_type == PayloadType::OUTPUT {
            seen.output.push(message.payload);
        }
    }
    Some(number)
}

async fn read_frame(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<(u8, Bytes)> {
    let opcode = reader.read_u8().await? & 0x0f;
    let length = match reader.read_u8().await? & 0x7f {
        126 => u64::from(reader.read_u16().await?),
        127 => reader.read_u64().await?,
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    reader.read_exact(&mut mask).await?;
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    reader.read_exact(&mut payload).await?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok((opcode, Bytes::from(payload)))
}
