//! What can go wrong, and a random mixture of it.

use std::time::Duration;

use autossm_proto::session::{FailureClass, NetworkChange};

use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The service closes with this code.
    Close(u16),
    /// The websocket is reset; what was on its way is lost.
    Rst,
    /// A black hole in these directions (up, down) that delays.
    Stall(bool, bool, Duration),
    /// A black hole in these directions that swallows.
    Discard(bool, bool, Duration),
    /// Every call fails so.
    Calls(FailureClass, Duration),
    /// Every dial is refused.
    Refuse(Duration),
    /// Some acknowledges or messages vanish in the service: every so many, for so long.
    Lose(u64, Duration),
    /// So many data messages of the agent vanish, one after the other.
    Hole(u64),
    /// Every acknowledge of the agent vanishes.
    LoseAcks(Duration),
    /// The agent's websocket is reset and comes back after this.
    AgentCut(Duration),
    /// The next hand-over at the agent is cut off before its acknowledge.
    CutAtHandover,
    /// The session is over; whether the client is told.
    End(bool),
    /// The user asks.
    Reconnect,
    /// The kernel tells of a change.
    Network(NetworkChange),
    /// The client's machine sleeps.
    Sleep(Duration),
    /// The process dies after so many more records.
    Crash(usize),
}

impl Fault {
    pub(crate) fn random(rng: &mut Rng, old_agent: bool) -> Self {
        let short = rng.millis(1, 3000);
        let long = rng.millis(1, 40_000);
        match rng.range(0, 99) {
            0..14 => Self::Close(rng.pick(&[1000, 1001, 1006, 1008, 1011])),
            14..28 => Self::Rst,
            28..36 => Self::Stall(rng.chance(70), rng.chance(70), long),
            36..44 => Self::Discard(rng.chance(70), rng.chance(70), short),
            44..52 => {
                let class = rng.pick(&[
                    FailureClass::Network,
                    FailureClass::Throttled {
                        retry_after: Some(Duration::from_secs(7)),
                    },
                    FailureClass::Credentials,
                    FailureClass::AccessDenied,
                    FailureClass::TargetNotConnected,
                    FailureClass::Protocol,
                ]);
                Self::Calls(class, long)
            }
            52..60 => Self::Refuse(long),
            // An agent that is silent on duplicates and a service that loses frames cannot be told apart.
            60..70 if !old_agent => Self::Lose(rng.range(2, 60), short),
            70..75 if !old_agent => Self::LoseAcks(short),
            60..82 => Self::AgentCut(short),
            82..91 => Self::CutAtHandover,
            91..93 => Self::End(rng.chance(50)),
            93..94 => Self::Reconnect,
            94..96 => Self::Network(rng.pick(&[NetworkChange::Link, NetworkChange::Address, NetworkChange::Route])),
            96..98 => Self::Sleep(rng.millis(1, 600_000)),
            _ => Self::Crash(rng.size(1, 60)),
        }
    }
}
