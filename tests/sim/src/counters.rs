//! What a session has counted, visible from outside while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::fault::Call;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> CountersSnapshot {
                CountersSnapshot { $($name: self.$name.get(),)* }
            }
        }

        /// A session's counters at one moment. All count from the session's start.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct CountersSnapshot {
            $($(#[$doc])* pub $name: u64,)*
        }
    };
}

counters! {
    /// Data channels opened by clients with a good token.
    client_connects,
    /// Clients that took over from another one that was still connected.
    takeovers,
    /// Successful ResumeSession calls.
    resumes,
    /// Tokens given out by StartSession and ResumeSession.
    tokens_issued,
    /// Data channels refused for their token or cell number.
    refused_opens,
    /// Binary messages the service received from the client.
    messages_from_client,
    /// Bytes of them, headers included.
    bytes_from_client,
    /// Binary messages written to the client.
    messages_to_client,
    /// Bytes of them, headers included.
    bytes_to_client,
    /// Messages for the client that were dropped because none was connected.
    dropped_client_away,
    /// Messages for the agent that were dropped because its link was down.
    dropped_agent_away,
    /// Input messages with a number below the expected one, as seen by the agent.
    duplicates_from_client,
    /// Input messages with a number above the expected one that the agent kept.
    kept_out_of_order,
    /// Input messages dropped because the agent's buffer was full.
    dropped_buffer_full,
    /// Input messages with the expected number, ignored because the handler was not ready.
    ignored_not_ready,
    /// Input thrown away, acknowledged, before the handshake was complete.
    thrown_away,
    /// Input messages handed over a second time after a failed acknowledge.
    handed_over_twice,
    /// Messages the agent sent again.
    agent_resends,
    /// Reconnects of the agent's own link.
    agent_reconnects,
    /// Streams opened to destinations.
    streams,
    /// Dials that failed.
    connect_errors,
    /// Input messages of an encrypted session that are not sealed with its key.
    not_sealed,
    /// Input messages of an encrypted session that are.
    opened,
    /// Frames from the client that are not messages.
    invalid_frames,
}

/// Calls of the control plane that arrived since the start, whatever they were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// StartSession.
    pub start: u64,
    /// ResumeSession.
    pub resume: u64,
    /// TerminateSession.
    pub terminate: u64,
    /// DescribeSessions.
    pub describe: u64,
    /// GetConnectionStatus.
    pub status: u64,
    /// GetDocument.
    pub document: u64,
    /// DescribeInstanceInformation.
    #[serde(default)]
    pub instances: u64,
    /// GenerateDataKey.
    #[serde(default)]
    pub data_key: u64,
    /// Decrypt.
    #[serde(default)]
    pub decrypt: u64,
}

impl CallCounts {
    pub(crate) const fn count(&mut self, call: Call) {
        let counted = match call {
            Call::Start => &mut self.start,
            Call::Resume => &mut self.resume,
            Call::Terminate => &mut self.terminate,
            Call::Describe => &mut self.describe,
            Call::Status => &mut self.status,
            Call::Document => &mut self.document,
            Call::Instances => &mut self.instances,
            Call::DataKey => &mut self.data_key,
            Call::Decrypt => &mut self.decrypt,
        };
        *counted += 1;
    }
}

/// One number, written by one task and read by others.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
