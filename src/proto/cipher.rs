//! The encryption of a session whose account asks for a KMS key: AES-256-GCM with the two halves of a data key.
//!
//! A sealed payload is a nonce of 12 bytes, the ciphertext and a tag of 16 bytes; there is no associated data. Sealed are
//! Output both ways, and what a command writes to its standard error and its exit code.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::wire::PayloadType;

/// Bytes of a data key: one half for each direction.
pub const KEY_LENGTH: usize = 64;
/// Bytes of a nonce, in front of each sealed payload.
pub const NONCE_LENGTH: usize = NONCE_LEN;

/// A data key in plain text, as KMS gives it. Wiped when it is dropped; in no log and in no journal.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(Zeroizing<[u8; KEY_LENGTH]>);

impl DataKey {
    /// Takes them over and wipes the place they came from; none when these are not [`KEY_LENGTH`] bytes.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        if bytes.len() != KEY_LENGTH {
            return None;
        }
        key.copy_from_slice(&bytes);
        Some(Self(key))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<data key>")
    }
}

/// Why a payload cannot be opened or sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// Shorter than nonce and tag, changed on its way, or sealed with another key.
    #[error("payload is not sealed with the session's key")]
    NotSealed,
    /// The crypto library failed.
    #[error("payload cannot be sealed")]
    NotUsable,
}

/// Which end of the session a cipher belongs to: the halves of the key change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Seals with the second half, opens with the first.
    Client,
    /// Seals with the first half, opens with the second.
    Agent,
}

/// Seals what one end sends and opens what it receives. Its keys are wiped by the crypto library when it is dropped.
pub struct SessionCipher {
    seal: LessSafeKey,
    open: LessSafeKey,
    /// Of the next payload. One cipher never uses one twice; another cipher with the same key starts at another random
    /// place among 2^96.
    nonce: [u8; NONCE_LENGTH],
}

impl SessionCipher {
    /// A cipher with this key; `nonce` is random for each cipher made of a key.
    ///
    /// # Errors
    /// [`CipherError::NotUsable`]: the crypto library refuses the key.
    pub fn new(end: End, key: &DataKey, nonce: [u8; NONCE_LENGTH]) -> Result<Self, CipherError> {
        let (first, second) = key.0.split_at(KEY_LENGTH / 2);
        let (seal, open) = match end {
            End::Client => (second, first),
            End::Agent => (first, second),
        };
        Ok(Self {
            seal: half(seal)?,
            open: half(open)?,
            nonce,
        })
    }

    /// Seals a payload under the next nonce.
    ///
    /// # Errors
    /// [`CipherError::NotUsable`]: the crypto library failed.
    pub fn seal(&mut self, plain: &[u8]) -> Result<Bytes, CipherError> {
        let nonce = self.nonce;
        let mut bytes = plain.to_vec();
        self.seal
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes)
            .map_err(|_unspecified| CipherError::NotUsable)?;
        self.nonce = after(nonce);
        Ok(Bytes::from([&nonce[..], &bytes].concat()))
    }

    /// Opens a sealed payload.
    ///
    /// # Errors
    /// [`CipherError::NotSealed`].
    pub fn open(&self, sealed: &[u8]) -> Result<Bytes, CipherError> {
        let (nonce, rest) = sealed.split_first_chunk().ok_or(CipherError::NotSealed)?;
        let mut bytes = rest.to_vec();
        let plain = self
            .open
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut bytes)
            .map_err(|_unspecified| CipherError::NotSealed)?
            .len();
        bytes.truncate(plain);
        Ok(Bytes::from(bytes))
    }

    /// The answer to an EncChallengeRequest: what it holds, sealed with the client's own key. Both are base64.
    ///
    /// # Errors
    /// [`CipherError`]: the agent has another key.
    pub fn answer(&mut self, challenge: &str) -> Result<String, CipherError> {
        let sealed = STANDARD
            .decode(challenge)
            .map_err(|_no_base64| CipherError::NotSealed)?;
        let plain = self.open(&sealed)?;
        Ok(STANDARD.encode(self.seal(&plain)?))
    }
}

impl fmt::Debug for SessionCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCipher").finish_non_exhaustive()
    }
}

/// Whether payloads of this type are sealed in an encrypted session.
pub const fn is_sealed(payload_type: PayloadType) -> bool {
    matches!(
        payload_type,
        PayloadType::OUTPUT | PayloadType::STD_ERR | PayloadType::EXIT_CODE
    )
}

fn half(bytes: &[u8]) -> Result<LessSafeKey, CipherError> {
    let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_unspecified| CipherError::NotUsable)?;
    Ok(LessSafeKey::new(key))
}

/// The nonce plus one.
fn after(mut nonce: [u8; NONCE_LENGTH]) -> [u8; NONCE_LENGTH] {
    for byte in &mut nonce {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (SessionCipher, SessionCipher) {
        let key = DataKey::new((0..64).collect()).unwrap();
        let client = SessionCipher::new(End::Client, &key, [0xff; NONCE_LENGTH]).unwrap();
        (client, SessionCipher::new(End::Agent, &key, [1; NONCE_LENGTH]).unwrap())
    }

    #[test]
    fn each_end_opens_what_the_other_has_sealed_and_nothing_else() {
        let (mut client, mut agent) = pair();
        let up = client.seal(b"ls\n").unwrap();
        assert_eq!(agent.open(&up).unwrap(), &b"ls\n"[..]);
        assert_eq!(
            client.open(&up),
            Err(CipherError::NotSealed),
            "a message that is sent back is not the agent's"
        );
        let down = agent.seal(b"").unwrap();
        assert_eq!(client.open(&down).unwrap(), &b""[..]);
        for byte in 0..up.len() {
            let mut changed = up.to_vec();
            changed[byte] ^= 1;
            assert_eq!(agent.open(&changed), Err(CipherError::NotSealed), "byte {byte}");
        }
        for length in 0..up.len() {
            assert_eq!(agent.open(&up[..length]), Err(CipherError::NotSealed), "{length} bytes");
        }
    }

    #[test]
    fn no_nonce_is_used_twice() {
        let (mut client, _) = pair();
        let nonces: std::collections::BTreeSet<Vec<u8>> = (0..70_000)
            .map(|_| client.seal(b"x").unwrap()[..NONCE_LENGTH].to_vec())
            .collect();
        assert_eq!(nonces.len(), 70_000);
    }

    #[test]
    fn a_challenge_comes_back_sealed_by_the_client() {
        let (mut client, mut agent) = pair();
        let challenge = STANDARD.encode(agent.seal(&[9; 64]).unwrap());
        let answer = client.answer(&challenge).unwrap();
        assert_eq!(agent.open(&STANDARD.decode(answer).unwrap()).unwrap(), &[9; 64][..]);
        for wrong in ["", "not base64!", "AAAA"] {
            assert_eq!(client.answer(wrong), Err(CipherError::NotSealed));
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let (client, _) = pair();
        let key = DataKey::new(vec![65; KEY_LENGTH]).unwrap();
        assert_eq!(format!("{key:?} {client:?}"), "<data key> SessionCipher { .. }");
        assert_eq!(DataKey::new(vec![0; 32]), None);
    }
}
