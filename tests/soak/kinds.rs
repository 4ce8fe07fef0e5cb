//! The faults of a soak: all that the simulator can do, and the user's own `reconnect`.

use std::time::Duration;

use autossm_sim::{
    BadAnswer, Call, Disturbance, Fault, LinkFault, Pick, Port, PortFault, ResumeOfEnded, Side, Traffic, Way,
};
use rand::RngExt;
use rand::rngs::StdRng;

/// What a fault does to the client's websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is gone at once.
    Drops,
    /// It is gone once the silence has been noticed, if the silence lasts that long.
    MayDrop,
    /// It stays: the fault is on the agent's side, or only makes things worse.
    Stays,
    /// The AWS session is over: local connections are reset, and that is right.
    Ends,
}

/// One fault, decided down to its last number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Strike {
    /// Its kind, as the report names it.
    pub(crate) kind: &'static str,
    /// What the simulator is told, in this order; nothing for the user's `reconnect`.
    pub(crate) faults: Vec<Fault>,
    pub(crate) effect: Effect,
    /// When it heals by itself.
    pub(crate) lasts: Duration,
}

type Make = fn(&mut StdRng) -> (Vec<Fault>, u64);

/// Kind, weight, effect, and what makes one of it: the faults and how many milliseconds they last.
#[rustfmt::skip]
const KINDS: &[(&str, u32, Effect, Make)] = &[
    ("close 1000 Bye", 10, Effect::Drops, |_| (vec![close(1000)], 0)),
    ("close, another code", 5, Effect::Drops, |rng| (vec![close([1001, 1011, 4000, 1012][rng.random_range(0..4)])], 0)),
    ("TCP reset", 10, Effect::Drops, |_| (vec![client(LinkFault::Reset)], 0)),
    ("end without a close frame", 6, Effect::Drops, |_| (vec![client(LinkFault::Fin)], 0)),
    ("end in mid-frame", 6, Effect::Drops, |rng| (vec![client(LinkFault::CloseMidFrame { reset: rng.random() })], 0)),
    ("black hole that stalls", 7, Effect::MayDrop, |rng| disturb(Side::Client, way(rng), Traffic::Stall, ms(rng, 300, 7000))),
    ("black hole that discards", 6, Effect::MayDrop, |rng| disturb(Side::Client, way(rng), Traffic::Discard, ms(rng, 100, 3000))),
    ("slow link", 3, Effect::MayDrop, |rng| {
        let bytes_per_second = rng.random_range(30_000..300_000);
        disturb(Side::Client, Way::Both, Traffic::Slow { bytes_per_second }, ms(rng, 500, 3000))
    }),
    ("long path", 3, Effect::MayDrop, |rng| { let ms_each_way = ms(rng, 10, 300); disturb(Side::Client, Way::Both, Traffic::Delay { ms: ms_each_way }, ms(rng, 500, 3000)) }),
    ("messages lost", 4, Effect::MayDrop, |rng| { let pick = pick(rng); disturb(Side::Client, way(rng), Traffic::Lose(pick), ms(rng, 500, 3000)) }),
    ("messages doubled", 4, Effect::MayDrop, |rng| { let pick = pick(rng); disturb(Side::Client, way(rng), Traffic::Duplicate(pick), ms(rng, 500, 3000)) }),
    ("messages out of order", 4, Effect::MayDrop, |rng| { let pick = pick(rng); disturb(Side::Client, way(rng), Traffic::Reorder(pick), ms(rng, 500, 3000)) }),
    // Only towards the client: no agent checks the digest of what it gets.
    ("messages damaged", 3, Effect::MayDrop, |rng| { let pick = pick(rng); disturb(Side::Client, Way::FromService, Traffic::Corrupt(pick), ms(rng, 500, 3000)) }),
    ("refused for a while", 6, Effect::Drops, |rng| port(rng, Port::DataChannel, PortFault::Refuse)),
    ("accepted, then reset for a while", 4, Effect::Drops, |rng| port(rng, Port::DataChannel, PortFault::AcceptThenReset)),
    ("accepted, then silent for a while", 3, Effect::Drops, |rng| port(rng, Port::DataChannel, PortFault::Silent)),
    ("control plane refused for a while", 4, Effect::Drops, |rng| port(rng, Port::Control, PortFault::Refuse)),
    ("control plane silent for a while", 2, Effect::Drops, |rng| port(rng, Port::Control, PortFault::Silent)),
    ("ResumeSession throttled", 2, Effect::Drops, |rng| { let retry_after = rng.random::<bool>().then_some(1); answer(rng, BadAnswer::Throttled { retry_after }) }),
    ("ResumeSession 5xx", 3, Effect::Drops, |rng| { let status = [500, 502, 503, 504][rng.random_range(0..4)]; answer(rng, BadAnswer::Status(status)) }),
    ("ResumeSession garbage", 2, Effect::Drops, |rng| answer(rng, BadAnswer::Garbage)),
    ("ResumeSession without a URL", 2, Effect::Drops, |rng| answer(rng, BadAnswer::NoStreamUrl)),
    ("ResumeSession with a slow body", 2, Effect::Drops, |rng| { let time = ms(rng, 100, 1500); answer(rng, BadAnswer::SlowBody(time)) }),
    ("ResumeSession hangs", 2, Effect::Drops, |_| (vec![owed(1, BadAnswer::Hang), close(1000)], 0)),
    // Keys that AWS has refused are not shown to it often: a second refusal would be waited out for long.
    ("credentials expired", 2, Effect::Drops, |_| (vec![owed(1, BadAnswer::ExpiredCredentials), close(1000)], 0)),
    ("access denied once", 1, Effect::Drops, |_| (vec![owed(1, BadAnswer::AccessDenied), close(1000)], 0)),
    ("tokens expired", 3, Effect::Drops, |_| (vec![Fault::ExpireTokens { session: None }, close(1000)], 0)),
    ("reconnect by the user", 3, Effect::Drops, |_| (Vec::new(), 0)),
    ("agent: close", 4, Effect::Stays, |_| (vec![agent(LinkFault::Close { code: 1000, reason: String::new() })], 0)),
    ("agent: TCP reset", 6, Effect::Stays, |_| (vec![agent(LinkFault::Reset)], 0)),
    ("agent: end without a close frame", 2, Effect::Stays, |_| (vec![agent(LinkFault::Fin)], 0)),
    ("agent: hands over twice", 6, Effect::Stays, |_| (vec![agent(LinkFault::ResetBeforeAcknowledge)], 0)),
    ("agent: away for a while", 4, Effect::MayDrop, |rng| { let for_ms = ms(rng, 100, 1200); (vec![agent(LinkFault::Away { for_ms })], for_ms) }),
    ("agent: black hole that stalls", 4, Effect::MayDrop, |rng| disturb(Side::Agent, way(rng), Traffic::Stall, ms(rng, 300, 4000))),
    ("agent: black hole that discards", 3, Effect::MayDrop, |rng| disturb(Side::Agent, way(rng), Traffic::Discard, ms(rng, 100, 2000))),
    ("agent: slow link", 2, Effect::Stays, |rng| {
        let bytes_per_second = rng.random_range(30_000..300_000);
        disturb(Side::Agent, Way::Both, Traffic::Slow { bytes_per_second }, ms(rng, 500, 3000))
    }),
    ("agent: long path", 2, Effect::Stays, |rng| { let ms_each_way = ms(rng, 10, 300); disturb(Side::Agent, Way::Both, Traffic::Delay { ms: ms_each_way }, ms(rng, 500, 3000)) }),
    ("agent: messages lost", 3, Effect::MayDrop, |rng| { let pick = pick(rng); disturb(Side::Agent, way(rng), Traffic::Lose(pick), ms(rng, 500, 3000)) }),
    ("agent: messages doubled", 2, Effect::Stays, |rng| { let pick = pick(rng); disturb(Side::Agent, way(rng), Traffic::Duplicate(pick), ms(rng, 500, 3000)) }),
    ("agent: messages out of order", 2, Effect::Stays, |rng| { let pick = pick(rng); disturb(Side::Agent, way(rng), Traffic::Reorder(pick), ms(rng, 500, 3000)) }),
    ("agent: messages damaged", 2, Effect::Stays, |rng| { let pick = pick(rng); disturb(Side::Agent, Way::ToService, Traffic::Corrupt(pick), ms(rng, 500, 3000)) }),
    ("session ended by AWS", 2, Effect::Ends, |rng| {
        let announce = rng.random::<bool>().then(|| "over".to_owned());
        let resume = if rng.random() { ResumeOfEnded::DoesNotExist } else { ResumeOfEnded::EmptyToken };
        (vec![Fault::EndSession { session: None, announce, resume }], 0)
    }),
];

/// The kinds' names, in the order of the report.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, ..)| *kind)
}

/// Draws one.
pub(crate) fn draw(rng: &mut StdRng) -> Strike {
    let all: u32 = KINDS.iter().map(|(_, weight, ..)| weight).sum();
    let drawn = rng.random_range(0..all);
    let mut below = 0;
    let found = KINDS.iter().find(|(_, weight, ..)| {
        below += weight;
        drawn < below
    });
    let (kind, _, effect, make) = found.unwrap();
    let (faults, lasts) = make(rng);
    Strike {
        kind,
        faults,
        effect: *effect,
        lasts: Duration::from_millis(lasts),
    }
}

const fn link(side: Side, fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side,
        fault,
    }
}

const fn client(fault: LinkFault) -> Fault {
    link(Side::Client, fault)
}

const fn agent(fault: LinkFault) -> Fault {
    link(Side::Agent, fault)
}

fn close(code: u16) -> Fault {
    client(LinkFault::Close {
        code,
        reason: "Bye".to_owned(),
    })
}

fn disturb(side: Side, way: Way, traffic: Traffic, for_ms: u64) -> (Vec<Fault>, u64) {
    let disturbance = Disturbance {
        way,
        traffic,
        for_ms: Some(for_ms),
        persist: true,
    };
    (vec![link(side, LinkFault::Traffic(disturbance))], for_ms)
}

/// The port misbehaves, and a drop finds it so.
fn port(rng: &mut StdRng, port: Port, fault: PortFault) -> (Vec<Fault>, u64) {
    let for_ms = ms(rng, 200, 4000);
    let misbehave = Fault::Port {
        port,
        fault,
        for_ms: Some(for_ms),
    };
    let cut = if rng.random() {
        client(LinkFault::Reset)
    } else {
        close(1000)
    };
    (vec![misbehave, cut], for_ms)
}

const fn owed(times: u32, answer: BadAnswer) -> Fault {
    Fault::Answer {
        call: Call::Resume,
        times,
        answer,
    }
}

/// The next one to three ResumeSession calls are answered so, and a drop asks for them.
fn answer(rng: &mut StdRng, answer: BadAnswer) -> (Vec<Fault>, u64) {
    (vec![owed(rng.random_range(1..=3), answer), close(1000)], 0)
}

fn way(rng: &mut StdRng) -> Way {
    [Way::ToService, Way::FromService, Way::Both][rng.random_range(0..3)]
}

fn ms(rng: &mut StdRng, from: u64, to: u64) -> u64 {
    rng.random_range(from..=to)
}

fn pick(rng: &mut StdRng) -> Pick {
    if rng.random() {
        return Pick::Every(rng.random_range(5..50));
    }
    Pick::Chance {
        probability: f64::from(rng.random_range(1..=30_u32)) / 100.0,
        seed: rng.random(),
    }
}
