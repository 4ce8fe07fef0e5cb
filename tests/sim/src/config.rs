//! How a simulator behaves.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::agent::AgentVersion;
use crate::fault::{Fault, ResumeOfEnded};

/// Everything that can be chosen at the start. The default behaves as AWS does, on free ports.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the control plane listens; port 0 lets the kernel choose. Only loopback addresses make sense.
    pub control: SocketAddr,
    /// Where the websockets are served.
    pub data_channel: SocketAddr,
    /// Where agents that are programs connect to.
    pub agents: SocketAddr,
    /// A program to start as the agent of each session, instead of the simulator's own; it then also decides which
    /// documents there are. How it is started is written in `tests/interop/main.rs`.
    pub agent_program: Option<PathBuf>,
    /// The address clients are told for the websockets, when a relay stands in front; none means the real one.
    pub advertise: Option<SocketAddr>,
    /// The same as the beginning of a URL, `wss://host`, when TLS stands in front; counts before `advertise`.
    pub advertise_url: Option<String>,
    /// Where `/_sim/` is served beside the control plane, for when that one is made to refuse.
    pub admin: SocketAddr,
    /// Targets that exist; empty means every one whose id begins with `i-`, `mi-` or `ecs:`.
    pub targets: Vec<String>,
    /// Names of remote hosts and where they really are; others are resolved as usual.
    pub hosts: BTreeMap<String, String>,
    /// Requests need a SigV4 `Authorization` (its form is checked, not its signature).
    pub require_signatures: bool,
    /// How far the clock that signed a call may be from this machine's; none means any.
    pub clock_tolerance: Option<Duration>,
    /// Seconds that the service's clock is ahead of this machine's; its answers are dated by it.
    pub clock_ahead: i64,
    /// A token opens one data channel only.
    pub single_use_tokens: bool,
    /// How long a token can be used; none means for ever.
    pub token_lifetime: Option<Duration>,
    /// Age at which the service closes a data channel with 1000 "Bye"; none means never.
    pub close_after: Option<Duration>,
    /// Time without client input or ResumeSession after which a session ends; none means never.
    pub idle_timeout: Option<Duration>,
    /// Age at which a session ends; none means never.
    pub max_duration: Option<Duration>,
    /// The account's document of session preferences, as JSON; none: nobody has changed them.
    pub preferences: Option<String>,
    /// The key that the account encrypts its sessions with, none: it does not. AWS's agent encrypts shells and commands, but
    /// no port; this one encrypts whatever there is.
    pub kms_key: Option<String>,
    /// What ResumeSession says of a session that has ended.
    pub resume_of_ended: ResumeOfEnded,
    /// Injected into every new session, before its client connects.
    pub faults: Vec<Fault>,
    /// Seed of message ids, tokens and the like.
    pub seed: u64,
    /// The agent behind every session.
    pub agent: AgentConfig,
}

/// The agent's properties.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// What it reports, and what decides its abilities.
    pub version: AgentVersion,
    /// Divides its 1 ms and 100 ms waits. 1 is the real agent.
    pub speed: u32,
    /// How many messages above the expected number it keeps; none means by its version.
    pub reorder_capacity: Option<usize>,
    /// Whether it wants a random challenge in the context of a session's data key, as newer agents do.
    pub kms_challenge: bool,
    /// How long it waits for the handshake's answer.
    pub handshake_timeout: Duration,
    /// Between sending HandshakeComplete and marking the handshake complete: input is acknowledged and thrown away.
    pub handshake_gap: Duration,
    /// Between marking the handshake complete and having the port ready: input is not acknowledged.
    pub ready_delay: Duration,
    /// Shells and interactive commands begin with a handshake, too, as they do when they are encrypted.
    pub handshake_for_shells: bool,
    /// The program of a shell session, with its arguments.
    pub shell: Vec<String>,
    /// Between the loss of its own link and its reconnect.
    pub reconnect_delay: Duration,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            version: AgentVersion::DEFAULT,
            speed: 1,
            reorder_capacity: None,
            kms_challenge: true,
            handshake_timeout: Duration::from_secs(15),
            handshake_gap: Duration::from_millis(1),
            ready_delay: Duration::from_millis(5),
            handshake_for_shells: false,
            shell: vec!["sh".to_owned()],
            reconnect_delay: Duration::from_millis(10),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            control: any,
            data_channel: any,
            agents: any,
            agent_program: None,
            advertise: None,
            advertise_url: None,
            admin: any,
            targets: Vec::new(),
            hosts: BTreeMap::new(),
            require_signatures: false,
            clock_tolerance: Some(Duration::from_secs(5 * 60)),
            clock_ahead: 0,
            single_use_tokens: true,
            token_lifetime: None,
            close_after: Some(Duration::from_secs(60 * 60)),
            idle_timeout: Some(Duration::from_secs(20 * 60)),
            max_duration: None,
            preferences: None,
            kms_key: None,
            resume_of_ended: ResumeOfEnded::DoesNotExist,
            faults: Vec::new(),
            seed: 1,
            agent: AgentConfig::default(),
        }
    }
}
