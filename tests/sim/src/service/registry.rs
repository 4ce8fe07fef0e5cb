//! The sessions there are, their tokens and cell numbers, and the bad answers still owed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::agent_side::AgentSide;
use super::contract::{Command, SessionState, Shared};
use super::fleet::Fleet;
use super::grant::{ApiError, Grant, StartRequest, Token, gone, query_of, text};
use super::outside::{Assignment, OutsideAgent};
use super::session::SessionTask;
use crate::agent::{Agent, Encryption};
use crate::clock;
use crate::config::Config;
use crate::counters::{CallCounts, Counters};
use crate::fault::{BadAnswer, Call, LinkFault, ResumeOfEnded, Side};
use crate::kms::Kms;

const COMMANDS: usize = 64;
const AGENT_QUERY: &str = "role=publish_subscribe";

/// All sessions. Its lock is held for look-ups only.
#[derive(Debug)]
pub(crate) struct Registry {
    config: Arc<Config>,
    data_channel: String,
    agents: SocketAddr,
    kms_address: SocketAddr,
    tasks: mpsc::Sender<SessionTask>,
    fleet: Fleet,
    kms: Arc<Kms>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    rng: StdRng,
    sessions: BTreeMap<String, Entry>,
    answers: Vec<(Call, u32, BadAnswer)>,
    calls: CallCounts,
    expired_keys: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    tokens: Vec<Token>,
    cell: String,
    resume_of_ended: ResumeOfEnded,
}

impl Registry {
    /// `data_channel` is what clients are told, scheme included, the pair what agents outside are told: where the service
    /// is for them, and where KMS is.
    pub(crate) fn new(
        config: Arc<Config>,
        data_channel: String,
        (agents, kms_address): (SocketAddr, SocketAddr),
        tasks: mpsc::Sender<SessionTask>,
    ) -> Self {
        let inner = Inner {
            rng: StdRng::seed_from_u64(config.seed),
            sessions: BTreeMap::new(),
            answers: Vec::new(),
            calls: CallCounts::default(),
            expired_keys: Vec::new(),
        };
        let kms = Arc::new(Kms::new(config.kms_key.clone(), config.seed));
        Self {
            config,
            kms,
            data_channel,
            agents,
            kms_address,
            tasks,
            fleet: Fleet::default(),
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub(crate) fn kms(&self) -> &Kms {
        &self.kms
    }

    pub(crate) fn knows_target(&self, target: &str) -> bool {
        if let Some(online) = self.fleet.is_online(target) {
            online
        } else if self.config.targets.is_empty() {
            let kinds = ["i-", "mi-", "ecs:"];
            kinds.iter().any(|kind| target.starts_with(kind))
        } else {
            self.config.targets.iter().any(|known| known == target)
        }
    }

    /// StartSession.
    ///
    /// # Errors
    /// InternalServerError when too many sessions start at once.
    pub(crate) fn start(&self, request: StartRequest) -> Result<Grant, ApiError> {
        let now = clock::now();
        let mut inner = self.lock();
        let session_id = format!("sim-{:017x}", inner.rng.random::<u64>() >> 4);
        let counters = Arc::new(Counters::default());
        let agent = self.agent(&session_id, &request, &counters, &mut inner.rng, now)?;
        let shared = Arc::new(Shared {
            session_id: session_id.clone(),
            target: request.target,
            document: request.document,
            counters,
            connected: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            agent_refused_until: Mutex::new(None),
        });
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let task = SessionTask::new(
            Arc::clone(&shared),
            Arc::clone(&self.config),
            receiver,
            agent,
            inner.rng.random(),
            now,
        );
        if self.tasks.try_send(task).is_err() {
            let text = "too many sessions are starting at once";
            return Err(ApiError::new("InternalServerError", text));
        }
        let mut entry = Entry {
            shared,
            commands,
            tokens: Vec::new(),
            cell: String::new(),
            resume_of_ended: self.config.resume_of_ended,
        };
        let grant = self.grant(&mut inner.rng, &mut entry, now);
        inner.sessions.insert(session_id, entry);
        Ok(grant)
    }

    fn agent(
        &self,
        session_id: &str,
        request: &StartRequest,
        counters: &Arc<Counters>,
        rng: &mut StdRng,
        now: Instant,
    ) -> Result<AgentSide, ApiError> {
        let seed = rng.random();
        let Some(program) = &self.config.agent_program else {
            let agent = Agent::new(
                self.config.agent.clone(),
                request.destination.clone(),
                request.properties.clone(),
                Arc::clone(counters),
                Encryption::wanted(&self.config, &self.kms, (session_id, &request.target), rng),
                seed,
                now,
            );
            return Ok(AgentSide::inside(agent, self.config.agent.reconnect_delay));
        };
        let assignment = Assignment {
            endpoint: self.agents,
            session_id,
            target: &request.target,
            document: &request.document,
            parameters: &request.parameters,
            kms: self.config.kms_key.as_deref().map(|key| (key, self.kms_address)),
        };
        OutsideAgent::start(program, assignment)
            .map(|outside| AgentSide::Outside(Box::new(outside)))
            .map_err(|error| {
                let text = format!("the agent {} does not start: {error}", program.display());
                ApiError::new("InternalServerError", text)
            })
    }

    /// ResumeSession.
    ///
    /// # Errors
    /// DoesNotExistException.
    pub(crate) fn resume(&self, session_id: &str) -> Result<Grant, ApiError> {
        let mut inner = self.lock();
        let Inner { rng, sessions, .. } = &mut *inner;
        let entry = sessions.get_mut(session_id).ok_or_else(|| gone(session_id))?;
        if entry.shared.ended.load(Ordering::Relaxed) {
            return match entry.resume_of_ended {
                ResumeOfEnded::DoesNotExist => Err(gone(session_id)),
                ResumeOfEnded::EmptyToken => Ok(Grant {
                    session_id: session_id.to_owned(),
                    token: String::new(),
                    stream_url: String::new(),
                }),
            };
        }
        entry.shared.counters.resumes.up();
        if entry.commands.try_send(Command::Touch).is_err() {
            tracing::warn!(session = session_id, "idle timer not reset: its task is busy");
        }
        Ok(self.grant(rng, entry, clock::now()))
    }

    /// CreateDataChannel: an agent's token, or none where the session has no agent outside that may come.
    pub(crate) fn create_data_channel(&self, session_id: &str) -> Option<String> {
        let now = clock::now();
        let mut inner = self.lock();
        let Inner { rng, sessions, .. } = &mut *inner;
        let entry = sessions.get_mut(session_id)?;
        let over = entry.shared.ended.load(Ordering::Relaxed);
        if self.config.agent_program.is_none() || over || entry.shared.is_agent_refused(now) {
            return None;
        }
        let value = format!("{}=", text(rng, 63));
        entry.tokens.push(Token {
            value: value.clone(),
            side: Side::Agent,
            issued: now,
            spent: false,
        });
        Some(value)
    }

    /// Whether a data channel's URL is good: a client's must be the one given last. False means HTTP 403.
    pub(crate) fn is_current_url(&self, side: Side, session_id: &str, query: &str) -> bool {
        let inner = self.lock();
        inner.sessions.get(session_id).is_some_and(|entry| {
            let current = match side {
                Side::Client => query_of(&entry.cell) == query,
                Side::Agent => query == AGENT_QUERY && !entry.shared.is_agent_refused(clock::now()),
            };
            if !current {
                entry.shared.counters.refused_opens.up();
            }
            current && !entry.shared.ended.load(Ordering::Relaxed)
        })
    }

    /// Spends a token: its session's task, or none when the token is not good (any more).
    pub(crate) fn redeem(&self, side: Side, session_id: &str, token: &str) -> Option<mpsc::Sender<Command>> {
        let now = clock::now();
        let mut inner = self.lock();
        let entry = inner.sessions.get_mut(session_id)?;
        let found = entry.tokens.iter_mut().find(|known| {
            let fresh = |life| now.saturating_duration_since(known.issued) < life;
            known.value == token && known.side == side && !known.spent && self.config.token_lifetime.is_none_or(fresh)
        });
        let Some(found) = found else {
            entry.shared.counters.refused_opens.up();
            return None;
        };
        found.spent = self.config.single_use_tokens;
        (!entry.shared.ended.load(Ordering::Relaxed)).then(|| entry.commands.clone())
    }

    /// Every token issued so far is refused from now on.
    pub(crate) fn expire_tokens(&self, session: Option<&str>) {
        for (id, entry) in &mut self.lock().sessions {
            if session.is_none_or(|wanted| wanted == id) {
                entry.tokens.iter_mut().for_each(|token| token.spent = true);
            }
        }
    }

    /// Owes bad answers.
    pub(crate) fn owe(&self, call: Call, times: u32, answer: BadAnswer) {
        self.lock().answers.push((call, times, answer));
    }

    /// Forgets the bad answers owed.
    pub(crate) fn forgive(&self) {
        self.lock().answers.clear();
    }

    /// Requests signed with these access keys are refused from now on.
    pub(crate) fn expire_keys(&self, keys: Vec<String>) {
        self.lock().expired_keys = keys;
    }

    /// Whether this access key is refused.
    pub(crate) fn is_expired(&self, key: &str) -> bool {
        self.lock().expired_keys.iter().any(|expired| expired == key)
    }

    /// The calls that have arrived.
    pub(crate) fn calls(&self) -> CallCounts {
        self.lock().calls
    }

    /// Counts this call, and says which bad answer it must get, if any.
    pub(crate) fn next_bad_answer(&self, call: Call) -> Option<BadAnswer> {
        let mut inner = self.lock();
        inner.calls.count(call);
        inner.answers.retain(|(_, times, _)| *times > 0);
        let owed = inner.answers.iter_mut().find(|(owed, _, _)| *owed == call);
        owed.map(|(_, times, answer)| {
            *times -= 1;
            answer.clone()
        })
    }

    /// Whether there is such a session.
    pub(crate) fn knows(&self, session_id: &str) -> bool {
        self.lock().sessions.contains_key(session_id)
    }

    /// What all may see of the sessions, in the order of their ids.
    pub(crate) fn list(&self) -> Vec<Arc<Shared>> {
        let inner = self.lock();
        inner.sessions.values().map(|entry| Arc::clone(&entry.shared)).collect()
    }

    /// Ends sessions, and says how ResumeSession speaks of them.
    pub(crate) async fn end(&self, session: Option<&str>, announce: Option<String>, resume: ResumeOfEnded) {
        for (shared, commands) in self.addresses(session) {
            if let Some(entry) = self.lock().sessions.get_mut(&shared.session_id) {
                entry.resume_of_ended = resume;
            }
            ask(&commands, |done| Command::End(announce.clone(), done)).await;
        }
    }

    /// Hands a link fault to sessions and waits until it is done.
    pub(crate) async fn inject(&self, session: Option<&str>, side: Side, fault: &LinkFault) {
        for (_, commands) in self.addresses(session) {
            ask(&commands, |done| Command::Fault(side, fault.clone(), done)).await;
        }
    }

    /// All there is to know about the sessions.
    pub(crate) async fn states(&self) -> Vec<SessionState> {
        let mut states = Vec::new();
        for (shared, commands) in self.addresses(None) {
            let agent = ask(&commands, Command::Inspect).await;
            states.push(SessionState {
                session_id: shared.session_id.clone(),
                target: shared.target.clone(),
                connected: shared.connected.load(Ordering::Relaxed),
                ended: shared.ended.load(Ordering::Relaxed),
                counters: shared.counters.snapshot(),
                agent: agent.unwrap_or_default(),
            });
        }
        states
    }

    fn addresses(&self, session: Option<&str>) -> Vec<(Arc<Shared>, mpsc::Sender<Command>)> {
        let inner = self.lock();
        inner
            .sessions
            .iter()
            .filter(|(id, _)| session.is_none_or(|wanted| wanted == *id))
            .map(|(_, entry)| (Arc::clone(&entry.shared), entry.commands.clone()))
            .collect()
    }

    fn grant(&self, rng: &mut StdRng, entry: &mut Entry, now: Instant) -> Grant {
        let value = format!("{}=", text(rng, 63));
        entry.cell = format!("{}+{}/A=", text(rng, 20), text(rng, 20));
        entry.tokens.push(Token {
            value: value.clone(),
            side: Side::Client,
            issued: now,
            spent: false,
        });
        entry.shared.counters.tokens_issued.up();
        let id = entry.shared.session_id.clone();
        Grant {
            token: value,
            stream_url: format!("{}/v1/data-channel/{id}?{}", self.data_channel, query_of(&entry.cell)),
            session_id: id,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask<T>(commands: &mpsc::Sender<Command>, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    commands.send(command(reply)).await.ok()?;
    answer.await.ok()
}
