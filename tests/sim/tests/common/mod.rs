//! A scripted client: it does what it is told, one message at a time.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::needless_return,
    reason = "test code"
)]
#![expect(dead_code, reason = "more than the present tests need")]

pub(crate) mod smux;

use std::collections::BTreeMap;
use std::time::Duration;

use autossm_proto::wire::{
    AcknowledgeBody, ActionStatus, ClientMessage, HandshakeRequestBody, HandshakeResponseBody, MessageType,
    OpenDataChannelBody, PayloadType, ProcessedAction, Uuid,
};
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use smux::stream_data;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// One HTTP request on its own connection.
pub(crate) async fn http(endpoint: &str, head: &str, body: &str) -> std::io::Result<Answer> {
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut tcp = TcpStream::connect(address).await?;
    let length = body.len();
    let text = format!("{head}\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    tcp.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut answer))
        .await
        .map_err(std::io::Error::other)??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok(Answer {
        status: status.parse().unwrap_or_default(),
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// One call of the control plane.
pub(crate) async fn call(endpoint: &str, operation: &str, body: Value) -> Answer {
    let head = format!("POST / HTTP/1.1\r\nx-amz-target: AmazonSSM.{operation}");
    http(endpoint, &head, &body.to_string()).await.unwrap()
}

pub(crate) async fn start_session(endpoint: &str, port: u16) -> Value {
    start_document(endpoint, "AWS-StartPortForwardingSession", port).await
}

pub(crate) async fn start_document(endpoint: &str, document: &str, port: u16) -> Value {
    let body = json!({
        "Target": "i-0123456789abcdef0",
        "DocumentName": document,
        "Parameters": { "portNumber": [port.to_string()], "localPortNumber": ["0"] },
    });
    let answer = call(endpoint, "StartSession", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

pub(crate) async fn resume_session(endpoint: &str, session_id: &str) -> Answer {
    call(endpoint, "ResumeSession", json!({ "SessionId": session_id })).await
}

pub(crate) fn field(grant: &Value, name: &str) -> String {
    grant[name].as_str().unwrap().to_owned()
}

/// A destination that echoes, until dropped.
pub(crate) struct Echo {
    pub(crate) port: u16,
    _tasks: JoinSet<()>,
}

pub(crate) async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut tcp, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = tcp.split();
                if tokio::io::copy(&mut read, &mut write).await.is_err() {
                    return;
                }
            });
        }
    });
    Echo { port, _tasks: tasks }
}

/// The client's side of a session, kept over several data channels.
pub(crate) struct Client {
    pub(crate) socket: Socket,
    /// The number of the next input message.
    pub(crate) next: i64,
    /// Output payloads by number, not yet delivered.
    early: BTreeMap<i64, ClientMessage>,
    expected: i64,
    /// Bytes of the smux stream.
    pub(crate) received: Vec<u8>,
    /// Numbers of input messages acknowledged, in the order of arrival.
    pub(crate) acknowledged: Vec<i64>,
    /// Output messages seen, also those seen before.
    pub(crate) outputs: Vec<i64>,
    /// Everything else, by type.
    pub(crate) news: Vec<MessageType>,
    /// Whether output is acknowledged.
    pub(crate) acknowledges: bool,
}

pub(crate) async fn open(url: &str, token: &str) -> Result<Socket, Error> {
    let (mut socket, _) = connect_async(url).await?;
    socket.send(Message::text(opening(token))).await?;
    Ok(socket)
}

/// The first frame.
pub(crate) fn opening(token: &str) -> String {
    let body = OpenDataChannelBody {
        message_schema_version: "1.0".into(),
        request_id: Uuid::from_random(1, 2),
        token_value: token.into(),
        client_id: Uuid::from_random(3, 4),
        client_version: "1.2.764.0".into(),
    };
    serde_json::to_string(&body).unwrap()
}

pub(crate) fn input(number: i64, payload_type: PayloadType, payload: impl Into<Bytes>) -> ClientMessage {
    ClientMessage {
        message_type: MessageType::InputStreamData,
        schema_version: 1,
        created_date: 1,
        sequence_number: number,
        flags: 0,
        message_id: Uuid::from_random(5, u64::try_from(number).unwrap()),
        payload_type,
        payload: payload.into(),
    }
}

impl Client {
    /// StartSession, data channel, handshake and a first harmless message.
    pub(crate) async fn start(endpoint: &str, port: u16) -> (Self, String) {
        Self::start_with(endpoint, "AWS-StartPortForwardingSession", port).await
    }

    /// The same with another document.
    pub(crate) async fn start_with(endpoint: &str, document: &str, port: u16) -> (Self, String) {
        let grant = start_document(endpoint, document, port).await;
        let session_id = field(&grant, "SessionId");
        let url = field(&grant, "StreamUrl");
        let socket = open(&url, &field(&grant, "TokenValue")).await.unwrap();
        let mut client = Self::new(socket);
        client.handshake().await;
        (client, session_id)
    }

    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            next: 0,
            early: BTreeMap::new(),
            expected: 0,
            received: Vec::new(),
            acknowledged: Vec::new(),
            outputs: Vec::new(),
            news: Vec::new(),
            acknowledges: true,
        }
    }

    /// ResumeSession and a new data channel under the same counters.
    pub(crate) async fn reattach(&mut self, endpoint: &str, session_id: &str) {
        let grant = resume_session(endpoint, session_id).await.json();
        let url = field(&grant, "StreamUrl");
        self.socket = open(&url, &field(&grant, "TokenValue")).await.unwrap();
    }

    pub(crate) async fn handshake(&mut self) {
        let request = self.output(PayloadType::HANDSHAKE_REQUEST).await;
        let request: HandshakeRequestBody = serde_json::from_slice(&request.payload).unwrap();
        let actions = request.requested_client_actions.into_iter();
        let processed = actions.map(|action| ProcessedAction {
            action_type: action.action_type,
            action_status: ActionStatus::Success,
            action_result: None,
            error: String::new(),
        });
        let response = HandshakeResponseBody {
            client_version: "1.2.764.0".into(),
            processed_client_actions: processed.collect(),
            errors: None,
        };
        let payload = serde_json::to_vec(&response).unwrap();
        self.send(PayloadType::HANDSHAKE_RESPONSE, payload).await;
        self.output(PayloadType::HANDSHAKE_COMPLETE).await;
        self.send_until_acknowledged(PayloadType::FLAG, &99_u32.to_be_bytes())
            .await;
        // A second one: the first may have been thrown away in the handshake's gap.
        self.send_until_acknowledged(PayloadType::FLAG, &99_u32.to_be_bytes())
            .await;
    }

    /// Sends the next number.
    pub(crate) async fn send(&mut self, payload_type: PayloadType, payload: impl Into<Bytes>) -> i64 {
        let number = self.next;
        self.next += 1;
        self.send_numbered(number, payload_type, payload).await;
        number
    }

    pub(crate) async fn send_numbered(&mut self, number: i64, payload_type: PayloadType, payload: impl Into<Bytes>) {
        let bytes = input(number, payload_type, payload).encode().unwrap();
        self.socket.send(Message::Binary(bytes)).await.unwrap();
    }

    pub(crate) async fn send_until_acknowledged(&mut self, payload_type: PayloadType, payload: &[u8]) {
        let number = self.next;
        self.next += 1;
        loop {
            let bytes = Bytes::copy_from_slice(payload);
            self.send_numbered(number, payload_type, bytes).await;
            let limit = Duration::from_millis(50);
            if timeout(limit, self.acknowledge_of(number)).await.is_ok() {
                return;
            }
        }
    }

    /// Waits for the acknowledge of a number.
    pub(crate) async fn acknowledge_of(&mut self, number: i64) {
        while !self.acknowledged.contains(&number) {
            self.receive().await.unwrap();
        }
    }

    /// Waits until a stream has delivered so much.
    pub(crate) async fn data(&mut self, stream: u32, length: usize) -> Vec<u8> {
        let wait = async {
            loop {
                let (data, _) = stream_data(&self.received, stream);
                if data.len() >= length {
                    return data;
                }
                self.receive().await.unwrap();
            }
        };
        timeout(PATIENCE, wait).await.unwrap()
    }

    /// Waits until so many bytes have come, whatever they are.
    pub(crate) async fn raw(&mut self, length: usize) -> Vec<u8> {
        let wait = async {
            while self.received.len() < length {
                self.receive().await.unwrap();
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
        self.received.clone()
    }

    /// Waits for an output message of a type.
    pub(crate) async fn output(&mut self, payload_type: PayloadType) -> ClientMessage {
        let wait = async {
            loop {
                if let Some(found) = self.receive().await.unwrap()
                    && found.payload_type == payload_type
                {
                    return found;
                }
            }
        };
        timeout(PATIENCE, wait).await.unwrap()
    }

    /// Waits for news of a type.
    pub(crate) async fn news_of(&mut self, news: MessageType) {
        let wait = async {
            while !self.news.contains(&news) {
                self.receive().await.unwrap();
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
    }

    /// The error or close with which the connection ends.
    pub(crate) async fn end(&mut self) -> Result<Option<u16>, Error> {
        timeout(PATIENCE, end_of(&mut self.socket)).await.unwrap()
    }

    /// Takes one frame; an output message in order is returned.
    pub(crate) async fn receive(&mut self) -> Result<Option<ClientMessage>, Error> {
        let Some(frame) = self.socket.next().await else {
            return Err(Error::ConnectionClosed);
        };
        let Message::Binary(bytes) = frame? else {
            return Ok(None);
        };
        let message = ClientMessage::decode(&bytes).unwrap();
        match message.message_type {
            MessageType::Acknowledge => {
                let body: AcknowledgeBody = serde_json::from_slice(&message.payload).unwrap();
                self.acknowledged.push(body.acknowledged_message_sequence_number);
                Ok(None)
            }
            MessageType::OutputStreamData => {
                self.outputs.push(message.sequence_number);
                // Kept before it is acknowledged: whoever waits may stop waiting in between.
                let shown = self.deliver(message.clone());
                if self.acknowledges {
                    self.acknowledge(&message).await;
                }
                Ok(shown)
            }
            other => {
                self.news.push(other);
                Ok(None)
            }
        }
    }

    fn deliver(&mut self, message: ClientMessage) -> Option<ClientMessage> {
        let in_order = message.sequence_number == self.expected;
        let shown = message.clone();
        if message.sequence_number >= self.expected {
            self.early.insert(message.sequence_number, message);
        }
        while let Some(next) = self.early.remove(&self.expected) {
            self.expected += 1;
            if next.payload_type == PayloadType::OUTPUT {
                self.received.extend(&next.payload);
            }
        }
        in_order.then_some(shown)
    }

    pub(crate) async fn acknowledge(&mut self, message: &ClientMessage) {
        let body = AcknowledgeBody {
            acknowledged_message_type: message.message_type.name().into(),
            acknowledged_message_id: message.message_id,
            acknowledged_message_sequence_number: message.sequence_number,
            is_sequential_message: true,
        };
        let mut acknowledge = input(0, PayloadType::NONE, serde_json::to_vec(&body).unwrap());
        acknowledge.message_type = MessageType::Acknowledge;
        acknowledge.flags = 3;
        let bytes = acknowledge.encode().unwrap();
        self.socket.send(Message::Binary(bytes)).await.unwrap();
    }
}

/// Reads on until the connection ends: its close code, if it had one, or the error.
pub(crate) async fn end_of<S>(socket: &mut S) -> Result<Option<u16>, Error>
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin,
{
    let mut code = None;
    while let Some(frame) = socket.next().await {
        match frame {
            Ok(Message::Close(close)) => code = close.map(|close| u16::from(close.code)),
            Ok(_) => {}
            Err(Error::ConnectionClosed) if code.is_some() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(code)
}
