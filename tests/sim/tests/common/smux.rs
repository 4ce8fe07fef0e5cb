//! smux version 1, as much of it as a scripted client needs.

/// An smux frame.
pub(crate) fn frame(command: u8, stream: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, command];
    bytes.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend(stream.to_le_bytes());
    bytes.extend(data);
    bytes
}

/// Data of one stream out of smux bytes; how it ended is in the second part.
pub(crate) fn stream_data(bytes: &[u8], stream: u32) -> (Vec<u8>, bool) {
    let (mut data, mut finished, mut rest) = (Vec::new(), false, bytes);
    while let Some((header, body)) = rest.split_first_chunk::<8>() {
        let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
        if body.len() < length {
            break;
        }
        if u32::from_le_bytes([header[4], header[5], header[6], header[7]]) == stream {
            match header[1] {
                2 => data.extend(&body[..length]),
                1 => finished = true,
                _ => {}
            }
        }
        rest = &body[length..];
    }
    (data, finished)
}
