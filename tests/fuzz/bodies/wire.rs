//! Any frame: decoding never panics, and what decodes encodes to what decodes to the same.

use autossm_proto::wire::{ClientMessage, MessageType, Uuid};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Where a message's digest is.
const DIGEST: std::ops::Range<usize> = 80..112;

pub(crate) fn run(data: &[u8]) {
    check(data);
    check(&with_digest(data));
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(id) = Uuid::parse(text)
    {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
        assert_eq!(Uuid::from_wire(id.to_wire()), id);
    }
}

/// The same frame with the digest that its payload has, which no mutation would find.
fn with_digest(data: &[u8]) -> Vec<u8> {
    let mut frame = data.to_vec();
    let header = data.first_chunk().map_or(0, |field| u32::from_be_bytes(*field));
    let start = usize::try_from(header).unwrap_or(usize::MAX).saturating_add(4);
    let digest = Sha256::digest(data.get(start..).unwrap_or_default());
    if let Some(field) = frame.get_mut(DIGEST) {
        field.copy_from_slice(&digest);
    }
    frame
}

fn check(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    let message = match ClientMessage::decode(&frame) {
        Ok(message) => message,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(frame.ends_with(&message.payload));
    match message.encode() {
        // The name of an unknown type is not kept.
        Ok(again) => assert_eq!(ClientMessage::decode(&again).as_ref(), Ok(&message)),
        Err(_) => assert!(message.payload.is_empty()),
    }
    assert!(message.message_type != MessageType::Unknown || !message.message_type.name().is_empty());
}
