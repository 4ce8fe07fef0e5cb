//! The ways in which the demo cuts the link.

use autossm_sim::{Disturbance, Fault, LinkFault, Port, PortFault, Side, Traffic};

/// One cut.
pub(crate) struct Cut {
    /// What happens, for the reader.
    pub(crate) name: &'static str,
    /// What the simulator is told.
    pub(crate) faults: fn() -> Vec<Fault>,
    /// What it is told once the daemon has noticed.
    pub(crate) after: fn() -> Vec<Fault>,
    /// Whether the client's websocket goes down; one cut is on the agent's side only.
    pub(crate) drops_client: bool,
}

fn client(fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side: Side::Client,
        fault,
    }
}

fn close(code: u16, reason: &str) -> Fault {
    client(LinkFault::Close {
        code,
        reason: reason.to_owned(),
    })
}

fn port(fault: PortFault, for_ms: u64) -> Fault {
    Fault::Port {
        port: Port::DataChannel,
        fault,
        for_ms: Some(for_ms),
    }
}

const fn nothing() -> Vec<Fault> {
    Vec::new()
}

/// In this order.
pub(crate) const CUTS: &[Cut] = &[
    Cut {
        name: "the service closes, code 1000 \"Bye\", as it does every hour",
        faults: || vec![close(1000, "Bye")],
        after: nothing,
        drops_client: true,
    },
    Cut {
        name: "TCP reset",
        faults: || vec![client(LinkFault::Reset)],
        after: nothing,
        drops_client: true,
    },
    Cut {
        name: "black hole: nothing goes through, nothing is refused",
        faults: || vec![client(LinkFault::Traffic(Disturbance::new(Traffic::Stall)))],
        after: || vec![client(LinkFault::Heal)],
        drops_client: true,
    },
    Cut {
        name: "connection ends in the middle of a frame",
        faults: || vec![client(LinkFault::CloseMidFrame { reset: false })],
        after: nothing,
        drops_client: true,
    },
    Cut {
        name: "reset, and new connections are refused for 3 s",
        faults: || vec![port(PortFault::Refuse, 3000), client(LinkFault::Reset)],
        after: nothing,
        drops_client: true,
    },
    Cut {
        name: "on the instance: the agent is cut before it can acknowledge, and hands over twice",
        faults: || {
            vec![Fault::Link {
                session: None,
                side: Side::Agent,
                fault: LinkFault::ResetBeforeAcknowledge,
            }]
        },
        after: nothing,
        drops_client: false,
    },
    Cut {
        name: "closed, and new connections are accepted, then reset, for 2 s",
        faults: || vec![port(PortFault::AcceptThenReset, 2000), close(1001, "going away")],
        after: nothing,
        drops_client: true,
    },
    Cut {
        name: "end of stream without a word",
        faults: || vec![client(LinkFault::Fin)],
        after: nothing,
        drops_client: true,
    },
];
