//! The faults that can be asked for: plain values, the same in Rust and in the JSON of `POST /_sim/fault`.
//!
//! In JSON every case is named by its kebab-case tag, for example
//! `{"link": {"side": "client", "fault": {"close": {"code": 1000, "reason": "Bye"}}}}` or `"heal"`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One fault, or the cure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Something happens to a session's link.
    Link {
        /// The session's id; none means all sessions there are now.
        #[serde(default)]
        session: Option<String>,
        /// Which of its two links.
        side: Side,
        /// What happens to it.
        fault: LinkFault,
    },
    /// A listening port misbehaves for new connections; existing ones are not touched.
    Port {
        /// Which one.
        port: Port,
        /// How.
        fault: PortFault,
        /// Milliseconds until it heals by itself; none means until healed.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// The next calls of the control plane are answered badly.
    Answer {
        /// Which call.
        call: Call,
        /// How many of them.
        times: u32,
        /// How.
        answer: BadAnswer,
    },
    /// Tokens already issued are refused from now on.
    ExpireTokens {
        /// The session's id; none means all.
        #[serde(default)]
        session: Option<String>,
    },
    /// The session ends, as by TerminateSession or an idle time-out.
    EndSession {
        /// The session's id; none means all.
        #[serde(default)]
        session: Option<String>,
        /// The text of `channel_closed`; none means that the client is told nothing but finds its websocket closed.
        #[serde(default)]
        announce: Option<String>,
        /// What ResumeSession says from now on.
        #[serde(default)]
        resume: ResumeOfEnded,
    },
    /// The instances there are from now on; a target is connected when it is one of these and online.
    Fleet {
        /// All of them.
        instances: Vec<Instance>,
    },
    /// Requests and upgrades that are signed with one of these access keys are refused as expired from now on.
    ExpireKeys {
        /// All of them; none heals.
        keys: Vec<String>,
    },
    /// All link, port and answer faults are cleared. What was lost stays lost.
    Heal,
}

/// An instance that Session Manager knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// `i-...` or `mi-...`.
    pub id: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether its agent is connected.
    pub online: bool,
}

/// One of the two links of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Between client and service: a real TCP connection.
    Client,
    /// Between agent and service: inside the simulator, or a real TCP connection where the agent is a program.
    Agent,
}

/// The ways of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Towards the service.
    ToService,
    /// From the service.
    FromService,
    /// Both.
    #[default]
    Both,
}

/// What can happen to a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LinkFault {
    /// The service closes the websocket in an orderly way.
    Close {
        /// Any number; 1000 is what the service uses every hour.
        code: u16,
        /// "Bye" every hour.
        #[serde(default)]
        reason: String,
    },
    /// TCP reset. What was in flight is lost.
    Reset,
    /// End of stream without a close frame. To the simulator's own agent the same as a reset.
    Fin,
    /// The connection ends after half a websocket frame. To the simulator's own agent the same as a reset.
    CloseMidFrame {
        /// By a reset instead of an end of stream.
        #[serde(default)]
        reset: bool,
    },
    /// The simulator's own agent only: a reset in the moment when the agent has handed the next input over and has not yet
    /// acknowledged it, so that the client's resend is handed over a second time.
    ResetBeforeAcknowledge,
    /// Agent only: reset, and its reconnects fail for this long. It gives up after 5 tries, as the real one.
    Away {
        /// Milliseconds.
        for_ms: u64,
    },
    /// The traffic of the link is disturbed.
    Traffic(Disturbance),
    /// Disturbances of this link end.
    Heal,
}

/// A disturbance of traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbance {
    /// Which way.
    #[serde(default)]
    pub way: Way,
    /// What is done to it.
    pub traffic: Traffic,
    /// Milliseconds until it ends by itself; none means until healed.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// Whether it also hits the connections that follow; else it ends with the connection it began on.
    #[serde(default)]
    pub persist: bool,
}

impl Disturbance {
    /// Both ways, until healed or the connection ends.
    pub const fn new(traffic: Traffic) -> Self {
        Self {
            way: Way::Both,
            traffic,
            for_ms: None,
            persist: false,
        }
    }
}

/// What is done to the traffic of one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Traffic {
    /// A black hole that holds everything back: TCP's back-pressure, all is delivered when it heals.
    Stall,
    /// A black hole that swallows whole frames, pings and pongs included.
    Discard,
    /// No more than this.
    Slow {
        /// Bytes of messages a second; at least 1.
        bytes_per_second: u64,
    },
    /// Everything later, in the same order.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Some messages vanish.
    Lose(Pick),
    /// Some messages arrive twice.
    Duplicate(Pick),
    /// Some messages arrive after the one that follows them.
    Reorder(Pick),
    /// Some messages arrive with their last byte changed, so that the digest does not match.
    Corrupt(Pick),
}

/// Which messages a disturbance picks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Pick {
    /// Every Nth message; 1 is all of them.
    Every(u64),
    /// Each with this probability, decided by a generator of its own.
    Chance {
        /// 0 to 1.
        probability: f64,
        /// Replays the same choice.
        seed: u64,
    },
}

/// One of the listening ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Port {
    /// StartSession and the others.
    Control,
    /// The clients' websockets.
    DataChannel,
    /// CreateDataChannel and the websockets of agents that are programs.
    Agents,
}

/// How a port treats new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortFault {
    /// Connection refused.
    Refuse,
    /// Accepted, then reset.
    AcceptThenReset,
    /// Accepted, then silence.
    Silent,
}

/// A call of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// StartSession.
    Start,
    /// ResumeSession.
    Resume,
    /// TerminateSession.
    Terminate,
    /// DescribeSessions.
    Describe,
    /// GetConnectionStatus.
    Status,
    /// DescribeInstanceInformation.
    Instances,
    /// GetDocument.
    Document,
    /// GenerateDataKey of KMS.
    DataKey,
    /// Decrypt of KMS, by the client.
    Decrypt,
}

/// A wrong answer of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BadAnswer {
    /// HTTP 400 ThrottlingException.
    Throttled {
        /// Value of the header Retry-After, seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// An HTTP status without an AWS error, as 500 or 503.
    Status(u16),
    /// HTTP 403 AccessDeniedException.
    AccessDenied,
    /// HTTP 400 ExpiredTokenException: the credentials have expired.
    ExpiredCredentials,
    /// HTTP 400 DoesNotExistException.
    DoesNotExist,
    /// Any other AWS error, HTTP 400.
    Error(String),
    /// Success without a token.
    EmptyToken,
    /// Success without a StreamUrl (the old one stays good, its token does not).
    NoStreamUrl,
    /// HTTP 200 with a body that is not JSON.
    Garbage,
    /// The right answer, but its body takes this many milliseconds.
    SlowBody(u64),
    /// No answer at all. The call is not executed.
    Hang,
}

/// What ResumeSession says of a session that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResumeOfEnded {
    /// DoesNotExistException.
    #[default]
    DoesNotExist,
    /// Success without a token.
    EmptyToken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_json_is_read() {
        let text = r#"{"link":{"side":"client","fault":{"close":{"code":1000,"reason":"Bye"}}}}"#;
        let close = LinkFault::Close {
            code: 1000,
            reason: "Bye".into(),
        };
        let expected = Fault::Link {
            session: None,
            side: Side::Client,
            fault: close,
        };
        assert_eq!(serde_json::from_str::<Fault>(text).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Fault>(r#""heal""#).unwrap(), Fault::Heal);
        let text =
            r#"{"link":{"side":"agent","fault":{"traffic":{"traffic":{"lose":{"every":7}},"way":"to-service"}}}}"#;
        let Fault::Link {
            fault: LinkFault::Traffic(disturbance),
            ..
        } = serde_json::from_str(text).unwrap()
        else {
            panic!("not a disturbance")
        };
        assert_eq!(disturbance.traffic, Traffic::Lose(Pick::Every(7)));
        assert_eq!(disturbance.way, Way::ToService);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = r#"{"port":{"port":"control","fault":"refuse","for":5}}"#;
        assert!(serde_json::from_str::<Fault>(text).is_err());
    }
}
