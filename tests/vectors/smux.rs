//! smux frames as xtaci/smux writes them.

use autossm_proto::mux::{Decoder, FrameCommand, InvalidFrame, Item, MAX_DATA, put_frame};
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{unhex, vectors};

fn vector(name: &str) -> Value {
    vectors().into_iter().find(|vector| vector["name"] == name).unwrap()
}

fn written(command: FrameCommand, stream: u32, data: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    put_frame(&mut out, command, stream, data);
    out.freeze()
}

/// Everything a decoder finds in these bytes.
fn read(mut bytes: Bytes) -> Result<Vec<Item>, InvalidFrame> {
    let mut decoder = Decoder::default();
    let mut items = Vec::new();
    while let Some(item) = decoder.next(&mut bytes)? {
        items.push(item);
    }
    Ok(items)
}

#[test]
fn frames_are_written_and_read_as_smux_does() {
    let data = |text: &'static str| Item::Data {
        stream: 3,
        bytes: Bytes::from_static(text.as_bytes()),
    };
    let cases = [
        (
            "smux-v1-SYN-first-client-stream",
            FrameCommand::Syn,
            3,
            "",
            Item::Syn { stream: 3 },
        ),
        ("smux-v1-PSH-1-byte", FrameCommand::Psh, 3, "x", data("x")),
        (
            "smux-v1-PSH-11-bytes",
            FrameCommand::Psh,
            3,
            "hello, smux",
            data("hello, smux"),
        ),
        ("smux-v1-FIN", FrameCommand::Fin, 3, "", Item::Fin { stream: 3 }),
        ("smux-v1-NOP", FrameCommand::Nop, 0, "", Item::Nop),
    ];
    for (name, command, stream, text, item) in cases {
        let bytes = unhex(vector(name)["hex"].as_str().unwrap());
        assert_eq!(written(command, stream, text.as_bytes()), bytes, "{name}: write");
        assert_eq!(read(bytes).unwrap(), [item], "{name}: read");
    }
}

#[test]
fn a_long_write_becomes_two_frames() {
    let data: Vec<u8> = (0..32769u32)
        .map(|i| u8::try_from((i * 7 + 3) & 0xff).unwrap())
        .collect();
    let wire: Vec<u8> = data
        .chunks(MAX_DATA)
        .flat_map(|chunk| written(FrameCommand::Psh, 3, chunk).to_vec())
        .collect();
    let expected = unhex(vector("smux-v1-PSH-32769-bytes-split")["sha256"].as_str().unwrap());
    assert_eq!(Sha256::digest(&wire).as_slice(), expected);
    let lengths = |item: &Item| {
        if let Item::Data { bytes, .. } = item {
            bytes.len()
        } else {
            0
        }
    };
    assert_eq!(
        read(Bytes::from(wire)).unwrap().iter().map(lengths).collect::<Vec<_>>(),
        [32768, 1]
    );
}

#[test]
fn frames_of_version_2_are_refused() {
    let version_2: Vec<Value> = vectors()
        .into_iter()
        .filter(|v| v["name"].as_str().unwrap().starts_with("smux-v2-"))
        .collect();
    assert_eq!(version_2.len(), 8);
    for vector in version_2 {
        // The long one is stored as a digest only; it begins like the others.
        let Some(hex) = vector["hex"].as_str() else {
            continue;
        };
        assert_eq!(read(unhex(hex)), Err(InvalidFrame::Version(2)), "{}", vector["name"]);
    }
}
