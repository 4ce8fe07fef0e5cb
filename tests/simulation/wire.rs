//! The model's own reading and writing of `ClientMessage`s, from the table in the protocol's description.

use bytes::Bytes;
use sha2::{Digest, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Input,
    Output,
    Ack,
    Closed,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Input => "input_stream_data",
            Self::Output => "output_stream_data",
            Self::Ack => "acknowledge",
            Self::Closed => "channel_closed",
        }
    }
}

pub(crate) const OUTPUT: u32 = 1;
pub(crate) const HANDSHAKE_REQUEST: u32 = 5;
pub(crate) const HANDSHAKE_RESPONSE: u32 = 6;
pub(crate) const HANDSHAKE_COMPLETE: u32 = 7;
pub(crate) const CHALLENGE_REQUEST: u32 = 8;
pub(crate) const CHALLENGE_RESPONSE: u32 = 9;
pub(crate) const FLAG: u32 = 10;

#[derive(Clone, Debug)]
pub(crate) struct Msg {
    pub(crate) kind: Kind,
    pub(crate) number: i64,
    pub(crate) payload_type: u32,
    /// Milliseconds; a resend keeps it.
    pub(crate) created: u64,
    /// As on the wire: its halves are swapped.
    pub(crate) id: [u8; 16],
    pub(crate) payload: Bytes,
}

impl Msg {
    pub(crate) fn encode(&self) -> Bytes {
        let mut frame = Vec::with_capacity(120 + self.payload.len());
        frame.extend_from_slice(&116u32.to_be_bytes());
        frame.extend_from_slice(format!("{:<32}", self.kind.name()).as_bytes());
        frame.extend_from_slice(&1u32.to_be_bytes());
        frame.extend_from_slice(&self.created.to_be_bytes());
        frame.extend_from_slice(&self.number.to_be_bytes());
        frame.extend_from_slice(&u64::from(self.number == 0).to_be_bytes());
        frame.extend_from_slice(&self.id);
        frame.extend_from_slice(&Sha256::digest(&self.payload));
        frame.extend_from_slice(&self.payload_type.to_be_bytes());
        frame.extend_from_slice(&u32::try_from(self.payload.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&self.payload);
        Bytes::from(frame)
    }

    /// Only the type of a message of the agent.
    pub(crate) fn decode_any(frame: &Bytes) -> Kind {
        if frame[4..].starts_with(b"acknowledge") {
            Kind::Ack
        } else {
            Kind::Output
        }
    }

    /// Strict: what AWS's agent could not read is a fault of the client. Like the agent it ignores the digest.
    pub(crate) fn decode(frame: &Bytes) -> Self {
        assert!(frame.len() > 120, "frame without payload");
        assert_eq!(frame[..4], 116u32.to_be_bytes(), "header length");
        let kind = match std::str::from_utf8(&frame[4..36]).unwrap().trim_end_matches(' ') {
            "input_stream_data" => Kind::Input,
            "output_stream_data" => Kind::Output,
            "acknowledge" => Kind::Ack,
            other => panic!("message type {other:?}"),
        };
        assert_ne!(frame[40..48], [0; 8], "creation date");
        let length = u32::from_be_bytes(frame[116..120].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), frame.len() - 120, "payload length");
        Self {
            kind,
            number: i64::from_be_bytes(frame[48..56].try_into().unwrap()),
            created: u64::from_be_bytes(frame[40..48].try_into().unwrap()),
            payload_type: u32::from_be_bytes(frame[112..116].try_into().unwrap()),
            id: frame[64..80].try_into().unwrap(),
            payload: frame.slice(120..),
        }
    }

    /// Its acknowledge.
    pub(crate) fn acknowledge(&self, created: u64) -> Self {
        let mut id = self.id;
        id.rotate_left(8);
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            r#"{{"AcknowledgedMessageType":"{}","AcknowledgedMessageId":"{}-{}-{}-{}-{}","AcknowledgedMessageSequenceNumber":{},"IsSequentialMessage":true}}"#,
            self.kind.name(),
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
            self.number
        );
        Self {
            kind: Kind::Ack,
            number: 0,
            payload_type: 0,
            created,
            id: self.id,
            payload: Bytes::from(text),
        }
    }

    /// The number an acknowledge names.
    pub(crate) fn acknowledged(&self) -> i64 {
        let text = std::str::from_utf8(&self.payload).unwrap();
        let (_, rest) = text
            .split_once("SequenceNumber\":")
            .expect("a number in an acknowledge");
        let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
        digits.parse().unwrap()
    }
}

/// A message of the service's own.
pub(crate) fn control(kind: Kind, text: &str) -> Bytes {
    let payload = Bytes::from(text.to_owned());
    Msg {
        kind,
        number: 0,
        payload_type: 0,
        created: 1_700_000_000_000,
        id: [7; 16],
        payload,
    }
    .encode()
}

/// One smux frame.
pub(crate) fn smux_frame(out: &mut Vec<u8>, command: u8, stream: u32, data: &[u8]) {
    out.push(1);
    out.push(command);
    out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_le_bytes());
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(data);
}

#[derive(Debug)]
pub(crate) enum Frame {
    Syn(u32),
    Fin(u32),
    Data(u32, Bytes),
}

/// The agent's smux parser: xtaci/smux, version 1, server side.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    header: Vec<u8>,
    body: Option<(u32, usize)>,
}

impl Parser {
    /// Panics on what ends the agent's smux session.
    pub(crate) fn parse(&mut self, input: &Bytes) -> Vec<Frame> {
        let mut rest = input.clone();
        let mut frames = Vec::new();
        while !rest.is_empty() {
            if let Some((stream, left)) = self.body {
                let data = rest.split_to(left.min(rest.len()));
                self.body = (left > data.len()).then(|| (stream, left - data.len()));
                frames.push(Frame::Data(stream, data));
                continue;
            }
            let take = (8 - self.header.len()).min(rest.len());
            self.header.extend_from_slice(&rest.split_to(take));
            if self.header.len() == 8 {
                let header: [u8; 8] = std::mem::take(&mut self.header).try_into().unwrap();
                self.header(header, &mut frames);
            }
        }
        frames
    }

    fn header(&mut self, header: [u8; 8], frames: &mut Vec<Frame>) {
        assert_eq!(header[0], 1, "smux version: the agent's smux session is dead");
        let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let stream = u32::from_le_bytes(header[4..].try_into().unwrap());
        match header[1] {
            0 => frames.push(Frame::Syn(stream)),
            1 => frames.push(Frame::Fin(stream)),
            2 if length > 0 => self.body = Some((stream, length)),
            2 | 3 => {}
            other => panic!("smux command {other}: the agent's smux session is dead"),
        }
    }
}

/// A message in a few words, for traces.
pub(crate) fn brief(frame: &Bytes) -> String {
    let kind = std::str::from_utf8(&frame[4..36]).unwrap_or("?").trim_end();
    let number = i64::from_be_bytes(frame[48..56].try_into().unwrap());
    let payload = &frame[120..];
    if kind == "acknowledge" {
        let text = String::from_utf8_lossy(payload);
        let number = text.split_once("SequenceNumber\":").map_or("", |(_, rest)| rest);
        return format!("ack {}", number.split(',').next().unwrap_or_default());
    }
    let head: String = payload.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
    format!("#{number} type {} {} bytes {head}", frame[115], payload.len())
}
