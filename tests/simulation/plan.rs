//! What the applications on both sides of a connection do.

use std::time::Duration;

use autossm_proto::Timestamp;

use crate::rng::Rng;

/// Who ends a connection, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Both send at once; the far application closes when it has received and sent everything.
    Exchange,
    /// The client sends, closes its half, and gets its answer only when all has arrived.
    HalfClose,
    /// The far application closes only at the end of its input, which it learns by FIN.
    WaitsForEof,
    /// The far application sends and closes, whatever the client still has to say.
    FarClosesEarly,
    /// The client resets after so many bytes received.
    Reset(u64),
    /// The destination cannot be reached.
    Refused,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) manner: Manner,
    pub(crate) open_at: Duration,
    pub(crate) upload: u64,
    pub(crate) download: u64,
    /// What the client writes and reads at once, and how long it waits in between.
    pub(crate) write_chunk: usize,
    pub(crate) read_chunk: usize,
    pub(crate) gap: Duration,
    /// The client reads nothing from this offset on for this long.
    pub(crate) stall: Option<(u64, Duration)>,
    /// The same for the far application's writes.
    pub(crate) far_chunk: usize,
    pub(crate) far_gap: Duration,
    pub(crate) answer_delay: Duration,
}

impl Plan {
    /// Both directions as fast as they go.
    pub(crate) fn plain(manner: Manner, upload: u64, download: u64) -> Self {
        Self {
            manner,
            open_at: Duration::ZERO,
            upload,
            download,
            write_chunk: 64 << 10,
            read_chunk: 64 << 10,
            gap: Duration::from_millis(1),
            stall: None,
            far_chunk: 32 << 10,
            far_gap: Duration::from_millis(1),
            answer_delay: Duration::ZERO,
        }
    }

    pub(crate) fn random(rng: &mut Rng) -> Self {
        let (upload, download) = (rng.skewed(1, 60_000), rng.skewed(0, 50_000));
        let manner = match rng.range(0, 99) {
            0..45 => Manner::Exchange,
            45..65 => Manner::HalfClose,
            65..75 => Manner::WaitsForEof,
            75..83 => Manner::FarClosesEarly,
            83..95 => Manner::Reset(rng.range(0, download)),
            _ => Manner::Refused,
        };
        let stalls = rng.chance(20);
        Self {
            manner,
            open_at: rng.millis(0, 20_000),
            upload,
            download,
            write_chunk: rng.size(1, 64 << 10),
            read_chunk: rng.size(1, 64 << 10),
            gap: rng.micros(1, 30_000),
            stall: stalls.then(|| (rng.range(0, download), rng.millis(10, 20_000))),
            far_chunk: rng.size(1, 32 << 10),
            far_gap: rng.micros(1, 30_000),
            answer_delay: rng.millis(0, 4000),
        }
        .sensible()
    }

    /// Byte by byte is right for small transfers only.
    fn sensible(mut self) -> Self {
        let least = |total: u64| usize::try_from(total / 200).unwrap().max(1);
        self.write_chunk = self.write_chunk.max(least(self.upload));
        self.read_chunk = self.read_chunk.max(least(self.download));
        self.far_chunk = self.far_chunk.max(least(self.download));
        self
    }
}

/// How the far side of a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FarState {
    /// No SYN yet.
    Absent,
    Open,
    /// It closed after all it had to send.
    Finished,
    /// The agent closed it: FIN from the client.
    Closed,
    Refused,
}

/// The application behind the agent.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    pub(crate) plan: Plan,
    pub(crate) state: FarState,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    next: Timestamp,
}

impl Far {
    pub(crate) const fn new(plan: Plan) -> Self {
        Self {
            plan,
            state: FarState::Absent,
            received: 0,
            sent: 0,
            next: Timestamp::ZERO,
        }
    }

    pub(crate) fn open(&mut self, now: Timestamp) {
        self.state = FarState::Open;
        self.next = now.after(self.plan.far_gap);
    }

    pub(crate) fn receive(&mut self, bytes: usize, now: Timestamp) {
        self.received += bytes as u64;
        assert!(self.received <= self.plan.upload, "more arrived than was sent");
        if self.plan.manner == Manner::HalfClose && self.received == self.plan.upload {
            self.next = now.after(self.plan.answer_delay);
        }
    }

    /// What it would write or do at `now`: bytes to send, or zero to close.
    pub(crate) fn step(&mut self, now: Timestamp) -> Option<usize> {
        if self.wake().is_none_or(|at| at > now) {
            return None;
        }
        self.next = now.after(self.plan.far_gap);
        let left = usize::try_from(self.plan.download - self.sent).unwrap();
        Some(left.min(self.plan.far_chunk))
    }

    /// When it does something by itself.
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        let all_received = self.received == self.plan.upload;
        let all_sent = self.sent == self.plan.download;
        let acts = match self.plan.manner {
            Manner::Exchange => !all_sent || all_received,
            Manner::HalfClose => all_received,
            Manner::WaitsForEof | Manner::Reset(_) => !all_sent,
            Manner::FarClosesEarly => true,
            Manner::Refused => false,
        };
        (self.state == FarState::Open && acts).then_some(self.next)
    }
}
