//! What an agent says to a message that it has had before.

/// Questions that are not answered, after which an agent is taken to be silent. One is not enough: its own link may have been
/// down for the question and up for the message after it.
const UNANSWERED: u32 = 3;

/// Whether the agent acknowledges duplicates. It does from 3.2.1041.0, but only a handshake tells the version. Else it is found out once
/// it matters: what goes out under a number below the oldest unacknowledged one is a duplicate for certain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DuplicateHabit {
    answers: Option<bool>,
    /// A duplicate is to be sent.
    asks: bool,
    /// Place and number of the one sent on the present websocket.
    asked: Option<(u64, u64)>,
    unanswered: u32,
}

impl DuplicateHabit {
    pub(super) const fn known(answers: Option<bool>) -> Self {
        Self {
            answers,
            asks: false,
            asked: None,
            unanswered: 0,
        }
    }

    /// None as long as it is unknown.
    pub(super) const fn answers(self) -> Option<bool> {
        self.answers
    }

    pub(super) const fn wants_question(self) -> bool {
        self.asks
    }

    pub(super) const fn handle_asked(&mut self, place: u64, number: u64) {
        (self.asks, self.asked) = (false, Some((place, number)));
    }

    pub(super) const fn handle_attached(&mut self) {
        (self.asks, self.asked) = (false, None);
    }

    /// What was sent again stays unacknowledged, and what was sent after it does not.
    pub(super) const fn doubt(&mut self) {
        self.asks = self.answers.is_none() && self.asked.is_none();
    }

    /// A number was acknowledged that nothing was expected of any more.
    pub(super) fn handle_again(&mut self, number: u64) {
        if self.asked.is_some_and(|(_, asked)| asked == number) {
            *self = Self::known(Some(true));
        }
    }

    /// What was sent once, at this place, was acknowledged.
    pub(super) fn handle_later(&mut self, place: u64) {
        if self.asked.is_none_or(|(asked, _)| place <= asked) {
            return;
        }
        self.asked = None;
        self.unanswered = self.unanswered.saturating_add(1);
        self.asks = true;
        if self.unanswered >= UNANSWERED {
            *self = Self::known(Some(false));
        }
    }
}
