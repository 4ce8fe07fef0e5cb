//! KMS, the agent's half of an encrypted session, and the runs that try it.

use std::collections::BTreeMap;
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::cipher::{DataKey, End, SessionCipher};
use autossm_proto::handshake::{KeyRequest, WantedKey};
use autossm_proto::session::{FailureClass, KeyGrant, Phase, SessionConfig};
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::agent::{Agent, AgentConfig};
use crate::fault::Fault;
use crate::plan::{Manner, Plan};
use crate::rng::Rng;
use crate::seeds_of;
use crate::wire::{CHALLENGE_REQUEST, Msg, OUTPUT};
use crate::world::World;

const CHALLENGE: &str = "AAECAwQFBgcICQoLDA0ODw==";
const PROOF: [u8; 64] = [0x5a; 64];

/// The keys it has made, with what they were made for.
#[derive(Debug, Default)]
pub(crate) struct Kms {
    made: BTreeMap<String, (String, KeyRequest)>,
    /// Nobody gets a key.
    pub(crate) refuses: Option<FailureClass>,
    pub(crate) decrypted: u64,
}

impl Kms {
    /// GenerateDataKey, or Decrypt, which wants the same context again.
    pub(crate) fn answer(&mut self, session_id: String, wanted: &WantedKey) -> KeyGrant {
        let cipher_text_key = match wanted {
            WantedKey::New(request) => {
                let text = format!("key-{}", self.made.len());
                self.made.insert(text.clone(), (session_id, request.clone()));
                text
            }
            WantedKey::Agreed(agreed) => {
                let context = (session_id, agreed.request.clone());
                assert_eq!(self.made.get(&agreed.cipher_text_key), Some(&context), "wrong context");
                self.decrypted += 1;
                agreed.cipher_text_key.clone()
            }
        };
        let number = self.made.len() as u64 * 1000 + self.decrypted;
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        KeyGrant {
            key: plain(&cipher_text_key),
            cipher_text_key,
            nonce,
        }
    }
}

fn plain(cipher_text_key: &str) -> DataKey {
    DataKey::new(Sha512::digest(cipher_text_key).to_vec()).unwrap()
}

/// The agent's cipher.
#[derive(Debug)]
pub(crate) struct AgentCipher(SessionCipher);

impl AgentCipher {
    /// What HandshakeRequest says more.
    pub(crate) const WANTED: &str = r#",{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"alias/lab","Challenge":"AAECAwQFBgcICQoLDA0ODw=="}}"#;
}

impl Agent {
    /// The client has answered: takes its key and wants it proven.
    pub(crate) fn challenge(&mut self, response: &str, now: Timestamp) {
        let response: Value = serde_json::from_str(response).unwrap();
        let result = &response["ProcessedClientActions"][1]["ActionResult"];
        assert_eq!(result["ChallengeAcknowledgement"], true, "{response}");
        let key = plain(result["KMSCipherTextKey"].as_str().unwrap());
        let mut cipher = SessionCipher::new(End::Agent, &key, [0; 12]).unwrap();
        let sealed = cipher.seal(&PROOF).unwrap();
        self.cipher = Some(AgentCipher(cipher));
        let body = format!(r#"{{"Challenge":"{}"}}"#, base64(&sealed));
        self.send(CHALLENGE_REQUEST, Bytes::from(body), now);
    }

    pub(crate) fn check_challenge(&mut self, payload: &[u8]) {
        let body: Value = serde_json::from_slice(payload).unwrap();
        let AgentCipher(cipher) = self.cipher.as_mut().unwrap();
        // The agent opens what comes and looks; this one can only answer itself, which opens it, too.
        let answer = cipher.answer(body["Challenge"].as_str().unwrap());
        assert!(answer.is_ok(), "the challenge is not answered: {body}");
    }

    /// A message as the agent's handler sees it.
    pub(crate) fn opened(&self, msg: &Msg) -> Msg {
        let mut msg = msg.clone();
        if let Some(AgentCipher(cipher)) = self.cipher.as_ref().filter(|_| msg.payload_type == OUTPUT) {
            msg.payload = cipher.open(&msg.payload).expect("sealed by the client");
        }
        msg
    }

    pub(crate) fn sealed(&mut self, payload_type: u32, payload: Bytes) -> Bytes {
        match self.cipher.as_mut().filter(|_| payload_type == OUTPUT) {
            Some(AgentCipher(cipher)) => cipher.seal(&payload).unwrap(),
            None => payload,
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn agent(raw: bool) -> AgentConfig {
    AgentConfig {
        raw,
        encrypted: true,
        ..AgentConfig::default()
    }
}

fn single(plan: Plan) -> World {
    let once = SessionConfig {
        once: true,
        ..SessionConfig::default()
    };
    World::new(once, agent(true), vec![plan], 1)
}

/// A random scenario: one raw connection, or up to four in a multiplexer.
fn scenario(seed: u64) -> World {
    let mut rng = Rng::new(seed ^ 0x6b6d_7300);
    let agent = AgentConfig {
        gap: rng.micros(0, 20_000),
        ..agent(seed.is_multiple_of(2))
    };
    let count = if agent.raw { 1 } else { rng.range(1, 5) };
    let plans = (0..count).map(|_| Plan::random(&mut rng)).collect();
    let mut world = World::new(SessionConfig::default(), agent, plans, seed);
    world.net.delay = rng.millis(0, 150);
    world.agent_delay = rng.millis(0, 100);
    for _ in 0..rng.range(0, 12) {
        let fault = Fault::random(&mut rng, false);
        world.fault_at(rng.millis(0, 40_000), fault);
    }
    world
}

#[test]
fn encrypted_seeds_0_to_250() {
    seeds_of(0..250, scenario);
}

#[test]
fn the_agents_challenge_is_the_one_in_the_context() {
    let request = serde_json::from_str::<Value>(&AgentCipher::WANTED[1..]).unwrap();
    assert_eq!(request["ActionParameters"]["Challenge"], CHALLENGE);
    let mut world = single(Plan::plain(Manner::Exchange, 300_000, 300_000));
    world.run();
    let figures = world.host.session.figures();
    assert_eq!((figures.starts, figures.resent, figures.ignored), (1, 0, 0));
    let contexts: Vec<_> = world.kms.made.values().collect();
    let [(session_id, request)] = contexts[..] else {
        panic!("{contexts:?}")
    };
    assert_eq!(
        (session_id.as_str(), request.challenge.as_deref()),
        ("session-1", Some(CHALLENGE))
    );
}

#[test]
fn a_drop_in_each_step_of_an_encrypted_handshake() {
    for ms in 0..400 {
        let mut world = single(Plan::plain(Manner::Exchange, 5000, 5000));
        world.fault_at(Duration::from_millis(ms), Fault::Rst);
        world.run();
        assert_eq!(world.host.session.figures().starts, 1, "at {ms} ms");
    }
}

/// The plain key is in no journal: the process that takes over asks KMS for it again.
#[test]
fn a_process_replaced_at_any_record_of_an_encrypted_session() {
    let plan = Plan::plain(Manner::Exchange, 6000, 6000);
    let mut whole = single(plan.clone());
    whole.run();
    let records = whole.host.journal.len();
    assert!(records > 10, "{records} records");
    let mut decrypted = 0;
    for record in 1..records {
        let mut world = single(plan.clone());
        world.host.kill_at = Some(record);
        world.run();
        assert_eq!(world.host.seen.restores, 1);
        decrypted += world.kms.decrypted;
    }
    assert!(decrypted > 10, "{decrypted} keys fetched again");
}

#[test]
fn kms_that_is_out_of_reach_for_some_seconds_costs_no_session() {
    let mut world = single(Plan::plain(Manner::Exchange, 5000, 5000));
    let outage = Duration::from_secs(8);
    world.fault_at(Duration::from_millis(100), Fault::Calls(FailureClass::Network, outage));
    world.run();
    let session = &world.host.session;
    assert_eq!(session.figures().starts, 1);
    assert!(world.net.queue.now > Timestamp::ZERO.after(outage));
}

#[test]
fn a_key_that_is_denied_ends_the_session_with_the_reason() {
    let mut world = single(Plan::plain(Manner::Exchange, 100, 100));
    world.kms.refuses = Some(FailureClass::AccessDenied);
    world.run();
    let snapshot = world.host.session.snapshot();
    assert_eq!((snapshot.phase, world.ended), (Phase::Stopped, 1), "no orphan");
    assert_eq!(
        snapshot.cause,
        "the session must be encrypted, and there is no data key: AccessDenied"
    );
}
