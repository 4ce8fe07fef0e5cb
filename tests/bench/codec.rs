//! The protocol core alone: encode, decode, multiplexer, and one upload through the whole pure path.
//!
//! `cargo bench -p autossm-proto`
#![expect(clippy::unwrap_used, reason = "bench code")]

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::local::WorkloadLimits;
use autossm_proto::mux::{Decoder, Mux};
use autossm_proto::session::LocalId;
use autossm_proto::wire::{AcknowledgeBody, ClientMessage, MessageType, PayloadType, Uuid};
use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [64, 1024, 32768];

fn message(size: usize) -> ClientMessage {
    ClientMessage {
        message_type: MessageType::InputStreamData,
        schema_version: 1,
        created_date: 1_700_000_000_000,
        sequence_number: 42,
        flags: 0,
        message_id: Uuid::from_random(1, 2),
        payload_type: PayloadType::OUTPUT,
        payload: Bytes::from(vec![7; size]),
    }
}

#[divan::bench(args = SIZES)]
fn encode(bencher: Bencher<'_, '_>, size: usize) {
    let message = message(size);
    bencher
        .counter(BytesCount::new(size))
        .bench(|| message.encode().unwrap());
}

#[divan::bench(args = SIZES)]
fn decode(bencher: Bencher<'_, '_>, size: usize) {
    let frame = message(size).encode().unwrap();
    bencher
        .counter(BytesCount::new(size))
        .bench(|| ClientMessage::decode(&frame).unwrap());
}

#[divan::bench]
fn acknowledge(bencher: Bencher<'_, '_>) {
    let body = AcknowledgeBody {
        acknowledged_message_type: "input_stream_data".to_owned(),
        acknowledged_message_id: Uuid::from_random(1, 2),
        acknowledged_message_sequence_number: 123_456,
        is_sequential_message: true,
    };
    let json = serde_json::to_vec(&body).unwrap();
    bencher.bench(|| serde_json::from_slice::<AcknowledgeBody>(&json).unwrap());
}

const LIMITS: WorkloadLimits = WorkloadLimits {
    payload: 1024,
    per_stream: 16 << 20,
    total: 64 << 20,
    fin_grace: Duration::from_secs(10),
};

/// One read of 64 KiB from a local connection, cut into messages.
#[divan::bench]
fn mux_up(bencher: Bencher<'_, '_>) {
    let mut mux = Mux::new(LIMITS);
    let local = LocalId(1);
    mux.open(local, Timestamp::ZERO);
    let input = Bytes::from(vec![7; 64 << 10]);
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        mux.handle_local_data(local, input.clone(), Timestamp::ZERO);
        while let Some(message) = mux.build(0) {
            divan::black_box(message);
        }
        while mux.poll_event().is_some() {}
    });
}

/// 64 messages of the agent, 1024 bytes each, handed to a local connection.
#[divan::bench]
fn mux_down(bencher: Bencher<'_, '_>) {
    let mut frame = vec![1, 2, 0, 4, 3, 0, 0, 0];
    frame.extend_from_slice(&[7; 1024]);
    let payload = Bytes::from(frame);
    let local = LocalId(1);
    let mut mux = Mux::new(LIMITS);
    mux.open(local, Timestamp::ZERO);
    bencher.counter(BytesCount::new(64usize << 10)).bench_local(|| {
        for _ in 0..64 {
            mux.handle_payload(payload.clone(), Timestamp::ZERO).unwrap();
        }
        while mux.poll_event().is_some() {}
        mux.handle_local_written(local, 64 << 10);
    });
}

/// The bare frame parser.
#[divan::bench]
fn smux_decode(bencher: Bencher<'_, '_>) {
    let mut wire = Vec::new();
    for _ in 0..64 {
        wire.extend_from_slice(&[1, 2, 0, 4, 3, 0, 0, 0]);
        wire.extend_from_slice(&[7; 1024]);
    }
    let wire = Bytes::from(wire);
    bencher.counter(BytesCount::new(64usize << 10)).bench(|| {
        let mut decoder = Decoder::default();
        let mut input = wire.clone();
        while decoder.next(&mut input).unwrap().is_some() {}
    });
}
