//! How much is heard of the agent.

/// What is heard of the agent on the present websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// The websocket is not read: acknowledges may be there, and nothing is sent again.
    Deaf,
    /// It has not answered yet.
    Silent,
    /// It has answered, and is read.
    Answers,
}
